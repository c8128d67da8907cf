"""Self Check and Save Self Check: does what the pack promises hold on a person's own model?"""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..bridge.check.files import SAVER, write_numbered
from ..bridge.check.run import Request, whole
from ..bridge.check.sampling import SAMPLERS, SCHEDULERS, sampling_of
from ..bridge.check.sheet import sheet_of
from ..bridge.check.studio import NODE
from ..bridge.run.status import send_status
from .schema import CATEGORY, Adapters, Predictor, SelfCheck, known, number, schema, unique_id

OWN = "auto"
SWEEPS = ("off", "regions")


class AttnDirSelfCheck(io.ComfyNode):
    """Draws with every method of the pack on the model it is given, and measures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Self Check",
            category=CATEGORY,
            description="Tells for every method whether it works on your model: draws a few everyday things plain and "
                        "directed, and measures. Wire Save Self Check for a page and a small file to share.",
            search_aliases=["benchmark", "test my model", "diagnose", "does it work", "bug report"],
            is_output_node=True,
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="The model to check, as your loader gives it. It is not changed."),
                io.Clip.Input("clip", tooltip="The text encoder of the same checkpoint."),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
                number("minutes", 2.0, 0.25, 240.0, 0.25,
                       "How long it may take, about. What does not fit is left out, and the report says so. 10 for "
                       "everything on a card of 8 GB."),
                io.Combo.Input("sweep", options=list(SWEEPS), default=SWEEPS[0],
                               tooltip="regions: then look for the settings of Region Prompt that land best on this "
                                       "model, as long again. The report has them as text for preset pasted. off: no "
                                       "search."),
                Predictor.Input("predictor", optional=True,
                                tooltip="For Sketch Guidance. Not connected: one of your files that fits, if any."),
                Adapters.Input("adapter", optional=True,
                               tooltip="For Identity Inject. Not connected: one of your files that fits, if any."),
                number("train_minutes", 0.0, 0.0, 240.0, 0.5,
                       "So long a predictor is trained where there is none, beside minutes. 0 trains none.", True),
                *_own_sampling(),
            ],
            outputs=[
                SelfCheck.Output(display_name="check", tooltip="Wire to Save Self Check."),
                io.String.Output(display_name="report", tooltip="A line for each method, and settings to paste."),
                io.Image.Output(display_name="sheet", tooltip="What was drawn, plain beside directed."),
            ],
        )

    @classmethod
    def execute(cls, model, clip, vae, minutes: float, sweep: str, train_minutes: float = 0.0, size: int = 0,
                steps: int = 0, cfg: float = 0.0, sampler_name: str = OWN, scheduler: str = OWN, predictor=None,
                adapter=None) -> io.NodeOutput:
        wishes = {"side": size, "steps": steps, "cfg": cfg, "sampler": "" if sampler_name == OWN else sampler_name,
                  "scheduler": "" if scheduler == OWN else scheduler}
        sampling = sampling_of(model, clip).changed(NODE, **wishes) if model is not None else None
        key = f"{unique_id(cls)}/check"
        report = whole(Request(model, clip, vae, minutes, sampling, predictor, adapter, train_minutes,
                               minutes if sweep != SWEEPS[0] else 0.0),
                       lambda row: send_status(key, NODE, f"{row.check}, {row.case or 'all in all'}: {row.says}"))
        send_status(key, NODE, report.in_short)
        sheet = sheet_of(report)
        shown = ui.PreviewImage(sheet, cls=cls).as_dict() | {"text": [report.as_text()]}
        return io.NodeOutput(report, report.as_text(), sheet, ui=shown)


def _own_sampling() -> list:
    """In place of the template's."""
    whole_numbers = (("size", 4096, 8, "Side of the pictures in pixels. 0: the model's own."),
                     ("steps", 200, 1, "Steps of a picture. 0: as ComfyUI's template for this kind of model has. A "
                                       "distilled model wants its few."))
    return [
        *(known(io.Int.Input, name, default=0, min=0, max=most, step=step, tooltip=tooltip, advanced=True)
          for name, most, step, tooltip in whole_numbers),
        number("cfg", 0.0, 0.0, 30.0, 0.1, "Guidance. 0: as the template has. A distilled model wants 1.", True),
        *(known(io.Combo.Input, name, options=[OWN, *choices], default=OWN, advanced=True,
                tooltip="auto: as the template has.") for name, choices in (("sampler_name", SAMPLERS),
                                                                            ("scheduler", SCHEDULERS))),
    ]


class AttnDirSaveSelfCheck(io.ComfyNode):
    """The report as a page to look at and a small file to share."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=SAVER,
            display_name="Save Self Check",
            category=CATEGORY,
            description="Saves a self check in the output folder: a page with its pictures (.html), and a small file "
                        "(.json) for an issue. Neither holds paths, file names or prompts of yours.",
            search_aliases=["benchmark", "bug report", "share report"],
            is_output_node=True,
            inputs=[
                SelfCheck.Input("check", tooltip="From Self Check."),
                io.String.Input("filename_prefix", default="self_checks/check",
                                tooltip="Folder and name within the output folder; a number is added."),
            ],
            outputs=[],
        )

    @classmethod
    def execute(cls, check, filename_prefix: str) -> io.NodeOutput:
        page, told = write_numbered(check, filename_prefix)
        return io.NodeOutput(ui={"text": [f"{page.name} and {told.name} are in the output folder"]})
