"""The shared attention arithmetic: row ranges, low-rank biases on fast kernels, explicit softmax."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

from .call import LowRankBias

# Scores held at once by the streamed passes. 16 Mi float32 scores are 64 MB; a CPU core's share stays in its cache.
_SCORES_AT_ONCE = 16 * 1024 * 1024
_SCORES_A_CORE = 256 * 1024
# Widest head that the fast kernels take.
MAX_HEAD_WIDTH = 256

# (q, k, v) as [B, H, N, D] -> [B, H, Nq, D], softmax scale D ** -0.5
Kernel = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def query_parts(q: torch.Tensor, key_count: int) -> Iterator[tuple[slice, slice]]:
    """(heads, queries) whose scores are held at once, for all rows: all heads on a GPU, one after another on a CPU."""
    rows, heads, queries, _ = q.shape
    cpu = q.device.type == "cpu"
    most = min(_SCORES_AT_ONCE, _SCORES_A_CORE * torch.get_num_threads()) if cpu else _SCORES_AT_ONCE
    of_head = rows * queries * key_count
    together = max(1, min(heads, most // max(1, of_head))) if cpu else heads
    size = max(1, most // max(1, rows * together * key_count))
    for head in range(0, heads, together):
        for i in range(0, queries, size):
            yield slice(head, min(head + together, heads)), slice(i, min(i + size, queries))


def extremes(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Smallest and largest of the last dimension. On a CPU torch finds both at once twenty times slower than apart."""
    if scores.device.type == "cpu":
        return scores.amin(-1), scores.amax(-1)
    low, high = torch.aminmax(scores, dim=-1)
    return low, high


def row_extremes(q: torch.Tensor, k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Smallest and largest logit of each query over all keys, streamed.

    min_j and max_j of s_ij = q k^T / sqrt(D), of DenseDiffusion (arXiv 2308.12964).
    q: [B, H, Nq, D], k: [B, H, Nk, D]. Returns two [B, H, Nq] in float32 (float64 for float64 input).
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    lows, highs = (torch.empty(q.shape[:3], device=q.device, dtype=wide) for _ in range(2))
    keys = k.transpose(-1, -2)
    q = q * q.shape[-1] ** -0.5
    for heads, part in query_parts(q, k.shape[2]):
        lows[:, heads, part], highs[:, heads, part] = extremes(q[:, heads, part] @ keys[:, heads])
    return lows, highs


def row_range(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """Largest minus smallest logit of each query over all keys: [B, H, Nq], as ``row_extremes``."""
    low, high = row_extremes(q, k)
    return high - low


def score_parts(q: torch.Tensor, k: torch.Tensor, bias: LowRankBias | None = None, mask: torch.Tensor | None = None,
                ) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """(heads, queries, their scores q k^T / sqrt(D) + bias + mask over all keys), a part after the other.

    mask: [B or 1, H or 1, Nq or 1, Nk], numbers that are added, or False for keys that are left out. Scores are in
    float32 (float64 for float64 input), and the caller's to change.
    """
    wide = torch.promote_types(q.dtype, torch.float32)
    keys, scale = k.transpose(-1, -2), q.shape[-1] ** -0.5
    if bias is not None:
        bias = LowRankBias(bias.left.to(wide), bias.right.to(wide).transpose(-1, -2))
    for heads, part in query_parts(q, k.shape[2]):
        scores = _scaled_product(q[:, heads, part], keys[:, heads], scale).to(wide)
        if bias is not None:
            scores += bias.left[:, heads, part] @ _of_heads(bias.right, heads)
        if mask is not None:
            scores = masked(scores, _of_heads(mask, heads, part))
        yield heads, part, scores


def _scaled_product(q: torch.Tensor, keys: torch.Tensor, scale: float) -> torch.Tensor:
    """scale q keys in one launch, which half precision survives: [B, H, n, D], [B, H, D, Nk] to [B, H, n, Nk]."""
    nothing = q.new_empty(1, 1, 1)
    return torch.baddbmm(nothing, q.flatten(0, 1), keys.flatten(0, 1), beta=0, alpha=scale).unflatten(0, q.shape[:2])


def _of_heads(x: torch.Tensor, heads: slice, queries: slice = slice(None)) -> torch.Tensor:
    """The part of [B, H or 1, N or 1, C] that belongs to some heads and queries."""
    return x[:, heads if x.shape[1] > 1 else slice(None), queries if x.shape[2] > 1 else slice(None)]


def explicit_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: LowRankBias | None = None,
                       mask: torch.Tensor | None = None) -> torch.Tensor:
    """softmax(q k^T / sqrt(D) + bias + mask) v in parts; the softmax in float32 or better.

    q: [B, H, Nq, D]; k: [B, H, Nk, D]; v: [B, H or 1, Nk, D]; mask: as ``score_parts`` takes it. Returns
    [B, H, Nq, D] in v's dtype.
    """
    out = torch.empty((*q.shape[:3], v.shape[-1]), device=q.device, dtype=v.dtype)
    for heads, part, scores in score_parts(q, k, bias, mask):
        if scores.shape[:3] == q.shape[:3]:  # all at once
            return torch.softmax(scores, dim=-1).to(v.dtype) @ v
        out[:, heads, part] = torch.softmax(scores, dim=-1).to(v.dtype) @ _of_heads(v, heads)
    return out


def masked(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Scores with a mask of numbers that are added, or of False for keys that are left out."""
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
