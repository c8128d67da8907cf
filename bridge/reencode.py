"""Each region's words encoded on their own (DenseDiffusion), put back where they stand in the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..core.regions import share_tokens
from ..core.tokens import Phrase, PromptTag
from .prompt import CHUNK, Conditioning, Tokens, says, tokens_at


def reencode(clip: Any, conditioning: Conditioning, tag: PromptTag, phrases: Sequence[Phrase],
             bind_padding: bool, background: bool) -> Conditioning:
    """A copy of the conditioning whose phrases no longer know of each other.

    Rows of the tensor at a phrase's words become the phrase's own encoding. With ``bind_padding``
    the end and padding rows are dealt out among the regions (and the background), each share
    becoming that of its phrase's encoding; the background's is that of the prompt without phrases.
    Entries of another prompt stay as they are.
    """
    out = [[cond.clone(), dict(values)] for cond, values in conditioning]
    ours = [cond for cond, values in out if says(values, tag)]
    for row, layout in enumerate(tag.rows):
        tokens = clip.tokenize(layout.text)
        rows = [cond[row, start:] for cond in ours for start in tag.starts(row)]
        shares = share_tokens(tag, row, phrases, bind_padding, background)
        for words, padding in zip(shares.words, shares.padding, strict=True):
            if words:
                _replace(clip, rows, tokens, words, words, padding)
        if shares.rest_padding:
            _replace(clip, rows, tokens, shares.rest_words, (), shares.rest_padding)
    return out


def _replace(clip: Any, rows: Sequence[torch.Tensor], tokens: Tokens, encoded_words: Sequence[int],
             words: Sequence[int], padding: Sequence[int]) -> None:
    """Encode some of the prompt's words alone; put the result at ``words`` and at ``padding`` of each row.

    rows: views [T, C] of the conditioning, one an entry and repetition. A text encoder that hooks
    schedule gives as many encodings as the prompt has entries.
    """
    entries = clip.encode_from_tokens_scheduled(tokens_at(tokens, tuple(encoded_words), clip))
    encodings = [cond[0] for cond, _ in entries]
    kept = words[:CHUNK - 2]
    for n, row in enumerate(rows):
        alone = encodings[n * len(encodings) // len(rows)]
        _put(row, kept, alone, [1 + i for i in range(len(kept))])
        _put(row, padding, alone, [p % CHUNK for p in padding])


def _put(row: torch.Tensor, positions: Sequence[int], alone: torch.Tensor, source: Sequence[int]) -> None:
    if positions:
        row[list(positions)] = alone[list(source)].to(row.dtype)
