"""Load Identity Adapter: the weights Identity Inject needs."""

from __future__ import annotations

from comfy_api.latest import io

from ..bridge.identity.adapter import FILES, converted_path, load_adapter, save_converted
from .schema import CATEGORY, Adapters, known, schema

NODE = "AttnDirLoadAdapter"


class AttnDirLoadAdapter(io.ComfyNode):
    """Reads FastComposer's published checkpoint, or an adapter trained here."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Load Identity Adapter",
            category=CATEGORY,
            description="Loads an adapter for Identity Inject: FastComposer's published file (Stable Diffusion 1.5, "
                        "people) or one of your own. The built-in one is for the demo model's creatures.",
            search_aliases=["FastComposer", "FastComposer checkpoint", "identity adapter"],
            inputs=[
                io.Combo.Input("adapter_name", options=FILES.names(),
                               tooltip="Files in models/identity_adapters and output/identity_adapters. A pickle "
                                       "(.bin, .pt) is read for its weights only; nothing in it is run."),
                known(io.Boolean.Input, "save_as_safetensors", default=False, advanced=True,
                      tooltip="On: also write what is used of a pickle to output/identity_adapters as safetensors, so "
                              "that it loads fast and safely next time. Does nothing for a safetensors file."),
            ],
            outputs=[
                Adapters.Output(display_name="adapter", tooltip="Wire into Identity Inject."),
                io.String.Output(display_name="report", tooltip="What the file holds, with missing and unexpected "
                                                                "names."),
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, adapter_name: str, save_as_safetensors: bool = False) -> tuple[str, bool]:
        return FILES.stamp(NODE, adapter_name), save_as_safetensors

    @classmethod
    def execute(cls, adapter_name: str, save_as_safetensors: bool = False) -> io.NodeOutput:
        path = FILES.path(NODE, adapter_name)
        adapter, report = load_adapter(NODE, path)
        if save_as_safetensors and path.suffix.lower() not in (".safetensors", ".sft"):
            report += f"\nwritten: {save_converted(NODE, path, converted_path(path)).name}"
        return io.NodeOutput(adapter, report)
