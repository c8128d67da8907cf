"""RegionPrompt's work at graph time: check everything, then put one method on the model."""

from __future__ import annotations

import logging
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch

from ...core.joint_regions import JointRegionAttention
from ...core.regions import RegionAttention
from ...core.text import Phrase, PhraseNotFound, PromptTag
from ..convert import stack_masks
from ..errors import DirectorError
from ..families import family_of
from ..run.install import install, key_of
from ..text.prompt import Conditioning, take_prompt, tokenise_phrase, with_key
from ..text.reencode import reencode
from ..text.refusals import claimed, missing
from ..untrusted import as_text, within
from .presets import RegionOptions
from .preview import region_preview
from .region import MOST_STRENGTH, RegionList

log = logging.getLogger("attention_director")

ADD_IT = "Add it to the prompt or choose other words."


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
    if not within(strength, 0, MOST_STRENGTH):
        raise DirectorError(node, f"strength is {as_text(strength)}; give a number from 0 to 2.")
    conditioning, tag = take_prompt(clip, prompt, node)
    phrases = [tokenise_phrase(clip, region.phrase, node) for region in regions]
    check_phrases(node, phrases, tag, typed)
    left_out = without_place(node, regions)
    phrases = [wanted for wanted, region in zip(phrases, regions, strict=True) if region.has_place]
    regions = tuple(region for region in regions if region.has_place)
    masks = stack_masks(node, [r.mask for r in regions]) if regions else torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    preview = region_preview(masks[0], [r.phrase for r in regions] or [""], width, height, left_out)
    shown = masks.flatten(0, 1).float()
    strengths = tuple(strength * region.strength for region in regions)
    if not any(strengths):
        return Outputs(model, conditioning, shown, preview)
    joint = family_of(model, node, joint=True).joint
    chosen = options.joint if joint else options
    if chosen.schedule.empty or not any(chosen.rule.weights.values()):
        return Outputs(model, conditioning, shown, preview)
    key = key_of(unique_id, [row.text for row in tag.rows], [(r.phrase, r.strength) for r in regions], masks, strength,
                 chosen)
    method = (JointRegionAttention if joint else RegionAttention)(
        key, tuple(phrases), masks, strengths, chosen.rule, chosen.schedule, label=node, uncovered=strength,
        left_out=len(left_out))
    directed = install(model, method)
    if chosen.reencode:
        conditioning = reencode(clip, conditioning, tag, phrases, chosen.reencode == "rest",
                                chosen.rule.padding and chosen.rule.background, node)
    return Outputs(directed, with_key(conditioning, tag, key), shown, preview)


def without_place(node: str, regions: RegionList) -> list[str]:
    """What the regions are called whose masks are empty; the log says that they are left out."""
    names = [f'region {number} "{region.phrase}"' for number, region in enumerate(regions, 1) if not region.has_place]
    for name in names:
        log.warning("%s: the mask of %s is empty, so the region is left out.", node, name)
    return names


def check_phrases(node: str, phrases: list[Phrase], tag: PromptTag, typed: str = "") -> None:
    """Every phrase must be in the prompt, and no two regions may claim the same words."""
    for number, wanted in enumerate(phrases, 1):
        try:
            tag.find(wanted)
        except PhraseNotFound:
            if any(wanted.text.lower() in braces.lower() for braces in re.findall(r"\{[^{}]*\}", typed)):
                raise DirectorError(node, f'"{wanted.text}" is an alternative that was not chosen this time; keep '
                                          "bound phrases outside braces.") from None
            raise DirectorError(node, missing(f'region {number} "{wanted.text}"', wanted, tag.rows, ADD_IT,
                                              tag.appended)) from None
    claims = Counter((p.layout.key, p.occurrence) for p in phrases if not p.empty)
    for wanted in phrases:
        count = claims[wanted.layout.key, wanted.occurrence]
        if count > 1:
            raise DirectorError(node, claimed(wanted, tag.rows, count))

