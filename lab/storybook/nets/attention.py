"""Attention for training: fused, or explicit where a layer is supervised."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """[B, N, H * D] to [B, H, N, D]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Fused attention of [B, H, N, D]; returns [B, N, H * D]."""
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def attend_and_read(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, tokens: torch.Tensor,
                    skip: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Explicit attention, and how much each part's words are read at each query.

    tokens: float [B, T, parts], 1 where one of the first T keys names a part. skip: leave out so many queries.
    Returns the output [B, N, H * D] and float [B, N - skip, parts].
    """
    weights = torch.softmax((q @ k.transpose(-1, -2)).float() * q.shape[-1] ** -0.5, -1)
    with torch.autocast(q.device.type, enabled=False):  # a share near 1 has no digits in bfloat16
        read = weights[:, :, skip:, :tokens.shape[1]].mean(1) @ tokens
    return (weights.to(v.dtype) @ v).transpose(1, 2).flatten(2), read
