"""Each region's words encoded on their own (DenseDiffusion), put back where they stand in the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..core.regions import share_tokens
from ..core.tokens import Phrase, PromptTag
from .prompt import CHUNK, Conditioning, Tokens, chunks_of, says


def reencode(clip: Any, conditioning: Conditioning, tag: PromptTag, phrases: Sequence[Phrase],
             bind_padding: bool, background: bool) -> Conditioning:
    """A copy of the conditioning whose phrases no longer know of each other.

    Rows of the tensor at a phrase's words become the phrase's own encoding. With ``bind_padding``
    the end and padding rows are dealt out among the regions (and the background), each share
    becoming that of its phrase's encoding; the background's words and share are those of the prompt
    without its phrases. Entries of another prompt stay as they are.
    """
    out = [[cond.clone(), dict(values)] for cond, values in conditioning]
    ours = [cond for cond, values in out if says(values, tag)]
    for row, layout in enumerate(tag.rows):
        tokens = clip.tokenize(layout.text)
        rows = [cond[row, start:] for cond in ours for start in tag.starts(row)]
        shares = share_tokens(tag, row, phrases, bind_padding, background)
        parts = [_Part(words, words[:CHUNK - 2], padding)
                 for words, padding in zip(shares.words, shares.padding, strict=True) if words]
        if shares.rest_padding:
            parts.append(_Part(shares.rest_words, shares.rest_words[:CHUNK - 2], shares.rest_padding))
        if parts:
            _replace(clip, rows, tokens, parts)
    return out


@dataclass(frozen=True)
class _Part:
    """Positions to encode alone, and where the words and the padding of that encoding go."""

    encoded: tuple[int, ...]
    words: tuple[int, ...]
    padding: tuple[int, ...]


def _replace(clip: Any, rows: Sequence[torch.Tensor], tokens: Tokens, parts: Sequence[_Part]) -> None:
    """Encode all parts in one call, each as a chunk of its own, and put them where they belong.

    rows: views [T, C] of the conditioning, one an entry and repetition. A text encoder that hooks
    schedule gives as many encodings as the prompt has entries.
    """
    entries = clip.encode_from_tokens_scheduled(chunks_of(tokens, [part.encoded for part in parts], clip))
    encodings = [cond[0].unflatten(0, (len(parts), CHUNK)) for cond, _ in entries]
    for n, row in enumerate(rows):
        for part, alone in zip(parts, encodings[n * len(encodings) // len(rows)], strict=True):
            _put(row, part.words, alone, [1 + i for i in range(len(part.words))])
            _put(row, part.padding, alone, [p % CHUNK for p in part.padding])


def _put(row: torch.Tensor, positions: Sequence[int], alone: torch.Tensor, source: Sequence[int]) -> None:
    if positions:
        row[list(positions)] = alone[list(source)].to(row.dtype)
