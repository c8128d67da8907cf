"""Attention probabilities of a few key columns, for readouts, blends and subject masks."""

from __future__ import annotations

import torch

from .attention import _query_chunks
from .call import LowRankBias


def column_probabilities(q: torch.Tensor, k: torch.Tensor, columns: torch.Tensor,
                         bias: LowRankBias | None = None) -> torch.Tensor:
    """softmax(q k^T / sqrt(D) + bias), only the wanted columns: exp(s_ij - logsumexp_j s_ij).

    q: [B, H, Nq, D]; k: [B, H, Nk, D]; columns: long positions on the key axis, [C], or [B, C] where
    rows want different ones. Returns [B, H, Nq, C] in float32 (float64 for float64 input). Streamed
    in chunks of queries; scores of all keys are held for one chunk only.
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    rows, heads, queries, width = q.shape
    wanted = columns.expand(rows, -1)
    out = torch.empty(rows, heads, queries, wanted.shape[-1], device=q.device, dtype=wide)
    keys = k.to(wide).transpose(-1, -2) * width ** -0.5
    for part in _query_chunks(q, k.shape[2]):
        scores = q[:, :, part].to(wide) @ keys
        if bias is not None:
            scores = scores + bias.left[:, :, part].to(wide) @ bias.right.to(wide).transpose(-1, -2)
        index = wanted[:, None, None, :].expand(*scores.shape[:3], -1)
        out[:, :, part] = (scores.gather(-1, index) - scores.logsumexp(-1, keepdim=True)).exp()
    return out
