"""Regions from Boxes: what detectors and the core's box editor give, as regions."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..bridge.regions.box_source import source_of_boxes
from ..bridge.regions.boxes import read_boxes
from ..bridge.regions.canvas import box_mask
from ..bridge.regions.region import RegionList, make_region
from .schema import CATEGORY, Regions, canvas_size, number, schema, unique_id

NODE = "AttnDirRegionsFromBoxes"


def _boxes_input():
    tooltip = ("Boxes from Create Bounding Boxes or a detector such as Florence-2 or RT-DETR, or the same as JSON "
               "text. A detector's label becomes the region's words.")
    if hasattr(io, "MultiType") and hasattr(io, "BoundingBox") and hasattr(io, "Array"):
        return io.MultiType.Input("bboxes", types=[io.BoundingBox, io.Array, io.String], tooltip=tooltip)
    return io.Custom("BOUNDING_BOX").Input("bboxes", tooltip=tooltip)


class AttnDirRegionsFromBoxes(io.ComfyNode):
    """Boxes to regions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Regions from Boxes",
            category=CATEGORY,
            description="Turns bounding boxes into regions for Region Prompt. Descriptions of boxes become phrases.",
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
            search_aliases=["bounding boxes regional prompt", "boxes to masks", "detector regions"],
            inputs=[
                _boxes_input(),
                io.String.Input("phrases", multiline=True, default="",
                                tooltip="One line per box, for boxes without a description. Does nothing for boxes "
                                        "that have one."),
                canvas_size("width", "Width in pixels of the picture that the boxes belong to. Ignored for boxes of "
                                     "Create Bounding Boxes, which has its own."),
                canvas_size("height", "Height in pixels of the picture that the boxes belong to. Ignored for boxes of "
                                      "Create Bounding Boxes, which has its own."),
                number("strength", 1.0, 0.0, 2.0, 0.05, "Strength of every region made here. 0 does nothing."),
                Regions.Input("regions", optional=True,
                              tooltip="Regions made before. Where regions overlap, a pixel belongs to both."),
            ],
            outputs=[
                Regions.Output(display_name="regions", tooltip="One region per box."),
                io.Mask.Output(display_name="masks", tooltip="The boxes as masks, one per box."),
            ],
        )

    @classmethod
    def execute(cls, bboxes, phrases: str, width: int, height: int, strength: float,
                regions: RegionList = ()) -> io.NodeOutput:
        source = source_of_boxes(getattr(cls.hidden, "prompt", None), unique_id(cls))
        width, height = source.size or (width, height)
        lines = [line.strip() for line in phrases.splitlines()]
        made = []
        for i, box in enumerate(read_boxes(NODE, bboxes, width, height)):
            phrase = box.phrase or next((words[i] for words in (source.words, lines) if words[i:] and words[i]), "")
            made.append(make_region(NODE, phrase, box_mask(list(box.corners), width, height), strength))
        masks = torch.cat([r.mask for r in made]) if made else torch.zeros(1, 64, 64)
        return io.NodeOutput((*made, *(regions or ())), masks)
