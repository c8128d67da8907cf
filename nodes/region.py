"""Region: a phrase and the mask it goes to."""

from __future__ import annotations

from comfy_api.latest import io

from ..bridge.regions.region import RegionList, make_region
from .schema import CATEGORY, Regions, number, schema

NODE = "AttnDirRegion"


class AttnDirRegion(io.ComfyNode):
    """Adds one region to a list."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Region",
            category=CATEGORY,
            description="Binds some words of the prompt to a mask. Chain several, then wire them into Region Prompt.",
            search_aliases=["regional prompt mask", "attention region", "densediffusion region", "mask prompt"],
            inputs=[
                io.String.Input("phrase", default="",
                                tooltip="Exact words of the prompt, such as: red hat. cat#2 is the second cat. "
                                        "Empty: the region shapes the picture but binds no words."),
                io.Mask.Input("mask", tooltip="Where the phrase goes. Cut at 0.5, so feathering does nothing. A batch "
                                              "of masks gives one layout per image."),
                number("strength", 1.0, 0.0, 2.0, 0.05,
                       "Multiplies the strength of Region Prompt inside this region. 0 does nothing here."),
                Regions.Input("regions", optional=True,
                              tooltip="Regions made before. Where regions overlap, a pixel belongs to both."),
            ],
            outputs=[Regions.Output(display_name="regions", tooltip="The list with this region in front.")],
        )

    @classmethod
    def execute(cls, phrase: str, mask, strength: float, regions: RegionList = ()) -> io.NodeOutput:
        return io.NodeOutput((make_region(NODE, phrase, mask, strength), *(regions or ())))
