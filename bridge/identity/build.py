"""IdentityInject's work at graph time: text-only entries first, entries with fused words after.

Method: FastComposer, arXiv 2305.10431. Written from the paper; no code copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...core.fuse import fused_rows
from ...core.localise import LocaliseSubjects
from ...core.method import Method
from ...core.schedule import Schedule
from ...core.text import Phrase, PhraseNotFound, PromptTag
from ..convert import stack_masks
from ..errors import DirectorError
from ..run.install import install, key_of
from ..text.prompt import Conditioning, is_from, take_prompt, tokenise_phrase, with_key
from ..text.refusals import missing, number_them, times
from ..untrusted import require_number
from .adapter import Adapter, family_of
from .method import FUSED, PHASE_KEY, TEXT, IdentityRun
from .subject import Subject, SubjectList
from .vision import embed
from .weights import with_unet

USE_ITS_WORD = "Use a word of the prompt, such as woman, not a name."


@dataclass(frozen=True)
class IdentityOptions:
    """The node's numbers. start_percent: the paper's 1 - alpha.

    published: count text-only steps as the code published with the paper does (the node's published_step_rule).
    """

    strength: float = 1.0
    start_percent: float = 0.3
    strength_model: float = 1.0
    localise: float = 0.0
    published: bool = False


@dataclass(frozen=True)
class Outputs:
    """IdentityInject's outputs."""

    model: Any
    positive: Conditioning


def build(node: str, unique_id: str, model: Any, clip: Any, adapter: Adapter, prompt: str | Conditioning,
          subjects: SubjectList, options: IdentityOptions, base: Any = None) -> Outputs:
    """MODEL and positive with the subjects bound to their words. Raises DirectorError; changes no input."""
    _check_numbers(node, options)
    conditioning, tag = take_prompt(clip, prompt, node)
    if not subjects:
        raise DirectorError(node, "subjects is empty; wire Identity Subject into it.")
    _check_family(node, adapter, conditioning)
    phrases = [tokenise_phrase(clip, subject.phrase, node) for subject in subjects]
    places = _places(node, phrases, tag)
    strengths = [options.strength * subject.strength for subject in subjects]
    if not any(strengths) or options.start_percent >= 1.0:
        return Outputs(model, conditioning)
    vectors = [embed(adapter.tower, subject.images).mean(0) for subject in subjects]
    fused = fuse(conditioning, tag, adapter, places, vectors, strengths)
    key = key_of(unique_id, [row.text for row in tag.rows], [(s.phrase, s.strength, s.mask) for s in subjects], vectors,
                 options)
    entries = staged(node, with_key(conditioning, tag, key), with_key(fused, tag, key), tag, key, options)
    patched = with_unet(node, model, adapter, options.strength_model, base)
    return Outputs(install(patched, *_methods(node, key, phrases, subjects, options)), entries)


def _check_numbers(node: str, options: IdentityOptions) -> None:
    limits = {"strength": 2.0, "start_percent": 1.0, "strength_model": 2.0, "localise": 1.0}
    for name, most in limits.items():
        require_number(node, name, getattr(options, name), 0, most)


def _check_family(node: str, adapter: Adapter, conditioning: Conditioning) -> None:
    """An adapter fits text encoders of one width."""
    width = conditioning[0][0].shape[-1]
    if width == adapter.width:
        return
    theirs, ours = (f"{family_of(w)[2:-1]} ({w})" if family_of(w) else f"{w} wide" for w in (adapter.width, width))
    need = ("an adapter trained for SDXL, but none is published; use ComfyUI's PhotoMaker nodes instead"
            if width == 2048 else f"an adapter trained for {ours}, or a checkpoint of the adapter's family")
    raise DirectorError(node, f"the adapter is for {theirs}; this text encoder is {ours}. Needed: {need}.")


def _places(node: str, phrases: Sequence[Phrase], tag: PromptTag) -> list[tuple[int | None, ...]]:
    """The last token of each phrase in each row, None where a row lacks it."""
    places: list[tuple[int | None, ...]] = []
    for number, wanted in enumerate(phrases, 1):
        if wanted.empty:
            raise DirectorError(node, f'subject {number} "{wanted.text}" contains no word; write words of the prompt.')
        try:
            found = tag.find(wanted)
        except PhraseNotFound:
            raise DirectorError(node, missing(f'subject {number} "{wanted.text}"', wanted, tag.rows, USE_ITS_WORD,
                                              tag.appended)) from None
        places.append(tuple(p[-1] if p else None for p in found))
        for earlier, other in enumerate(places[:-1], 1):
            if any(p is not None and p == q for p, q in zip(places[-1], other, strict=True)):
                raise DirectorError(node, _claimed(earlier, number, phrases, tag))
    return places


def _claimed(first: int, second: int, phrases: Sequence[Phrase], tag: PromptTag) -> str:
    a, b = phrases[first - 1], phrases[second - 1]
    if times(b, tag.rows) > 1:
        return f'subjects {first} and {second} both claim the same "{b.said}"; {number_them(b)}.'
    return (f'subjects {first} "{a.text}" and {second} "{b.text}" end at the same word; give each its own word, or '
            "give both pictures to one subject.")


def fuse(conditioning: Conditioning, tag: PromptTag, adapter: Adapter, places: Sequence[Sequence[int | None]],
         vectors: Sequence[torch.Tensor], strengths: Sequence[float]) -> Conditioning:
    """A copy of the conditioning with each subject's word fused with its picture, in every entry of this prompt."""
    out = []
    for cond, values in conditioning:
        if is_from(values, tag):
            cond = torch.stack([_fused_row(row, tag, number % len(tag.rows), adapter, places, vectors, strengths)
                                for number, row in enumerate(cond)])
        out.append([cond, dict(values)])
    return out


def _fused_row(row: torch.Tensor, tag: PromptTag, number: int, adapter: Adapter,
               places: Sequence[Sequence[int | None]], vectors: Sequence[torch.Tensor],
               strengths: Sequence[float]) -> torch.Tensor:
    """One prompt's [T, C]; a word is fused in every repetition of the row."""
    found = [(start + own, vector, strength)
             for place, vector, strength in zip(places, vectors, strengths, strict=True)
             if (own := place[number]) is not None for start in tag.starts(number)]
    if not found:
        return row
    positions = [position for position, _, _ in found]
    words = row[positions].to("cpu", torch.float32)
    rows = adapter.fuse(words, torch.stack([vector for _, vector, _ in found]))
    return fused_rows(row, positions, list(rows.to(row.device)), [strength for *_, strength in found])


def staged(node: str, text: Conditioning, fused: Conditioning, tag: PromptTag, key: str,
           options: IdentityOptions) -> Conditioning:
    """Text-only entries until start_percent, fused ones after; entries of another prompt as they are.

    An entry's own range is kept: both halves lie inside it. Under the published rule the ranges say
    "text only", and the run itself counts its steps.
    """
    out: Conditioning = []
    start = options.start_percent
    for (plain, values), (with_faces, _) in zip(text, fused, strict=True):
        if not is_from(values, tag):
            out.append([plain, values])
        elif options.published:
            if "start_percent" in values or "end_percent" in values:
                raise DirectorError(node, "published_step_rule counts the steps of the whole run, but this prompt has "
                                          "its own time range; switch the rule off or remove the range.")
            out.append([plain, {**values, PHASE_KEY: (key, TEXT, ())}])
            out.append([with_faces, {**values, "start_percent": 1.0, "end_percent": 1.0,
                                     PHASE_KEY: (key, FUSED, ("timestep_start", "timestep_end"))}])
        else:
            first, last = values.get("start_percent", 0.0), values.get("end_percent", 1.0)
            if first < start:
                out.append([plain, {**values, "start_percent": first, "end_percent": min(last, start)}])
            if last > start:
                later = {} if start <= first else {"start_percent": start, "end_percent": last}
                out.append([with_faces, {**values, **later}])
    return out


def _methods(node: str, key: str, phrases: Sequence[Phrase], subjects: SubjectList,
             options: IdentityOptions) -> list[Method]:
    """What goes on the model: the part around it, and the part in attention where words are confined."""
    published = options.start_percent if options.published else None
    schedule = Schedule() if published is not None else Schedule(options.start_percent, 1.0)
    masked = any(s.mask is not None for s in subjects)
    around = IdentityRun(key, node, len(phrases), schedule, published, masked and not options.localise)
    if not options.localise:
        return [around]
    masks = stack_masks(node, [_mask_of(s) for s in subjects])
    given = torch.tensor([s.mask is not None for s in subjects])
    return [around, LocaliseSubjects(key, tuple(phrases), options.localise, schedule, masks, given, node)]


def _mask_of(subject: Subject) -> torch.Tensor:
    return torch.ones(1, 8, 8) if subject.mask is None else subject.mask

