"""Attention Readout: what a recorded run looked at, and whether it landed."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..bridge.record.readout import SHOWN, read
from ..bridge.record.viewer import KEY, view
from .schema import CATEGORY, known, schema

NODE = "AttnDirReadout"


class AttnDirReadout(io.ComfyNode):
    """Shows what Record Attention kept of the run that gave these samples."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Attention Readout",
            category=CATEGORY,
            description="Shows where the picture attended to each phrase, how well the phrase landed in its region, "
                        "or the mask of an edit, for a run with Record Attention.",
            search_aliases=["DAAM", "attention map", "heat map", "cross attention", "landing score", "edit mask"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model that goes to the sampler, with Record Attention on it."),
                io.Latent.Input("samples", tooltip="The sampler's own output. It decides which run to show."),
                io.Image.Input("image", optional=True,
                               tooltip="The decoded pictures, shown beneath the maps. Without them the maps stand "
                                       "alone."),
                known(io.Combo.Input, "show", options=list(SHOWN), default=SHOWN[0],
                      tooltip="heat maps: where the picture attended to each phrase. landing: the same against its "
                              "region, with a score. edit mask, subjects, edges: what those nodes recorded in the "
                              "run. The viewer in the node shows all of them."),
                known(io.Int.Input, "step", default=-1, min=-1, max=10000, advanced=True,
                      tooltip="A step of the run from 1, or -1 for the mean of all that were recorded. Does nothing "
                              "for edit mask, subjects and edges."),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="The sheet: one row per image, one column per phrase."),
                io.Mask.Output(display_name="masks", tooltip="Each map as a mask, image by image."),
                io.String.Output(display_name="report", tooltip="The same in words."),
                io.Float.Output(display_name="score", tooltip="Landing of the worst region, 0 to 1; 0 without "
                                                              "regions."),
            ],
        )

    @classmethod
    def execute(cls, model, samples, show: str = SHOWN[0], step: int = -1, image=None) -> io.NodeOutput:
        out = read(NODE, model, samples["samples"], image, show, step)
        # The sheet is shown where nothing of ours runs: in the queue, and for a program that asks for the pictures.
        shown = ui.PreviewImage(out.image, cls=cls).as_dict()
        shown[KEY] = [view(NODE, model, samples["samples"], image, show, step)]
        return io.NodeOutput(out.image, out.masks, out.report, out.score, ui=shown)
