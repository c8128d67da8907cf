"""Each region's words in an encoding of their own (DenseDiffusion), put back where they stand in the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...core.regions import share_tokens
from ...core.text import Phrase, PromptTag
from ..errors import DirectorError
from .clip_bpe import CHUNK, Tokens, chunks_of
from .encoders import reads_chunks, taken
from .prompt import Conditioning, is_from


def reencode(clip: Any, conditioning: Conditioning, tag: PromptTag, phrases: Sequence[Phrase],
             with_rest: bool, padding: bool, node: str) -> Conditioning:
    """A copy of the conditioning whose phrases no longer know of each other.

    Rows of the tensor at a phrase's words become those of its own encoding: of the phrase alone, as the
    paper has it, or ``with_rest`` of the prompt without the other regions' words, so that what is said of
    the whole picture is still heard. With ``padding`` the end and padding rows, which carry the caption's
    meaning, become those of the prompt without any region's words. Entries of another prompt stay as they are.
    Raises DirectorError for a text encoder other than CLIP.
    """
    if not reads_chunks(clip, node):
        raise DirectorError(node, "regions cannot have encodings of their own with this text encoder, which is not "
                                  "CLIP; give this node the clip of its model.")
    out = [[cond.clone(), dict(values)] for cond, values in conditioning]
    ours = [cond for cond, values in out if is_from(values, tag)]
    for row, layout in enumerate(tag.rows):
        rows = [cond[row, start:] for cond in ours for start in tag.starts(row)]
        shares = share_tokens(tag, row, phrases)
        parts = [_Part(words, _encoded(words, shares.rest if with_rest else ())) for words in shares.words if words]
        if padding and parts:
            parts.append(_Part((), shares.rest[:CHUNK - 2], tuple(p for p in shares.padding if p % CHUNK)))
        if parts:
            _replace(clip, rows, taken(clip, clip.tokenize(layout.text), node), parts)
    return out


def _encoded(words: tuple[int, ...], rest: tuple[int, ...]) -> tuple[int, ...]:
    """The positions of one encoding, in the prompt's order; the words alone where a chunk cannot hold all."""
    together = tuple(sorted({*words, *rest}))
    return together if len(together) <= CHUNK - 2 else words[:CHUNK - 2]


@dataclass(frozen=True)
class _Part:
    """Positions that are encoded, of one chunk at most; which words of it, and which padding, are taken over."""

    words: tuple[int, ...]
    encoded: tuple[int, ...]
    padding: tuple[int, ...] = ()


def _replace(clip: Any, rows: Sequence[torch.Tensor], tokens: Tokens, parts: Sequence[_Part]) -> None:
    """Encode all parts in one call, each as a chunk of its own, and put them where they belong.

    rows: views [T, C] of the conditioning, one an entry and repetition. A text encoder that hooks
    schedule gives as many encodings as the prompt has entries.
    """
    entries = clip.encode_from_tokens_scheduled(chunks_of(tokens, [part.encoded for part in parts], clip))
    encodings = [cond[0].unflatten(0, (len(parts), CHUNK)) for cond, _ in entries]
    for n, row in enumerate(rows):
        for part, alone in zip(parts, encodings[n * len(encodings) // len(rows)], strict=True):
            words = [p for p in part.words if p in part.encoded]
            row[words] = alone[[1 + part.encoded.index(p) for p in words]].to(row.dtype)
            row[list(part.padding)] = alone[[p % CHUNK for p in part.padding]].to(row.dtype)
