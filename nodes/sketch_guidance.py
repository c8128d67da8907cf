"""Sketch Guidance: follow my drawing (Sketch-Guided Text-to-Image Diffusion, arXiv 2211.13752)."""

from __future__ import annotations

from comfy_api.latest import io

from ..bridge.sketch.build import SketchOptions, build
from .schema import CATEGORY, Predictor, known, number, percent, schema, unique_id

NODE = "SketchGuidance"


class SketchGuidance(io.ComfyNode):
    """Steers the picture by the gradient of a small predictor of its edges."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Sketch Guidance",
            category=CATEGORY,
            description="Makes the picture follow a drawing, with any sampler. Needs a predictor for your model "
                        "family: those for the two demo models are included, and Train Guidance Predictor makes "
                        "others.",
            search_aliases=["sketch guided", "latent guidance predictor", "LGP", "latent edge predictor", "scribble",
                            "line art", "draw", "edges"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="Stable Diffusion 1.x, 2.x, SDXL, Flux, Chroma, Lumina 2 or Z-Image."),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint; it encodes the drawing."),
                Predictor.Input("predictor", tooltip="From Load Guidance Predictor or Train Guidance Predictor, made "
                                                     "for this model family."),
                io.Image.Input("image", tooltip="The drawing. Of a batch, drawing i is for picture i. A blank one does "
                                                "nothing."),
                io.Mask.Input("mask", optional=True,
                              tooltip="Guide only here; the rest of the picture is free. Without a mask the drawing "
                                      "counts everywhere, blank areas included."),
                number("strength", 1.6, 0.0, 10.0, 0.05,
                       "How closely the drawing is followed; the paper's beta. Much more costs realism. 0 does nothing "
                       "at all."),
                percent("start_percent", 0.0, "Where in the run the guidance begins, as a share of the timesteps."),
                percent("end_percent", 0.5, "Where in the run it ends. Later follows more closely and costs realism "
                                            "and time. With few steps, only those that begin before it are guided. "
                                            "Equal to its start: does nothing."),
                io.Combo.Input("lines", options=["auto", "white on black", "black on white"], default="auto",
                               tooltip="Light lines on dark, or dark on light. auto: the most common tone is the "
                                       "paper. With a predictor for other maps than edges, auto changes nothing."),
                io.Combo.Input("fit", options=["crop", "pad", "stretch"], default="crop",
                               tooltip="What to do if the drawing and the picture differ in shape. Does nothing if "
                                       "they agree."),
                known(io.Boolean.Input, "grey_is_weight", default=False, advanced=True,
                      tooltip="On: faint lines are followed less than bright ones. Off: all lines alike, as in the "
                              "paper. Does nothing for other maps than edges."),
                number("sketch_in_noise", 0.0, 0.0, 1.0, 0.01,
                       "How much of the drawing goes into the start noise; try 0.1. 0 does nothing.", advanced=True),
                known(io.Combo.Input, "checkpointing", options=["auto", "on", "off"], default="auto", advanced=True,
                      tooltip="Saves memory by computing parts twice. auto: only when memory runs out. It does not "
                              "change the picture."),
                known(io.Boolean.Input, "every_second_step", default=False, advanced=True,
                      tooltip="On: only every second step of the window is guided, for about half the extra time; the "
                              "drawing is followed less closely."),
                known(io.Boolean.Input, "preview_lines", default=False, advanced=True,
                      tooltip="On: while sampling, the preview shows the lines as the predictor sees them. It does not "
                              "change the picture."),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="Wire to the sampler.")],
        )

    @classmethod
    def execute(cls, model, vae, predictor, image, strength: float, start_percent: float, end_percent: float,
                lines: str, fit: str, grey_is_weight: bool = False, sketch_in_noise: float = 0.0,
                checkpointing: str = "auto", every_second_step: bool = False, preview_lines: bool = False,
                mask=None) -> io.NodeOutput:
        options = SketchOptions(strength, start_percent, end_percent, lines, fit, grey_is_weight, sketch_in_noise,
                                checkpointing, every_second_step, preview_lines)
        return io.NodeOutput(build(NODE, unique_id(cls), model, vae, predictor, image, mask, options).model)
