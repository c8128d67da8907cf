"""RegionPrompt's work at graph time: check everything, then put one method on the model."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
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
from .region import MOST_STRENGTH, RegionList, numbers_of

log = logging.getLogger("attention_director")

ADD_IT = "Add it to the prompt or choose other words."


@dataclass(frozen=True)
class Outputs:
    """RegionPrompt's outputs. plain: the same prompt, which no region acts on."""

    model: Any
    positive: Conditioning
    masks: torch.Tensor
    preview: torch.Tensor
    plain: Conditioning


def build(node: str, unique_id: str, model: Any, clip: Any, prompt: str | Conditioning, regions: RegionList,
          strength: float, options: RegionOptions, width: int, height: int, typed: str = "") -> Outputs:
    """Bind the regions' phrases to their masks. Raises DirectorError; never changes its inputs.

    typed: the prompt before the editor drew among its {a|b} alternatives, where it is known.
    """
    if not within(strength, 0, MOST_STRENGTH):
        raise DirectorError(node, f"strength is {as_text(strength)}; give a number from 0 to 2.")
    plain, tag = take_prompt(clip, prompt, node)
    chosen = choose(node, clip, regions, tag, typed)
    phrases, regions = list(chosen.phrases), chosen.regions
    check_claims(node, phrases, tag)
    masks = stack_masks(node, [r.mask for r in regions]) if regions else torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    preview, shown = chosen.preview(masks[0], width, height), masks.flatten(0, 1).float()
    undirected = Outputs(model, plain, shown, preview, plain)
    strengths = tuple(strength * region.strength for region in regions)
    if not any(strengths):
        return undirected
    joint = family_of(model, node, joint=True).joint
    acting = options.joint if joint else options
    if acting.schedule.empty or not any(acting.rule.weights.values()):
        return undirected
    key = key_of(unique_id, [row.text for row in tag.rows], [(r.phrase, r.strength) for r in regions], masks, strength,
                 acting)
    method = (JointRegionAttention if joint else RegionAttention)(
        key, tuple(phrases), masks, strengths, acting.rule, acting.schedule, label=node, uncovered=strength,
        left_out=len(chosen.placeless), unbound=chosen.unbound)
    directed, conditioning = install(model, method), plain
    if acting.reencode:
        conditioning = reencode(clip, plain, tag, phrases, acting.reencode == "rest",
                                acting.rule.padding and acting.rule.background, node)
    return Outputs(directed, with_key(conditioning, tag, key), shown, preview, plain)


@dataclass(frozen=True)
class Chosen:
    """The regions that act, with their phrases and numbers.

    unbound: numbers of those left out since no prompt has their words. placeless: names of those whose masks are empty.
    """

    regions: RegionList
    phrases: tuple[Phrase, ...]
    numbers: tuple[int, ...]
    unbound: tuple[int, ...]
    placeless: tuple[str, ...]

    def preview(self, masks: torch.Tensor, width: int, height: int) -> torch.Tensor:
        """The regions and what is left out, as ``region_preview`` draws them. masks: [R, H, W], one layout's."""
        left_out = [*(f"{name}: empty mask" for name in self.placeless),
                    *(f"region {number}: no words in this prompt" for number in self.unbound)]
        return region_preview(masks, [region.phrase for region in self.regions] or [""], self.numbers or [1], width,
                              height, left_out)


def choose(node: str, clip: Any, regions: RegionList, tag: PromptTag, typed: str) -> Chosen:
    """Leave out what has no words or no place; the log says so. Raises DirectorError where no words are left."""
    phrases = [tokenise_phrase(clip, region.phrase, node) for region in regions]
    numbers = numbers_of(regions)
    names = [f'region {number} "{region.phrase}"' for number, region in zip(numbers, regions, strict=True)]
    lost = without_words(node, regions, names, phrases, tag, typed)
    placeless = tuple(name for name, region in zip(names, regions, strict=True) if not region.has_place)
    for name in placeless:
        log.warning("%s: the mask of %s is empty, so the region is left out.", node, name)
    acting = [i for i, region in enumerate(regions) if region.has_place and i not in lost]
    return Chosen(tuple(regions[i] for i in acting), tuple(phrases[i] for i in acting),
                  tuple(numbers[i] for i in acting), tuple(sorted(numbers[i] for i in lost)), placeless)


def without_words(node: str, regions: RegionList, names: Sequence[str], phrases: list[Phrase], tag: PromptTag,
                  typed: str = "") -> frozenset[int]:
    """Which regions have a phrase that no prompt has; the log says why they are left out.

    Raises DirectorError where that leaves no region that has a place.
    """
    lost = {i: sentence for i, wanted in enumerate(phrases) if (sentence := _why_lost(names[i], wanted, tag, typed))}
    if lost and not any(region.has_place for i, region in enumerate(regions) if i not in lost):
        raise DirectorError(node, next(iter(lost.values())))
    for sentence in lost.values():
        log.warning("%s: %s The region is left out.", node, sentence)
    return frozenset(lost)


def _why_lost(who: str, wanted: Phrase, tag: PromptTag, typed: str) -> str:
    """One sentence about a phrase that no prompt has, "" for one that some prompt has."""
    try:
        tag.find(wanted)
    except PhraseNotFound:
        if any(wanted.text.lower() in braces.lower() for braces in re.findall(r"\{[^{}]*\}", typed)):
            return (f'"{wanted.text}" is an alternative that was not chosen this time; keep bound phrases outside '
                    "braces.")
        return missing(who, wanted, tag.rows, ADD_IT, tag.appended)
    return ""


def check_claims(node: str, phrases: list[Phrase], tag: PromptTag) -> None:
    """No two regions may claim the same words."""
    claims = Counter((p.layout.key, p.occurrence) for p in phrases if not p.empty)
    for wanted in phrases:
        count = claims[wanted.layout.key, wanted.occurrence]
        if count > 1:
            raise DirectorError(node, claimed(wanted, tag.rows, count))
