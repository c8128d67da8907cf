"""DenseDiffusion as METHODS.md 1.2 writes it: materialised scores, R cell by cell, one row at a time.

Nothing here uses the pack's arithmetic. A "region set" is a Python set of region names; pixels and
tokens share a region when their sets meet.
"""

from __future__ import annotations

import math
from fractions import Fraction

import torch

EVERYWHERE = "everywhere"
BACKGROUND = "background"


def share_of_cell(mask: list[list[bool]], y: int, x: int, size: tuple[int, int]) -> Fraction:
    """How much of one cell of the coarse grid the mask fills."""
    height, width = len(mask), len(mask[0])
    ys = range(y * height // size[0], -(-(y + 1) * height // size[0]))
    xs = range(x * width // size[1], -(-(x + 1) * width // size[1]))
    return Fraction(sum(mask[i][j] for i in ys for j in xs), len(ys) * len(xs))


def mask_cells(mask: torch.Tensor, grid: tuple[int, int]) -> list[bool]:
    """One mask [H, W] on a layer's grid, cell by cell: half covered is in, a vanished one keeps a cell."""
    fine = mask.tolist()
    shares = [share_of_cell(fine, y, x, grid) for y in range(grid[0]) for x in range(grid[1])]
    flat = [share >= Fraction(1, 2) for share in shares]
    if not any(flat) and max(shares) > 0:
        flat[shares.index(max(shares))] = True
    return flat


def pixel_sets(masks: torch.Tensor, grid: tuple[int, int], background: bool) -> list[set]:
    """The regions that each pixel of a layer lies in."""
    sets: list[set] = [set() for _ in range(grid[0] * grid[1])]
    for name, mask in enumerate(masks):
        for pixel, inside in enumerate(mask_cells(mask, grid)):
            if inside:
                sets[pixel].add(name)
    if background:
        for regions in sets:
            if not regions:
                regions.add(BACKGROUND)
    return sets


def area_sum(sets: list[set], pixel: int) -> float:
    """S_i = (1/HW) sum_j sum_n m_n(i) m_n(j)."""
    total = sum(len(sets[pixel] & other) for other in sets)
    return total / len(sets)


def row_strength(regions: set, strengths: tuple[float, ...]) -> float:
    """The largest strength of the regions at a query pixel, 1 where there is none."""
    own = [strengths[name] for name in regions if name != BACKGROUND]
    return max(own) if own else 1.0


def amounts(sets: list[set], weight: float, size_adaptation: float, strengths: tuple[float, ...]) -> list[float]:
    """a_i = lambda (1 - size_adaptation S_i), times the strength at the pixel, held within 0..1."""
    out = []
    for pixel, regions in enumerate(sets):
        a = weight * (1.0 - size_adaptation * area_sum(sets, pixel)) * row_strength(regions, strengths)
        out.append(min(1.0, max(0.0, a)))
    return out


def shares_region(queries: list[set], keys: list[set]) -> torch.Tensor:
    """R, cell by cell."""
    r = torch.zeros(len(queries), len(keys), dtype=torch.float64)
    for i, mine in enumerate(queries):
        for j, theirs in enumerate(keys):
            if mine & theirs:
                r[i, j] = 1.0
    return r


def probabilities(q: torch.Tensor, k: torch.Tensor, r: torch.Tensor, a: list[float]) -> torch.Tensor:
    """softmax of s' for one head: q [Nq, D], k [Nk, D]."""
    scores = q @ k.T / math.sqrt(q.shape[-1])
    out = torch.empty_like(scores)
    for i, row in enumerate(scores):
        high, low = row.max(), row.min()
        raised = row + a[i] * (high - row)
        lowered = row - a[i] * (row - low)
        out[i] = torch.softmax(torch.where(r[i] == 1, raised, lowered), -1)
    return out


def regions_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, queries: list[set], keys: list[set],
                      a: list[float]) -> torch.Tensor:
    """One image's attention over all heads: [H, Nq, D]."""
    r = shares_region(queries, keys)
    return torch.stack([probabilities(q[h], k[h], r, a) @ v[h] for h in range(q.shape[0])])


def plain_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """softmax(q k^T / sqrt(D)) v, any leading dimensions."""
    return torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), -1) @ v


def token_sets(length: int, spans: list[tuple[int, ...]], own: tuple[int, ...], everywhere: bool) -> list[set]:
    """The regions that each token belongs to; the prompt's other words belong to every pixel's."""
    sets: list[set] = [set() for _ in range(length)]
    for name, span in enumerate(spans):
        for position in span:
            sets[position].add(name)
    if everywhere:
        for position in own:
            if not sets[position]:
                sets[position].add(EVERYWHERE)
    return sets
