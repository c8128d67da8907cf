"""Heat maps: where the pixels read a phrase, brought to one grid, and whether it landed in its region."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .attention import score_parts
from .call import AttentionCall, LowRankBias
from .otsu import otsu_threshold
from .sequence import Block

# Cells of a heat map. At four bytes a cell, and with every step kept in half precision, see MAX_ROW_BYTES.
MAX_CELLS = 32 * 32
MAX_ROW_BYTES = 400_000


def fit_grid(grid: tuple[int, int], cells: int = MAX_CELLS) -> tuple[int, int]:
    """The largest grid of the same shape with at most ``cells`` cells; never finer than ``grid``."""
    height, width = grid
    scale = min(1.0, (cells / (height * width)) ** 0.5)
    rows = max(1, int(height * scale + 1e-9))
    return rows, max(1, min(int(width * scale + 1e-9), cells // rows))


def keeps_steps(phrases: int, steps: int, cells: int) -> bool:
    """True where every step's maps of one image, two bytes a cell, fit beside their mean, four bytes."""
    return phrases * cells * (2 * steps + 4) <= MAX_ROW_BYTES


def pixel_maps(call: AttentionCall, probe: torch.Tensor, rows: slice,
               before: torch.Tensor | None = None) -> torch.Tensor:
    """How much of the text that a pixel reads each phrase is, mean of the heads: [n, C, h, w].

    sum_j softmax(q k^T / sqrt(D) + bias)_ij probe_jc over the text keys alone, for the ``rows`` of a call; probe
    [B, 1, Nk, C]. So maps of joint layers, where pixels read pixels too, compare with those of cross-attention.
    before: maps of other layers that these are added to, which stay as they are.
    """
    block, = call.blocks("image", "text")
    if call.padding is None:
        return _block_maps(call, probe, rows, block, before)
    each = range(*rows.indices(len(call.q)))
    maps = torch.cat([_block_maps(call, probe, slice(row, row + 1), call.block_of(row, block)) for row in each])
    return maps if before is None else before + maps


def _block_maps(call: AttentionCall, probe: torch.Tensor, rows: slice, block: Block,
                before: torch.Tensor | None = None) -> torch.Tensor:
    k, marks = call.k[rows, :, block.keys.slice], probe[rows, 0, block.keys.slice].transpose(1, 2)
    if call.asked is None:
        bias = call.bias and call.bias.rows(rows).of(block)
        read = head_mean(call.q[rows, :, block.queries.slice], k, bias)
    else:
        part = call.bias and call.bias.rows(rows)
        some = head_mean(call.q[rows], k, part and LowRankBias(part.left, part.right[:, :, block.keys.slice]))
        among = call.asked[rows, :, None].expand_as(some)  # the other queries are another call's
        read = some.new_zeros(len(some), call.queries.length, some.shape[-1]).scatter(1, among, some)
        read = read[:, block.queries.slice]
    read = read.transpose(1, 2)
    maps = marks @ read if before is None else torch.baddbmm(before.flatten(2), marks, read)
    return maps.unflatten(-1, call.grid)


def head_mean(q: torch.Tensor, k: torch.Tensor, bias: LowRankBias | None = None) -> torch.Tensor:
    """softmax(q k^T / sqrt(D) + bias), mean of the heads: [B, Nq, Nk] in float32 or better."""
    heads = q.shape[1]
    out = None
    for of, part, scores in score_parts(q, k, bias):
        read = torch.softmax(scores, dim=-1)
        if scores.shape[:3] == q.shape[:3]:  # all at once
            return read.mean(1)
        out = read.new_zeros(len(q), q.shape[2], k.shape[2]) if out is None else out
        out[:, part] += read.mean(1) * ((of.stop - of.start) / heads)
    assert out is not None
    return out


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


def standing_out(maps: torch.Tensor) -> torch.Tensor:
    """How far each map [..., h, w], spread over 0..1, rises above its Otsu level; 0 below it."""
    even = spread(maps)
    return (even - otsu_threshold(even.flatten(-2))[..., None, None]).clamp(min=0.0)


def landing(maps: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """Landing score 0..1: share of the attention that stands out which lies inside the region.

    maps, regions (0..1): [..., h, w]. 1: the phrase is read inside its region only, however small what it
    names is there; chance gives the region's share of the area. A map without relief scores 0.
    """
    out = standing_out(maps)
    mass = out.sum((-2, -1))
    return torch.where(mass > 0, (out * regions).sum((-2, -1)) / mass.clamp(min=1e-12), 0.0)
