"""IdentityInject's work at graph time: text-only entries first, entries with the subjects after.

On UNets words are fused with pictures by an adapter (FastComposer, arXiv 2305.10431; written from the paper, no code
copied); transformers that were trained with reference pictures get the pictures themselves (references.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...core.fuse import fused_rows
from ...core.localise import LocaliseSubjects
from ...core.method import Method
from ...core.schedule import Schedule
from ...core.text import Phrase, PhraseNotFound, PromptTag
from ..errors import DirectorError
from ..families import takes_references
from ..run.install import install
from ..text.prompt import Conditioning, is_from, take_prompt, tokenise_phrase, with_key
from ..text.refusals import missing, number_them, times
from ..untrusted import require_number
from .adapter import Adapter, family_of
from .asked import Asked, IdentityOptions, Outputs, staged
from .method import IdentityRun
from .references import require_vae, with_references
from .subject import SubjectList
from .vision import embed
from .weights import with_unet

SDXL_WIDTH = 2048  # of its two text encoders' rows
USE_ITS_WORD = "Use a word of the prompt, such as woman, not a name."


def build(node: str, unique_id: str, model: Any, clip: Any, adapter: Adapter | None, prompt: str | Conditioning,
          subjects: SubjectList, options: IdentityOptions, base: Any = None, vae: Any = None) -> Outputs:
    """MODEL and positive with the subjects bound to their words. Raises DirectorError; changes no input.

    adapter, base: needed by UNets alone; vae: by transformers alone.
    """
    _check_numbers(node, options)
    referring = takes_references(model, node)
    conditioning, tag = take_prompt(clip, prompt, node)
    if not subjects:
        raise DirectorError(node, "subjects is empty; wire Identity Subject into it.")
    if referring:
        require_vae(node, vae)
    else:
        _check_family(node, adapter, conditioning)
    phrases = tuple(tokenise_phrase(clip, subject.phrase, node) for subject in subjects)
    places = _places(node, phrases, tag)
    asked = Asked(node, unique_id, conditioning, tag, subjects, phrases, options)
    if not any(asked.strengths) or options.start_percent >= 1.0:
        return Outputs(model, conditioning)
    if referring:
        return with_references(asked, model, vae)
    return _with_fused_words(asked, places, model, adapter, base)


def _with_fused_words(asked: Asked, places: Sequence[Sequence[int | None]], model: Any, adapter: Any,
                      base: Any) -> Outputs:
    """FastComposer's way: each subject's word becomes one of word and picture."""
    vectors = [embed(adapter.tower, subject.images).mean(0) for subject in asked.subjects]
    fused = fuse(asked.conditioning, asked.tag, adapter, places, vectors, asked.strengths)
    if not all(cond.isfinite().all() for cond, _ in fused):
        raise DirectorError(asked.node, f'"{adapter.name}" makes numbers without end of the words; it may be damaged, '
                                        "get it again.")
    key = asked.key(vectors)
    entries = staged(asked.node, with_key(asked.conditioning, asked.tag, key), with_key(fused, asked.tag, key),
                     asked.tag, key, asked.options)
    patched = with_unet(asked.node, model, adapter, asked.options.strength_model, base)
    return Outputs(install(patched, *_methods(asked, key)), entries)


def _check_numbers(node: str, options: IdentityOptions) -> None:
    limits = {"strength": 2.0, "start_percent": 1.0, "strength_model": 2.0, "localise": 1.0}
    for name, most in limits.items():
        require_number(node, name, getattr(options, name), 0, most)


def _check_family(node: str, adapter: Adapter | None, conditioning: Conditioning) -> None:
    """An adapter fits text encoders of one width."""
    if adapter is None:
        raise DirectorError(node, "the adapter input is empty, and this model needs one; wire Load Identity Adapter.")
    width = conditioning[0][0].shape[-1]
    if width == adapter.width:
        return
    theirs, ours = (f"{family_of(w)[2:-1]} ({w})" if family_of(w) else f"{w} wide" for w in (adapter.width, width))
    if width == SDXL_WIDTH:
        raise DirectorError(node, f"the adapter is for {theirs}; this text encoder is {ours}. Needed: an adapter "
                                  "trained for SDXL, but none is published; use ComfyUI's PhotoMaker nodes instead.")
    raise DirectorError(node, f"the adapter is for {theirs}; this text encoder is {ours}. Needed: an adapter trained "
                              f"for {ours}, or a checkpoint of the adapter's family.")


def _places(node: str, phrases: Sequence[Phrase], tag: PromptTag) -> tuple[tuple[int | None, ...], ...]:
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
    return tuple(places)


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


def _methods(asked: Asked, key: str) -> list[Method]:
    """What goes on the model: the part around it, and the part in attention where words are confined."""
    options = asked.options
    published = options.start_percent if options.published else None
    schedule = Schedule() if published is not None else Schedule(options.start_percent, 1.0)
    around = IdentityRun(key, asked.node, len(asked.phrases), schedule, published,
                         bool(asked.masked.any()) and not options.localise)
    if not options.localise:
        return [around]
    return [around, LocaliseSubjects(key, asked.phrases, options.localise, schedule, asked.masks(), asked.masked,
                                     asked.node)]
