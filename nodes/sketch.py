"""Sketch: a drawing that travels with the workflow."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..bridge.sketch.strokes import draw_strokes, over
from .schema import CATEGORY, canvas_size, schema

NODE = "AttnDirSketch"


class AttnDirSketch(io.ComfyNode):
    """Strokes as vectors, drawn as white lines on black."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Sketch",
            category=CATEGORY,
            description="A line drawing, kept as vectors in the workflow.",
            search_aliases=["draw", "scribble", "doodle", "line art", "sketch pad"],
            has_intermediate_output=True,
            inputs=[
                io.String.Input("strokes", default="", multiline=True,
                                tooltip="The strokes, as JSON with coordinates from 0 to 1. Empty: a blank sheet."),
                canvas_size("width", "Width of the drawing in pixels."),
                canvas_size("height", "Height of the drawing in pixels."),
                io.Int.Input("line_width", default=4, min=1, max=64,
                             tooltip="Width of the pen in pixels. Does nothing for strokes that have their own width."),
                io.Image.Input("background", optional=True,
                               tooltip="A picture to draw on; it shows in image, not in mask. Without one the sheet "
                                       "is black. For Sketch Guidance leave it out, or wire mask to the guidance."),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="White lines, on black or on the background."),
                     io.Mask.Output(display_name="mask", tooltip="1 on a line, 0 elsewhere.")],
        )

    @classmethod
    def execute(cls, strokes: str, width: int, height: int, line_width: int, background=None) -> io.NodeOutput:
        mask = draw_strokes(NODE, strokes, width, height, line_width)
        image = over(mask, background)
        return io.NodeOutput(image, mask, ui=ui.PreviewImage(image, cls=cls))
