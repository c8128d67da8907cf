"""Drawings of any stroke width as lines of one width, as an edge predictor was trained on."""

from __future__ import annotations

import torch
from torch.nn import functional as F

# Strokes up to twice this share of the picture's shorter side are lines, wider areas are shapes.
LINE_RADIUS = 0.04


def thickened(mask: torch.Tensor, width_px: int) -> torch.Tensor:
    """Lines one pixel wide drawn with a pen of the given width; bool [B, H, W]."""
    if width_px <= 1:
        return mask
    before, after = (width_px - 1) // 2, width_px // 2
    padded = F.pad(mask[:, None].float(), (before, after, before, after))
    return F.max_pool2d(padded, width_px, 1)[:, 0] > 0.5


def eroded(mask: torch.Tensor, radius_px: int) -> torch.Tensor:
    """What stays when every border moves in by the radius; the picture's own border is none."""
    if radius_px <= 0:
        return mask
    outside = F.max_pool2d((~mask)[:, None].float(), 2 * radius_px + 1, 1, radius_px)
    return outside[:, 0] < 0.5


def areas_of(mask: torch.Tensor) -> torch.Tensor:
    """The parts of a drawing that are wider than strokes; bool [B, H, W]."""
    radius = max(1, round(LINE_RADIUS * min(mask.shape[-2:])))
    return thickened(eroded(mask, radius), 2 * radius + 1) & mask


def as_lines(mask: torch.Tensor) -> torch.Tensor:
    """Strokes as their middle lines and filled areas as their outlines, one pixel wide; bool [B, H, W]."""
    areas = areas_of(mask)
    return thinned(mask & ~areas) | (areas & ~eroded(areas, 1))


def thinned(mask: torch.Tensor) -> torch.Tensor:
    """The middle lines of a drawing: thinning after Zhang and Suen (1984), bool [B, H, W].

    Each pass peels one pixel off both sides, so strokes of width w take about w / 2 passes.
    """
    lines = mask.clone()
    while True:
        before = lines
        for first in (True, False):
            lines = lines & ~_removable(lines, first)
        if torch.equal(lines, before):
            return lines


def _removable(lines: torch.Tensor, first: bool) -> torch.Tensor:
    """Pixels at a border that may go in this half of a pass without breaking a line."""
    n, ne, e, se, s, sw, w, nw = around = _neighbours(lines)
    count = torch.stack(around).sum(0)
    ring = (*around, n)
    turns = torch.stack([~a & b for a, b in zip(ring[:-1], ring[1:], strict=True)]).sum(0)
    keep = (n & e & s) | (e & s & w) if first else (n & e & w) | (n & s & w)
    return lines & (count >= 2) & (count <= 6) & (turns == 1) & ~keep


def _neighbours(lines: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The eight neighbours of each pixel, clockwise from above; nothing lies outside."""
    h, w = lines.shape[-2:]
    padded = F.pad(lines, (1, 1, 1, 1))
    offsets = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))
    return tuple(padded[:, y:y + h, x:x + w] for y, x in offsets)
