"""Each region's words encoded on their own (DenseDiffusion), put back where they stand in the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..core.regions import deal_padding
from ..core.tokens import Phrase, PromptTag
from .prompt import CHUNK, Conditioning, tokens_at


def reencode(clip: Any, conditioning: Conditioning, tag: PromptTag, phrases: Sequence[Phrase],
             bind_padding: bool, background: bool) -> Conditioning:
    """A copy of the conditioning whose phrases no longer know of each other.

    Rows of the tensor at a phrase's words become the phrase's own encoding. With ``bind_padding``
    the end and padding rows are dealt out among the regions (and the background), each share
    becoming that of its phrase's encoding; the background's is that of the prompt without phrases.
    """
    out = [[cond.clone(), dict(values)] for cond, values in conditioning]
    spans = [tag.find(phrase) for phrase in phrases]
    for row, layout in enumerate(tag.rows):
        tokens = clip.tokenize(layout.text)
        own = [span[row] or () for span in spans]
        parts = list(own)
        if background:
            bound = {p for span in own for p in span}
            parts.append(tuple(p for p in layout.own() if p not in bound))
        shares = deal_padding(layout, len(parts)) if bind_padding else [()] * len(parts)
        for n, (positions, share) in enumerate(zip(parts, shares, strict=True)):
            if not positions and not share:
                continue
            encoded = clip.encode_from_tokens_scheduled(tokens_at(tokens, positions, clip))
            for (cond, _), (alone, _) in zip(out, encoded, strict=False):
                if n < len(own):
                    kept = positions[:CHUNK - 2]
                    _put(cond, row, kept, alone, [1 + i for i in range(len(kept))])
                _put(cond, row, share, alone, [p % CHUNK for p in share])
    return out


def _put(cond: torch.Tensor, row: int, positions: Sequence[int], alone: torch.Tensor, source: Sequence[int]) -> None:
    if positions:
        cond[row, list(positions)] = alone[0, list(source)].to(cond.dtype)
