"""Which keys share a region with which queries, as columns of low rank: R[i, j] = sum_c left[i, c] right[j, c]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch

from .masks import membership_patterns
from .sequence import Block


@dataclass(frozen=True, eq=False)
class Columns:
    """R of one image's block as columns: R[i, j] = sum_c left[i, c] right[j, c]; factor: what scales a at each query.

    foremost: as left, for the keys that get the margin too: "everywhere" only in the background. left, foremost
    [Nq, C]; right [Nk, C]; factor [Nq], float64.
    """

    left: torch.Tensor
    foremost: torch.Tensor
    right: torch.Tensor
    factor: torch.Tensor


@dataclass(frozen=True, eq=False)
class Geometry:
    """The columns of consecutive rows on one block, as a RangeRule has them: each [n or 1, ...]."""

    rows: slice
    queries: slice
    keys: slice
    left: torch.Tensor
    foremost: torch.Tensor
    right: torch.Tensor
    factor: torch.Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> Geometry:
        moved = {name: getattr(self, name).to(device, dtype) for name in ("left", "foremost", "right", "factor")}
        return replace(self, **moved)


def image_columns(pixels: torch.Tensor, factor: torch.Tensor) -> Columns:
    """R of image to image: some region holds both pixels. pixels: bool [R, N].

    The columns are the distinct sets of regions that pixels lie in, so overlaps are exact.
    """
    left, right = shared_regions(pixels, pixels)
    return Columns(left, left, right, factor)


def text_columns(pixels: torch.Tensor, tokens: torch.Tensor, regions: int, factor: torch.Tensor) -> Columns:
    """R of image to text: the token belongs to a region that covers the pixel.

    pixels: bool [R, N], the first ``regions`` of them the user's; tokens: bool [R', T], where rows past R cover
    the whole canvas.
    """
    whole = torch.ones(len(tokens) - len(pixels), pixels.shape[1], dtype=torch.bool)
    behind = whole & ~pixels[:regions].any(0)
    left, right = shared_regions(torch.cat((pixels, whole)), tokens)
    foremost, _ = shared_regions(torch.cat((pixels, behind)), tokens)
    return Columns(left, foremost, right, factor)


def shared_regions(queries: torch.Tensor, keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """R[i, j], "some region holds both i and j", as columns: left [Nq, C] right^T [C, Nk], of 0 and 1.

    queries: bool [R, Nq]; keys: bool [R, Nk]. One column for each distinct set of regions that keys belong to.
    """
    patterns, right = membership_patterns(keys)
    return (patterns.float() @ queries.float() > 0).float().T, right


def stack(parts: Mapping[int, Columns], block: Block) -> Geometry:
    """Rows of one call; those between that are not ours get zeros."""
    rows = slice(min(parts), max(parts) + 1)
    columns = max(part.left.shape[1] for part in parts.values())
    count, queries, keys = rows.stop - rows.start, block.queries.length, block.keys.length
    left, foremost = (torch.zeros(count, queries, columns) for _ in range(2))
    right, factor = torch.zeros(count, keys, columns), torch.zeros(count, queries, dtype=torch.float64)
    for row, part in parts.items():
        at, own = row - rows.start, part.left.shape[1]
        left[at, :, :own], foremost[at, :, :own] = part.left, part.foremost
        right[at, :, :own], factor[at] = part.right, part.factor
    return Geometry(rows, block.queries.slice, block.keys.slice, left, foremost, right, factor)
