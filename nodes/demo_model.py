"""Load Demo Model: the two small models that ship with the pack."""

from __future__ import annotations

from comfy_api.latest import io

from ..bridge.demo.file import FILES
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
            description="Two small models that generate in seconds, even without a GPU. Swap it for the loader of "
                        "your own model when you know what you want.",
            search_aliases=["tiny world", "storybook", "demo checkpoint", "attention director demo"],
            inputs=[
                io.Combo.Input("model", options=list(FILES), default="UNet", optional=True,
                               tooltip="UNet, built as Stable Diffusion 1.5 is: coloured shapes and creatures at "
                                       "128 x 128. Transformer, built as Flux is: animals, things and people at "
                                       "256 x 256."),
            ],
            outputs=[
                io.Model.Output(display_name="MODEL", tooltip="UNet: generates at 128 x 128. Transformer: at "
                                                              "256 x 256, about 20 steps, cfg 4."),
                io.Clip.Output(display_name="CLIP", tooltip="Knows few words; it says so where it does not know one."),
                io.Vae.Output(display_name="VAE"),
            ],
        )

    @classmethod
    def execute(cls, model: str = "UNet") -> io.NodeOutput:
        return io.NodeOutput(*load_demo_model(model))
