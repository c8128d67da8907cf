"""The shared attention arithmetic: row ranges, low-rank biases on fast kernels, explicit softmax."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from .call import LowRankBias

# Scores held at once by the streamed passes. 16 Mi float32 scores are 64 MB.
_SCORES_AT_ONCE = 16 * 1024 * 1024
# Widest head that the fast kernels take.
MAX_HEAD_WIDTH = 256

# (q, k, v) as [B, H, N, D] -> [B, H, Nq, D], softmax scale D ** -0.5
Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def _query_chunks(q: torch.Tensor, key_count: int) -> list[slice]:
    rows, heads, queries, _ = q.shape
    size = max(1, _SCORES_AT_ONCE // max(1, rows * heads * key_count))
    return [slice(i, min(i + size, queries)) for i in range(0, queries, size)]


def row_extremes(q: torch.Tensor, k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Smallest and largest logit of each query over all keys, streamed.

    min_j and max_j of s_ij = q k^T / sqrt(D), of DenseDiffusion (arXiv 2308.12964).
    q: [B, H, Nq, D], k: [B, H, Nk, D]. Returns two [B, H, Nq] in float32 (float64 for float64 input).
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    lows, highs = (torch.empty(q.shape[:3], device=q.device, dtype=wide) for _ in range(2))
    keys = k.transpose(-1, -2)
    q = q * q.shape[-1] ** -0.5
    for part in _query_chunks(q, k.shape[2]):
        lows[:, :, part], highs[:, :, part] = torch.aminmax(q[:, :, part] @ keys, dim=-1)
    return lows, highs


def row_range(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Largest minus smallest logit of each query over all keys: [B, H, Nq], as ``row_extremes``."""
    low, high = row_extremes(q, k)
    return high - low


def log_mass(q: torch.Tensor, k: torch.Tensor, bias: LowRankBias | None = None) -> torch.Tensor:
    """logsumexp_j of q k^T / sqrt(D) + bias for each query, streamed: [B, H, Nq] in float32 or better.

    q: [B, H, Nq, D]; k: [B, H, Nk, D].
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    out = torch.empty(q.shape[:3], device=q.device, dtype=wide)
    keys = k.transpose(-1, -2)
    for part in _query_chunks(q, k.shape[2]):
        scores = (q[:, :, part] @ keys).to(wide) * q.shape[-1] ** -0.5
        if bias is not None:
            scores = scores + bias.left[:, :, part].to(wide) @ bias.right.to(wide).transpose(-1, -2)
        out[:, :, part] = scores.logsumexp(-1)
    return out


def explicit_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: LowRankBias | None = None,
                       mask: torch.Tensor | None = None) -> torch.Tensor:
    """softmax(q k^T / sqrt(D) + bias + mask) v in chunks of queries; the softmax in float32 or better.

    q: [B, H, Nq, D]; k, v: [B, H, Nk, D]; mask: [B or 1, H or 1, Nq or 1, Nk], numbers that are added, or False for
    keys that are left out. Returns [B, H, Nq, D] in v's dtype.
    """
    out = torch.empty((*q.shape[:3], v.shape[-1]), device=q.device, dtype=v.dtype)
    wide = torch.promote_types(q.dtype, torch.float32)
    keys = k.transpose(-1, -2)
    for part in _query_chunks(q, k.shape[2]):
        scores = (q[:, :, part] @ keys).to(wide) * q.shape[-1] ** -0.5
        if bias is not None:
            scores = scores + bias.left[:, :, part].to(wide) @ bias.right.to(wide).transpose(-1, -2)
        if mask is not None:
            scores = _masked(scores, mask if mask.shape[2] == 1 else mask[:, :, part])
        out[:, :, part] = torch.softmax(scores, dim=-1).to(v.dtype) @ v
    return out


def _masked(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask.to(scores.dtype)


def _column_pair(bias: LowRankBias, dtype: torch.dtype) -> LowRankBias:
    """The bias in the kernel's dtype; bfloat16 keeps 8 bits, so there each column becomes high + low."""
    if dtype != torch.bfloat16:
        return LowRankBias(bias.left.to(dtype), bias.right.to(dtype))
    high = bias.left.to(dtype)
    low = (bias.left - high.to(bias.left.dtype)).to(dtype)
    right = bias.right.to(dtype)
    return LowRankBias(torch.cat((high, low), -1), torch.cat((right, right), -1))


def widened(q: torch.Tensor, bias: LowRankBias) -> int:
    """Head width with the bias columns appended, a multiple of 8."""
    columns = bias.left.shape[-1] * (2 if q.dtype == torch.bfloat16 else 1)
    return -(-(q.shape[-1] + columns) // 8) * 8


def fits_kernel(q: torch.Tensor, bias: LowRankBias | None) -> bool:
    """True where the fast kernels take heads with this bias appended."""
    return bias is None or widened(q, bias) <= MAX_HEAD_WIDTH


def attend_with_bias(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: LowRankBias | None, kernel: Kernel,
                     mask: torch.Tensor | None = None) -> torch.Tensor:
    """softmax(q k^T / sqrt(D) + bias) v on a kernel that knows no bias.

    mask: what the kernel masks by itself, as ``explicit_attention`` takes it.

    Exact: the bias columns are appended to q and k, all three padded with zeros to D', a multiple of
    8; q is scaled by sqrt(D'/D) and the columns by sqrt(D'), which undoes the kernel's D' ** -0.5.
    Falls back to explicit_attention where D' would pass MAX_HEAD_WIDTH.
    """
    if bias is None:
        return kernel(q, k, v)
    if not fits_kernel(q, bias):
        return explicit_attention(q, k, v, bias, mask)
    width, padded = q.shape[-1], widened(q, bias)
    columns = _column_pair(bias, q.dtype)
    spare = (0, padded - width - columns.left.shape[-1])
    right = columns.right.expand(*k.shape[:2], -1, -1)
    wide_q = F.pad(torch.cat((q * (padded / width) ** 0.5, columns.left * padded ** 0.5), -1), spare)
    wide_k = F.pad(torch.cat((k, right), -1), spare)
    return kernel(wide_q, wide_k, F.pad(v, (0, padded - width)))[..., :width]


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
