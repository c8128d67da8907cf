"""Shared Subject: the same character in many scenes, with nothing trained (ConsiStory, arXiv 2402.03286)."""

from __future__ import annotations

from comfy_api.latest import io

from ..bridge.subject.bank import SubjectBank
from ..bridge.subject.build import build
from ..bridge.subject.options import SubjectOptions
from .schema import CATEGORY, Bank, known, number, percent, prompt, schedule, schema, unique_id

NODE = "SharedSubjectAttention"


class SharedSubjectAttention(io.ComfyNode):
    """Scenes generated together, so that their subject stays the same."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Shared Subject (ConsiStory)",
            category=CATEGORY,
            description="Generates the same character in many scenes, one scene per line, without training.",
            search_aliases=["ConsiStory", "consistent character", "same subject", "story", "character sheet"],
            hidden=[io.Hidden.unique_id],
            inputs=[*_main_inputs(), *_advanced_inputs()],
            outputs=[
                io.Model.Output(display_name="model", tooltip="Wire to the sampler, together with positive."),
                io.Conditioning.Output(display_name="positive", tooltip="The scenes; wire to the sampler's positive."),
                io.Latent.Output(display_name="latent", tooltip="One latent per scene; wire to the sampler."),
            ],
        )

    @classmethod
    def execute(cls, model, clip, text, prefix: str, suffix: str, subjects: str, latent_image, anchors: int,
                strength: float, mode: str, injection: float, variety: float = 0.5, start_percent: float = 0.0,
                end_percent: float = 1.0, injection_start_percent: float = 0.1, injection_end_percent: float = 0.32,
                query_blend: float = 0.9, query_blend_end_percent: float = 0.12, separate_subjects: bool = False,
                same_noise: bool = False, keep_bank: bool = False, bank: SubjectBank | None = None) -> io.NodeOutput:
        options = SubjectOptions(
            anchors, strength, mode == "two-pass", injection, variety, schedule(NODE, start_percent, end_percent),
            schedule(NODE, injection_start_percent, injection_end_percent, "injection_"), query_blend,
            schedule(NODE, 0.0, query_blend_end_percent, "query_blend_").end, separate_subjects, same_noise, keep_bank)
        out = build(NODE, unique_id(cls), model, clip, text, prefix, suffix, subjects, latent_image, bank, options)
        return io.NodeOutput(out.model, out.positive, out.latent)


def _main_inputs() -> list:
    return [
        io.Model.Input("model", tooltip="Stable Diffusion 1.x, 2.x, SDXL, Flux, Chroma, Lumina 2 or Z-Image."),
        io.Clip.Input("clip", tooltip="The text encoder of the same checkpoint."),
        prompt("One scene per line, or the positive of another Attention Director node with one row per scene."),
        io.String.Input("prefix", default="", tooltip="Put before every scene: the style and the subject, written "
                                                      "once. Empty does nothing."),
        io.String.Input("suffix", default="", tooltip="Put after every scene. Empty does nothing."),
        io.String.Input("subjects", default="", multiline=True,
                        tooltip="Who stays the same: exact words that every scene contains, one subject per line. All "
                                "words of a phrase count."),
        io.Latent.Input("latent_image", tooltip="Size of the pictures. One is enough: it is repeated with different "
                                                "noise for each scene."),
        Bank.Input("bank", optional=True, tooltip="Anchors saved from an earlier run. They replace new ones, and one "
                                                  "scene at a time is enough."),
        io.Int.Input("anchors", default=2, min=1, max=8,
                     tooltip="How many of the first scenes the others attend to. Ignored with a bank."),
        number("strength", 1.0, 0.0, 2.0, 0.05, "How much the shared subject counts against the picture's own "
                                                "content; 1 is the paper's. 0 does nothing at all."),
        io.Combo.Input("mode", options=["two-pass", "one-pass"], default="two-pass",
                       tooltip="two-pass: as in the paper; the first pass finds which parts correspond. one-pass: "
                               "half the time, experimental. On Stable Diffusion no difference when injection is 0."),
        number("injection", 0.8, 0.0, 1.0, 0.05, "How much of an anchor's corresponding part is mixed in, for "
                                                 "likeness in details. 0 does nothing, and on Stable Diffusion saves "
                                                 "the second pass."),
    ]


def _advanced_inputs() -> list:
    return [
        number("variety", 0.5, 0.0, 0.95, 0.05, "Share of the subject's pixels left out at each step. More gives "
                                                "freer poses and less likeness. 0 keeps all of them.",
               advanced=True),
        percent("start_percent", 0.0, "Where in the run sharing begins, as a share of the timesteps.", advanced=True),
        percent("end_percent", 1.0, "Where in the run sharing ends. Equal to its start: shares "
                                    "nothing.", advanced=True),
        percent("injection_start_percent", 0.1, "Where injection begins.", advanced=True),
        percent("injection_end_percent", 0.32, "Where injection ends. Equal to its start: injects nothing. On Flux, "
                                               "Chroma, Lumina 2 and Z-Image it fades out from there.", advanced=True),
        number("query_blend", 0.9, 0.0, 1.0, 0.05, "How much the layout stays that of a picture generated alone. 0 "
                                                   "does nothing; otherwise its steps take a third forward pass. Does "
                                                   "nothing on Flux, Chroma, Lumina 2 and Z-Image.", advanced=True),
        percent("query_blend_end_percent", 0.12, "Where query_blend ends. 0 does nothing.", advanced=True),
        known(io.Boolean.Input, "separate_subjects", default=False, advanced=True,
              tooltip="Several subjects: each shares only with itself. Does nothing for one subject."),
        known(io.Boolean.Input, "same_noise", default=False, advanced=True,
              tooltip="All scenes start from the noise of the first: more alike, in layout too."),
        known(io.Boolean.Input, "keep_bank", default=False, advanced=True,
              tooltip="Keep the anchors for Save Subject Bank. Costs memory: about 70 MB per step for two anchors of "
                      "SDXL at 1024, 3 GB a run of Flux.1 or Z-Image; the line after the run shows how much it was. "
                      "Does nothing with a bank."),
    ]
