"""Heat maps: where the pixels read a phrase, brought to one grid, and whether it landed in its region."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from .attention import explicit_attention
from .call import AttentionCall, LowRankBias

# Cells of a heat map. At four bytes a cell, and with every step kept in half precision, see MAX_ROW_BYTES.
MAX_CELLS = 32 * 32
MAX_ROW_BYTES = 400_000
_LEVELS = 64


def fit_grid(grid: tuple[int, int], cells: int = MAX_CELLS) -> tuple[int, int]:
    """The largest grid of the same shape with at most ``cells`` cells; never finer than ``grid``."""
    height, width = grid
    scale = min(1.0, (cells / (height * width)) ** 0.5)
    rows = max(1, int(height * scale + 1e-9))
    return rows, max(1, min(int(width * scale + 1e-9), cells // rows))


def keeps_steps(phrases: int, steps: int, cells: int) -> bool:
    """True where every step's maps of one image, two bytes a cell, fit beside their mean, four bytes."""
    return phrases * cells * (2 * steps + 4) <= MAX_ROW_BYTES


def token_marks(positions: Sequence[Sequence[int]], length: int, keys: int) -> torch.Tensor:
    """Which key tokens each phrase counts, [keys, C] of 0 and 1.

    positions: each phrase's tokens in a context of ``length``, which the host repeats to ``keys``; a
    phrase's probability is split over the copies, so all of them count.
    """
    marks = torch.zeros(keys, len(positions))
    for column, own in enumerate(positions):
        for start in range(0, keys - length + 1, length):
            marks[[start + p for p in own], column] = 1.0
    return marks


def pixel_maps(call: AttentionCall, marks: torch.Tensor, rows: slice) -> torch.Tensor:
    """Probability with which each pixel reads each phrase, mean of the heads: [n, C, h, w].

    sum_j softmax(q k^T / sqrt(D) + bias)_ij marks_jc for the ``rows`` of a call; marks [B, 1, Nk, C].
    """
    bias = None if call.bias is None else LowRankBias(call.bias.left[rows], _rows_of(call.bias.right, rows))
    read = explicit_attention(call.q[rows], call.k[rows], marks[rows], bias)
    return read.mean(1).transpose(1, 2).unflatten(-1, call.grid)


def _rows_of(right: torch.Tensor, rows: slice) -> torch.Tensor:
    return right if right.shape[0] == 1 else right[rows]


def resized(maps: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Maps [I, C, h, w] at another size, smooth, and averaged where they shrink."""
    if maps.shape[-2:] == size:
        return maps
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False, antialias=True)


def spread(maps: torch.Tensor) -> torch.Tensor:
    """Each map [..., h, w] moved to 0..1; a map without relief is 0 everywhere."""
    low = maps.amin((-2, -1), keepdim=True)
    relief = maps.amax((-2, -1), keepdim=True) - low
    return torch.where(relief > 0, (maps - low) / relief.clamp(min=torch.finfo(maps.dtype).tiny), 0.0)


def otsu_level(maps: torch.Tensor) -> torch.Tensor:
    """The level that best parts each map [..., h, w] of values 0..1 into low and high: [..., 1, 1].

    N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9(1), 1979, eq. 12:
    the largest between-class variance w0 w1 (m0 - m1)^2.
    """
    values = maps.flatten(-2)
    levels = torch.linspace(0, 1, _LEVELS + 1, dtype=maps.dtype, device=maps.device)[1:-1]
    high = (values[..., None] > levels).to(maps.dtype)
    share = high.mean(-2)
    above = (high * values[..., None]).mean(-2)
    total = values.mean(-1, keepdim=True)
    gap = above / share.clamp(min=1e-12) - (total - above) / (1 - share).clamp(min=1e-12)
    best = (share * (1 - share) * gap.square()).argmax(-1)
    return levels[best][..., None, None]


def standing_out(maps: torch.Tensor) -> torch.Tensor:
    """How far each map [..., h, w], spread over 0..1, rises above its Otsu level; 0 below it."""
    even = spread(maps)
    return (even - otsu_level(even)).clamp(min=0.0)


def landing(maps: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """Landing score 0..1: share of the attention that stands out which lies inside the region.

    maps, regions (0..1): [..., h, w]. 1: the phrase is read inside its region only, however small it
    was drawn there; chance gives the region's share of the area. A map without relief scores 0.
    """
    out = standing_out(maps)
    mass = out.sum((-2, -1))
    return torch.where(mass > 0, (out * regions).sum((-2, -1)) / mass.clamp(min=1e-12), 0.0)
