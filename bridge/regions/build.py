"""RegionPrompt's work at graph time: check everything, then put one method on the model."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch

from ...core.regions import RegionAttention
from ...core.text import Phrase, PhraseNotFound, PromptTag
from ..convert import stack_masks
from ..demo.model import warn_unknown_words
from ..errors import DirectorError
from ..run.install import install, key_of
from ..text.prompt import Conditioning, phrase, take_prompt, with_key
from ..text.reencode import reencode
from .presets import RegionOptions
from .preview import region_preview
from .region import RegionList


@dataclass(frozen=True)
class Outputs:
    """RegionPrompt's outputs."""

    model: Any
    positive: Conditioning
    masks: torch.Tensor
    preview: torch.Tensor


def build(node: str, unique_id: str, model: Any, clip: Any, prompt: str | Conditioning, regions: RegionList,
          strength: float, options: RegionOptions, width: int, height: int, typed: str = "") -> Outputs:
    """Bind the regions' phrases to their masks. Raises DirectorError; never changes its inputs.

    typed: the prompt before the editor drew among its {a|b} alternatives, where it is known.
    """
    if not math.isfinite(strength) or strength < 0:
        raise DirectorError(node, f"strength is {strength}; give a number from 0 to 2.")
    conditioning, tag = take_prompt(clip, prompt, node)
    warn_unknown_words(clip, tag, node)
    phrases = [phrase(clip, region.phrase, node) for region in regions]
    check_phrases(node, phrases, tag, typed)
    masks = stack_masks(node, [r.mask for r in regions]) if regions else torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    preview = region_preview(masks[0], [r.phrase for r in regions] or [""], width, height)
    shown = masks.flatten(0, 1).float()
    strengths = tuple(strength * region.strength for region in regions)
    if not any(strengths) or options.schedule.empty or not (options.rule.cross_strength or
                                                                   options.rule.self_strength):
        return Outputs(model, conditioning, shown, preview)
    key = key_of(unique_id, [row.text for row in tag.rows], [(r.phrase, r.strength) for r in regions], masks, strength,
                 options)
    method = RegionAttention(key, tuple(phrases), masks, strengths, options.rule, options.schedule, label=node,
                             uncovered=strength)
    directed = install(model, method)
    if options.reencode:
        conditioning = reencode(clip, conditioning, tag, phrases, options.reencode == "rest",
                                options.rule.padding and options.rule.background)
    return Outputs(directed, with_key(conditioning, tag, key), shown, preview)


def check_phrases(node: str, phrases: list[Phrase], tag: PromptTag, typed: str = "") -> None:
    """Every phrase must be in the prompt, and no two regions may claim the same words."""
    for number, wanted in enumerate(phrases, 1):
        try:
            tag.find(wanted)
        except PhraseNotFound as error:
            if any(wanted.text.lower() in braces.lower() for braces in re.findall(r"\{[^{}]*\}", typed)):
                raise DirectorError(node, f'"{wanted.text}" is an alternative that was not chosen this time; keep '
                                          "bound phrases outside braces.") from None
            raise DirectorError(node, _missing(number, wanted, error, tag)) from None
    claims = Counter((" ".join(w.text for w in p.layout.words()), p.occurrence) for p in phrases if not p.empty)
    for wanted in phrases:
        words = " ".join(w.text for w in wanted.layout.words())
        count = claims[words, wanted.occurrence]
        if count > 1:
            raise DirectorError(node, _claimed(words, count, _times(wanted, tag)))


def _times(wanted: Phrase, tag: PromptTag) -> int:
    """How often the phrase's words occur in the prompt."""
    return max(len(row.occurrences(wanted.layout)) for row in tag.rows)


def _claimed(words: str, regions: int, times: int) -> str:
    spoken = {2: ("twice", "two")}
    if times > 1:
        often, many = spoken.get(times, (f"{times} times", ""))[0], spoken.get(regions, ("", str(regions)))[1]
        return f'"{words}" occurs {often} and {many} regions claim it; write {words}#1 and {words}#2.'
    return f'"{words}" occurs once and {regions} regions claim it; join their masks in one region.'


def _missing(number: int, wanted: Phrase, error: PhraseNotFound, tag: PromptTag) -> str:
    times = _times(wanted, tag)
    if times:
        often = "once" if times == 1 else f"{times} times"
        return f'region {number} "{wanted.text}": the prompt contains those words {often}; lower the number after #.'
    nearest = f'; nearest: "{error.nearest}"' if error.nearest else ""
    return f'region {number} "{wanted.text}" is not in the prompt{nearest}. Add it to the prompt or pick other words.'

