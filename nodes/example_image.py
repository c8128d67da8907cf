"""Example Image: a picture that travels with the pack."""

from __future__ import annotations

from comfy_api.latest import io

from ..bridge.demo.examples import example_names, load_example
from .schema import CATEGORY, schema

NODE = "AttnDirExampleImage"


class AttnDirExampleImage(io.ComfyNode):
    """One of the bundled pictures, so that example workflows run as shipped."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Example Image",
            category=CATEGORY,
            description="A small picture that ships with Attention Director, named after what it shows. Swap it for "
                        "Load Image when you have your own.",
            search_aliases=["sample picture", "demo image", "test image"],
            inputs=[
                io.Combo.Input("name", options=example_names(),
                               tooltip="Which picture, 128 x 128. Its name is a caption that the demo model knows, "
                                       "except for the depth map's."),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The picture."),
                io.Mask.Output(display_name="mask", tooltip="Where its objects are, if the file holds that; otherwise "
                                                            "the whole picture."),
            ],
        )

    @classmethod
    def execute(cls, name: str) -> io.NodeOutput:
        return io.NodeOutput(*load_example(NODE, name))
