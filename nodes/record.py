"""Record Attention: keep where each phrase is read, for a readout after sampling."""

from __future__ import annotations

from comfy_api.latest import io

from ..bridge.record.build import build
from .schema import CATEGORY, percent, schema, unique_id

NODE = "AttnDirRecord"


class AttnDirRecord(io.ComfyNode):
    """Makes a run leave its heat maps; the picture stays the same, bit for bit."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Record Attention",
            category=CATEGORY,
            description="Records where the picture attends to each phrase while it is sampled, for Attention Readout. "
                        "The picture stays the same.",
            search_aliases=["DAAM", "attention map", "heat map", "cross attention"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model on its way to the sampler; before or after the other nodes "
                                                "of this pack."),
                io.Conditioning.Input("positive", tooltip="The prompt that goes to the sampler, from Encode Prompt or "
                                                          "another node of this pack."),
                io.String.Input("phrases", multiline=True, default="",
                                tooltip="Words of the prompt to record, one phrase per line. Empty: those of the "
                                        "regions, subjects and edits, or every word if there are none of these."),
                percent("start_percent", 0.0,
                        "Where in the run recording begins, as a share of the timesteps. 0 is the start.", True),
                percent("end_percent", 1.0, "Where in the run it ends. Equal to its start: records nothing.", True),
            ],
            outputs=[io.Model.Output(display_name="model", tooltip="Wire to the sampler and to Attention Readout.")],
        )

    @classmethod
    def execute(cls, model, positive, phrases: str = "", start_percent: float = 0.0,
                end_percent: float = 1.0) -> io.NodeOutput:
        return io.NodeOutput(build(NODE, unique_id(cls), model, positive, phrases, start_percent, end_percent).model)
