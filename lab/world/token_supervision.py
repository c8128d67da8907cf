"""Token-level supervision: in training, the words of a thing are read where the thing is.

After TokenCompose (Wang et al. 2023, arXiv 2312.03626), written from its idea; no code copied. Stable
Diffusion learns this from hundreds of millions of captions; a small model that sees a few hundred
thousand learns it late or hides the caption in its end token, where no word can be pointed at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from .scene import Scene
from .text import Words

PARTS = 5  # up to four things, and the background
EPS = 1e-4


@dataclass(frozen=True, eq=False)
class Places:
    """Which tokens belong to which part of a picture, and where the part is.

    tokens: float [B, 77, PARTS], 1 where a token names a part. masks: float [B, PARTS, h, w], the share of
    each latent cell that the part covers. named: float [B, PARTS], 1 where the caption names the part.
    """

    tokens: torch.Tensor
    masks: torch.Tensor
    named: torch.Tensor

    def to(self, device: torch.device) -> Places:
        return Places(self.tokens.to(device), self.masks.to(device), self.named.to(device))


def occurrences(line: list[int], phrase: list[int]) -> list[int]:
    """Positions in ``line`` of all tokens of every occurrence of ``phrase``."""
    size = len(phrase)
    starts = [i for i in range(len(line) - size + 1) if line[i:i + size] == phrase]
    return [start + i for start in starts for i in range(size)]


def places(words: Words, rows: torch.Tensor, scenes: list[Scene], coverage: torch.Tensor) -> Places:
    """Places of a batch. rows: int64 [B, 77]; coverage: float [B, 4, h, w] of the scenes' things.

    Things that one phrase names (two creatures) are one part: their masks are joined.
    """
    tokens = torch.zeros(*rows.shape, PARTS)
    masks = torch.zeros(len(scenes), PARTS, *coverage.shape[-2:])
    for b, scene in enumerate(scenes):
        line = rows[b].tolist()
        phrases = list(dict.fromkeys(thing.phrase for thing in scene.things))
        for i, thing in enumerate(scene.things):
            masks[b, phrases.index(thing.phrase)] += coverage[b, i]
        masks[b, -1] = 1 - coverage[b].sum(0)
        for part, phrase in (*enumerate(phrases), (PARTS - 1, f"{scene.background} background")):
            tokens[b, occurrences(line, words.phrase(phrase)), part] = 1
    return Places(tokens, masks.clamp(0, 1), tokens.amax(1))


class SupervisedAttention:
    """Explicit attention (its backward is three times faster on a CPU than the fused kernels') that keeps
    how much each part's words are read at each pixel of the cross-attention layers."""

    def __init__(self, tokens: torch.Tensor | None = None) -> None:
        self.tokens = tokens
        self.read: list[torch.Tensor] = []

    def __call__(self, _backend: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int,
                 *_args: Any, **_kwargs: Any) -> torch.Tensor:
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        weights = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), dim=-1)
        if self.tokens is not None and k.shape[2] == self.tokens.shape[1]:
            self.read.append(weights.mean(1).float() @ self.tokens)
        return (weights @ v).transpose(1, 2).flatten(2)


def supervision_loss(read: list[torch.Tensor], where: Places) -> torch.Tensor:
    """Binary cross-entropy between reading [B, N, PARTS] and masks, inside and outside counted alike: [B]."""
    total = where.named.new_zeros(len(where.named))
    for layer in read:
        side = round(layer.shape[1] ** 0.5)
        mask = torch.nn.functional.adaptive_avg_pool2d(where.masks, side).flatten(2).transpose(1, 2)
        inside = -(mask * (layer + EPS).log()).sum(1) / (mask.sum(1) + EPS)
        outside = -((1 - mask) * (1 - layer + EPS).log()).sum(1) / ((1 - mask).sum(1) + EPS)
        total = total + ((inside + outside) * where.named).sum(1) / PARTS
    return total / len(read)
