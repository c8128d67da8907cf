"""The drawing on a RegionPrompt: regions as vectors in the workflow, turned into masks here.

    {"version": 1, "regions": [{"number": 1, "phrase": "red hat", "strength": 1.0,
        "boxes": [[x0, y0, x1, y1]], "polygons": [[[x, y], ...]],
        "strokes": [{"width": 0.05, "points": [[x, y], ...], "erase": false},
                    {"fill": true, "points": [[x, y], ...], "erase": true}]}]}

Coordinates run from 0 to 1, a stroke's width is a share of the canvas width. Boxes and polygons are
painted first, strokes follow in their order; one with "fill" is an outline, painted or cut out whole.
One with "off": true has strength 0. Where the numbers are no names (one is missing, or two are alike), regions are
counted from the back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from ..errors import DirectorError
from ..pen import Pen
from ..untrusted import as_text, finite, parse_json, reading, require_size
from .region import RegionList, make_region

VERSION = 1
MAX_CHARACTERS = 1_000_000
MAX_REGIONS = 64
MAX_NUMBER = 999
MASK_PX = 1024


def parse_canvas(node: str, canvas: str, width: int, height: int) -> RegionList:
    """Regions of the drawing, front first as drawn. Raises DirectorError for text that is not a drawing."""
    require_size(node, width, height)
    if not canvas or not canvas.strip():
        return ()
    if len(canvas) > MAX_CHARACTERS:
        raise DirectorError(node, f"the drawing has {len(canvas)} characters; clear it and draw again.")
    with reading(node, "the drawing cannot be read", "clear it and draw again."):
        drawing = parse_json(canvas, MAX_CHARACTERS)
        if drawing.get("version", VERSION) != VERSION:
            raise DirectorError(node, f"the drawing has version {as_text(drawing['version'])}; update Attention "
                                      "Director.")
        regions = drawing["regions"]
        if len(regions) > MAX_REGIONS:
            raise DirectorError(node, f"the drawing has {len(regions)} regions; use {MAX_REGIONS} or fewer.")
        return tuple(make_region(node, str(r.get("phrase") or ""), _mask(r, width, height),
                                 0.0 if r.get("off") is True else float(r.get("strength", 1.0)), number)
                     for r, number in zip(regions, _numbers(regions), strict=True))


def _numbers(regions: list[dict[str, Any]]) -> list[int]:
    given = [n for r in regions if type(n := r.get("number")) is int and 0 < n <= MAX_NUMBER]
    return given if len(set(given)) == len(regions) else list(range(len(regions), 0, -1))


def mask_size(width: int, height: int) -> tuple[int, int]:
    """(w, h) in pixels that a drawing of this shape is turned into."""
    scale = min(1.0, MASK_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def box_mask(box: list[float], width: int, height: int) -> torch.Tensor:
    """A box in 0..1 (x0, y0, x1, y1) as a mask [1, h, w]."""
    return _mask({"boxes": [box]}, width, height)


def _mask(region: dict[str, Any], width: int, height: int) -> torch.Tensor:
    size = mask_size(width, height)
    image = Image.new("L", size, 0)
    pen = Pen(image)
    for box in region.get("boxes", ()):
        (x0, y0), (x1, y1) = _points([box[:2], box[2:4]], size)
        left, top = min(x0, x1), min(y0, y1)
        pen.box((left, top, max(left, max(x0, x1) - 1), max(top, max(y0, y1) - 1)), 255)
    for polygon in region.get("polygons", ()):
        if len(polygon) > 2:
            pen.outline(_points(polygon, size), 255)
    for stroke in region.get("strokes", ()):
        _draw_stroke(pen, stroke, size)
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)[None]


def _draw_stroke(pen: Pen, stroke: dict[str, Any], size: tuple[int, int]) -> None:
    points = _points(stroke["points"], size)
    fill = 0 if stroke.get("erase") else 255
    if stroke.get("fill"):
        if len(points) > 2:
            pen.outline(points, fill)
        return
    width = max(1.0, min(2.0, finite(stroke.get("width", 0.05))) * size[0])
    pen.line(points, round(width), fill)
    for end in (points[0], points[-1]):
        pen.dot(end, width, fill)


def _points(points: list[list[float]], size: tuple[int, int]) -> list[tuple[float, float]]:
    return [(min(1.0, max(0.0, finite(x))) * size[0], min(1.0, max(0.0, finite(y))) * size[1]) for x, y in points]
