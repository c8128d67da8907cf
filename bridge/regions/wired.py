"""Wired regions as small shapes for the editor, which draws them behind the drawn ones and can copy them.

    {"version": 1, "left_out": 0, "regions": [
        {"phrase": "red hat", "strength": 1.0, "layouts": 1, "boxes": [[x0, y0, x1, y1]]},
        {"phrase": "", "strength": 1.0, "layouts": 4, "size": [w, h], "runs": [5, 3, ...]}]}

A mask that is not a box comes as the lengths of its runs, row by row, off and on in turn, off first.
``layouts``: how many masks its batch holds; the first one is shown.
"""

from __future__ import annotations

import json
from typing import Any

import torch

from .canvas import MAX_REGIONS
from .region import Region, RegionList

VERSION = 1
LARGEST_PX = 256
SMALLEST_PX = 16
MOST_RUNS = 1000
MOST_LETTERS = 500


def wired_shapes(regions: RegionList) -> str:
    """JSON of the regions, front first; "" for none. At most about half a megabyte."""
    if not regions:
        return ""
    shown = [_shape(region) for region in regions[:MAX_REGIONS]]
    return json.dumps({"version": VERSION, "left_out": len(regions) - len(shown), "regions": shown},
                      separators=(",", ":"))


def _shape(region: Region) -> dict[str, Any]:
    mask = region.mask[0] > 0.5
    head = {"phrase": region.phrase[:MOST_LETTERS], "strength": region.strength, "layouts": region.mask.shape[0]}
    return head | (_box(mask) or _runs(mask))


def _box(mask: torch.Tensor) -> dict[str, Any] | None:
    """The corners of a mask [H, W] that is one full rectangle, or no boxes for an empty one; else None."""
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    if not len(rows):
        return {"boxes": []}
    (y0, y1), (x0, x1) = ((int(line[0]), int(line[-1]) + 1) for line in (rows, columns))
    if not mask[y0:y1, x0:x1].all():
        return None
    height, width = mask.shape
    return {"boxes": [[round(x0 / width, 4), round(y0 / height, 4), round(x1 / width, 4), round(y1 / height, 4)]]}


def _runs(mask: torch.Tensor) -> dict[str, Any]:
    """Runs of a mask [H, W], made smaller until they are few."""
    side = LARGEST_PX
    while True:
        small = _at_most(mask, side)
        flat = torch.cat([torch.zeros(1, dtype=torch.bool), small.flatten(), ~small.flatten()[-1:]])
        changes = (flat[1:] != flat[:-1]).nonzero()[:, 0]
        runs = torch.diff(changes, prepend=torch.zeros(1, dtype=torch.long))
        if len(runs) <= MOST_RUNS or side <= SMALLEST_PX:
            return {"size": [small.shape[1], small.shape[0]], "runs": runs.tolist()}
        side //= 2


def _at_most(mask: torch.Tensor, side: int) -> torch.Tensor:
    """The mask with no side longer than ``side`` pixels, cut at 0.5."""
    height, width = mask.shape
    scale = side / max(height, width)
    if scale >= 1:
        return mask.cpu()
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    return torch.nn.functional.interpolate(mask[None, None].float(), size=size, mode="area")[0, 0].cpu() >= 0.5
