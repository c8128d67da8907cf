"""FastComposer's training losses (arXiv 2305.10431, section 3.4). Written from the paper; no code copied."""

from __future__ import annotations

from typing import Any

import torch

EPS = 1e-5


def localisation(attention: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Mean attention outside a subject's mask minus that inside: [n, H, N], [n, N] to a number.

    sum A (1 - m) / (sum (1 - m) + eps) - sum A m / (sum m + eps), mean over subjects and heads.
    """
    m = masks[:, None]
    outside = (attention * (1 - m)).sum(-1) / ((1 - m).sum(-1) + EPS)
    inside = (attention * m).sum(-1) / (m.sum(-1) + EPS)
    return (outside - inside).mean()


class WatchedAttention:
    """Explicit attention (a fast backward on a CPU) that keeps the subjects' columns of the cross layers.

    The layers at the latent's own resolution are left out: of the groups down, middle and up this keeps
    the middle five. rows, positions: long [n], the subjects' places in the batch and on the token axis.
    """

    def __init__(self, tokens: int, pixels: int, rows: torch.Tensor, positions: torch.Tensor) -> None:
        self.tokens, self.pixels, self.rows, self.positions = tokens, pixels, rows, positions
        self.seen: list[torch.Tensor] = []

    def __call__(self, _backend: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int,
                 *_args: Any, **_kwargs: Any) -> torch.Tensor:
        q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
        weights = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), dim=-1)
        if k.shape[2] == self.tokens and q.shape[2] < self.pixels and len(self.rows):
            self.seen.append(weights[self.rows, :, :, self.positions].float())
        return (weights @ v).transpose(1, 2).flatten(2)

    def loss(self, masks: torch.Tensor) -> torch.Tensor:
        """Mean localisation loss of the layers seen; masks: float [n, h, w] at the latent's size."""
        if not self.seen:
            return masks.new_zeros(())
        return torch.stack([localisation(a, shrunk(masks, a.shape[-1])) for a in self.seen]).mean()


def shrunk(masks: torch.Tensor, pixels: int) -> torch.Tensor:
    """Masks [n, h, w] on a layer of so many pixels, area-averaged: [n, N]."""
    ratio = (masks.shape[-2] * masks.shape[-1] / pixels) ** 0.5
    size = (round(masks.shape[-2] / ratio), round(masks.shape[-1] / ratio))
    return torch.nn.functional.adaptive_avg_pool2d(masks[:, None], size).flatten(1)


def half_masked(error: torch.Tensor, union: torch.Tensor, masked: bool) -> torch.Tensor:
    """Error [B, C, h, w] with what lies outside the subjects set to zero, in half of the batches.

    union: [B, 1, h, w]; a picture without subjects counts whole.
    """
    if not masked:
        return error
    whole = union.flatten(1).amax(1)[:, None, None, None] == 0
    return error * torch.where(whole, torch.ones_like(union), union)
