"""Load Demo Model: the tiny world that ships with the pack."""

from __future__ import annotations

from comfy_api.latest import io

from ..bridge.demo.model import load_demo_model
from .schema import CATEGORY, schema


class AttnDirLoadDemoModel(io.ComfyNode):
    """MODEL, CLIP and VAE in CheckpointLoaderSimple's order."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id="AttnDirLoadDemoModel",
            display_name="Load Demo Model",
            category=CATEGORY,
            description="A small model that generates coloured shapes and creatures at 128 x 128 in seconds, even "
                        "without a GPU. Swap it for Load Checkpoint when you know what you want.",
            search_aliases=["tiny world", "demo checkpoint", "attention director demo"],
            inputs=[],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="Generates at 128 x 128."),
                io.Clip.Output(display_name="CLIP", tooltip="Knows colours, shapes, backgrounds and creatures."),
                io.Vae.Output(display_name="VAE"),
            ],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        return io.NodeOutput(*load_demo_model())
