"""Attention Edit: change a word, keep the picture (Prompt-to-Prompt, arXiv 2208.01626)."""

from __future__ import annotations

from functools import partial
from typing import Any

from comfy_api.latest import io

from ..bridge.edit.build import EditOptions, build
from ..bridge.inversion.replay import replay
from ..bridge.untrusted import require_number
from .schema import CATEGORY, InversionSocket, known, number, percent, prompt, schedule, schema, unique_id

NODE = "AttentionEdit"


def share(name: str, value: float) -> float:
    require_number(NODE, name, value, 0, 1)
    return value


def lines(name: str, tooltip: str, advanced: bool = False) -> Any:
    return known(io.String.Input, name, default="", multiline=True, tooltip=tooltip, advanced=advanced or None)


class AttentionEdit(io.ComfyNode):
    """Generates a source prompt and edited ones side by side, each edit keeping the source's picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [
            io.Model.Input("model", tooltip="Stable Diffusion 1.x, 2.x, SDXL, Flux, Chroma, Lumina 2 or Z-Image."),
            io.Clip.Input("clip", tooltip="The text encoder of the same model."),
            prompt("The prompt of the picture to edit. Or link the positive of another Attention Director node: its "
                   "first row is the source, its others the targets.", dynamic=False),
            lines("targets", "Edited prompts, one per line. Empty: only reweight, on a copy of the source. A weight "
                             "such as (snow:1.5) changes what the word means; reweight changes how much of the "
                             "picture attends to it."),
            io.Conditioning.Input("negative", optional=True,
                                  tooltip="Passed on to the negative output, unless the inversion replaces it. Not "
                                          "connected: the empty prompt."),
            io.Latent.Input("latent_image", tooltip="Sets the size and how many pictures. Each gives one row per "
                                                    "prompt: source, target 1, target 2 ..."),
            InversionSocket.Input("inversion", optional=True,
                            tooltip="From Image to Noise: edits that picture. Not connected: a new picture is "
                                    "generated."),
            io.Combo.Input("edit", options=["auto", "replace", "refine"], default="auto",
                           tooltip="replace: swaps words one for one. refine: keeps what both prompts share and adds "
                                   "the rest. auto: replace where both have the same number of words, else refine. "
                                   "Does nothing when targets is empty, and on transformers without mix_words."),
            lines("reweight", "One word of a target per line, such as snow: 1.8. 1 does nothing, 0 and below weaken "
                              "it; to remove an object, leave it out of the target."),
            percent("cross_end_percent", 0.8, "Until when words keep the source's places; later keeps more of the "
                                              "layout. Equal to its start: does nothing."),
            percent("self_end_percent", 0.4, "Until when shapes are copied; later keeps more of the shapes. Equal to "
                                             "its start: does nothing."),
            lines("blend_words", "Only the area of these words may change. One per line, from the source or a target. "
                                 "Empty: the whole picture may change."),
            lines("keep_words", "Words whose area must not change, one per line. Does nothing without blend_words.",
                  advanced=True),
            number("blend_threshold", 0.3, 0.0, 1.0, 0.01,
                   "The share of a word's highest attention that a pixel needs to count as its area; more makes the "
                   "area smaller. Does nothing without blend_words.", advanced=True),
            percent("blend_start_percent", 0.2, "When holding the rest of the picture begins. Does nothing without "
                                                "blend_words.", advanced=True),
            percent("cross_start_percent", 0.0, "When words begin to keep the source's places.", advanced=True),
            percent("self_start_percent", 0.0, "When copying shapes begins.", advanced=True),
            lines("word_windows", "When a word of a target is edited, instead of the cross window: snow: 0-0.4, one "
                                  "per line. Empty does nothing.", advanced=True),
            known(io.Int.Input, "self_max_grid", default=0, min=0, max=128, advanced=True,
                  tooltip="Side of the largest attention grid whose shapes are copied. 0 chooses: a quarter of the "
                          "latent, at least 16, or at least 32 with an inversion. Does nothing on transformers."),
            known(io.Boolean.Input, "legacy_tail", default=False, advanced=True,
                  tooltip="On: after a change of length, words are paired as in the code published with the paper. "
                          "Does nothing where the lengths are equal."),
            known(io.Boolean.Input, "mix_words", default=False, advanced=True,
                  tooltip="On transformers (Flux, Chroma, Lumina 2, Z-Image): words keep the source's places too, "
                          "until cross_end_percent. Off: only shapes are copied, and reweight acts until then. Stable "
                          "Diffusion always mixes."),
        ]
        return schema(
            node_id=NODE,
            display_name="Attention Edit (Prompt-to-Prompt)",
            category=CATEGORY,
            description="Change a word of the prompt and keep the picture. The source and each edit are generated as "
                        "one batch, with any sampler.",
            search_aliases=["Prompt-to-Prompt", "p2p", "prompt edit", "word swap", "attention reweighting",
                            "real image edit", "null-text inversion"],
            hidden=[io.Hidden.unique_id],
            inputs=inputs,
            outputs=[
                io.Model.Output(display_name="model", tooltip="Wire to the sampler, with the three below."),
                io.Conditioning.Output(display_name="positive", tooltip="Source and targets, one row each."),
                io.Conditioning.Output(display_name="negative", tooltip="Wire to the sampler's negative."),
                io.Latent.Output(display_name="latent", tooltip="One row per prompt; the first is the source. Wire to "
                                                                "the sampler's latent_image."),
            ],
        )

    @classmethod
    def execute(cls, model, clip, text, targets: str, latent_image, edit: str, reweight: str,
                cross_end_percent: float, self_end_percent: float, blend_words: str, keep_words: str = "",
                blend_threshold: float = 0.3, blend_start_percent: float = 0.2, cross_start_percent: float = 0.0,
                self_start_percent: float = 0.0, word_windows: str = "", self_max_grid: int = 0,
                legacy_tail: bool = False, mix_words: bool = False, negative=None, inversion=None) -> io.NodeOutput:
        options = EditOptions(
            targets=targets, edit=edit, reweight=reweight,
            cross_window=schedule(NODE, cross_start_percent, cross_end_percent, "cross_"),
            self_window=schedule(NODE, self_start_percent, self_end_percent, "self_"), blend_words=blend_words,
            keep_words=keep_words, blend_threshold=share("blend_threshold", blend_threshold),
            blend_start=share("blend_start_percent", blend_start_percent), word_windows=word_windows,
            self_max_grid=self_max_grid, published=legacy_tail, mixes_words=mix_words)
        replaying = None if inversion is None else partial(replay, inversion)
        result = build(NODE, unique_id(cls), model, clip, text, latent_image, options, negative, replaying)
        return io.NodeOutput(result.model, result.positive, result.negative, result.latent)
