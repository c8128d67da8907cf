"""Train Guidance Predictor: teach Sketch Guidance to read the lines of your model."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..bridge.sketch.train_node import Request, run
from .schema import CATEGORY, Predictor, known, number, schema, unique_id

NODE = "AttnDirTrainPredictor"


class AttnDirTrainPredictor(io.ComfyNode):
    """Trains the per-pixel predictor on pictures and their texts; the model itself is not changed."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Train Guidance Predictor",
            category=CATEGORY,
            description="Trains a predictor for Sketch Guidance, for your model, on your pictures. Interrupting keeps "
                        "what is trained so far. To continue an existing one, a few pictures in your style are "
                        "enough.",
            search_aliases=["latent guidance predictor", "LGP", "train edge predictor", "sketch guided"],
            is_experimental=True,
            is_input_list=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="Stable Diffusion 1.x, 2.x, SDXL, Flux, Chroma, Lumina 2 or Z-Image; "
                                              "it is read, not changed."),
                io.Clip.Input("clip", tooltip="The text encoder of the same checkpoint."),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
                io.Image.Input("images", tooltip="Pictures like those the model generates, best at its own size; "
                                                 "several sizes may be mixed."),
                io.String.Input("texts", multiline=True,
                                tooltip="What the pictures show: one text for all, or one for each picture."),
                io.Image.Input("maps", optional=True,
                               tooltip="One map for each picture: white lines on black, depth, masks, any picture. "
                                       "Without maps, edges are found here."),
                Predictor.Input("predictor", optional=True,
                                tooltip="Continue training this one. Not connected: training starts from nothing."),
                io.Int.Input("steps", default=3000, min=1, max=1_000_000, tooltip="The paper trains 3000 steps."),
                io.Int.Input("batch_size", default=4, min=1, max=256,
                             tooltip="Pictures per step; the paper takes 16. More needs more memory."),
                number("learning_rate", 1e-4, 1e-6, 1e-1, 1e-6, "Size of the steps of Adam."),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=False,
                             tooltip="Seed for the order of pictures, the noise levels and the first weights."),
                known(io.Combo.Input, "maps_are", options=["auto", "lines", "pictures"], default="auto", advanced=True,
                      tooltip="lines: drawings are brought to one line width before they guide. pictures: maps are "
                              "taken as they are. auto: lines for edges found here, otherwise decided by how the maps "
                              "look. Does nothing when continuing a predictor."),
                number("edge_threshold", 0.1, 0.01, 1.0, 0.01,
                       "How strong a border must be to count as an edge. Does nothing with maps.", advanced=True),
                known(io.Int.Input, "edge_thickness", default=2, min=1, max=64, advanced=True,
                      tooltip="Width of the edges in pixels; drawings are brought to it. Does nothing with maps."),
            ],
            outputs=[
                Predictor.Output(display_name="predictor", tooltip="Wire to Sketch Guidance or Save Guidance "
                                                                   "Predictor."),
                io.Custom("LOSS_MAP").Output(display_name="loss", tooltip="For the core's Plot Loss Graph."),
                io.Image.Output(display_name="preview", tooltip="Picture, true map, predicted map."),
            ],
        )

    @classmethod
    def execute(cls, model, clip, vae, images, texts, steps, batch_size, learning_rate, seed, maps_are=("auto",),
                edge_threshold=(0.1,), edge_thickness=(2,), maps=None, predictor=None) -> io.NodeOutput:
        def one(values: Any) -> Any:
            return values[0] if isinstance(values, (list, tuple)) else values

        request = Request(one(model), one(clip), one(vae), tuple(images), tuple(texts), tuple(maps or ()),
                          one(predictor), one(steps), one(batch_size), one(learning_rate), one(seed), one(maps_are),
                          one(edge_threshold), one(edge_thickness))
        trained, preview = run(NODE, unique_id(cls), request)
        return io.NodeOutput(trained.predictor, {"loss": trained.losses}, preview,
                             ui=ui.PreviewImage(preview, cls=cls))
