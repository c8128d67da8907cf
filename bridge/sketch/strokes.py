"""The drawing of AttnDirSketch: strokes as vectors in the workflow, turned into a picture here.

    {"version": 1, "strokes": [{"points": [[x, y], ...], "width": 0.004, "erase": false}]}

Coordinates run from 0 to 1. A stroke's width is a share of the canvas width; without one, the node's
line_width holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image

from ..errors import DirectorError
from ..pen import Pen
from ..untrusted import as_text, finite, parse_json, reading, require_number, require_size

VERSION = 1
MAX_CHARACTERS = 4_000_000
MAX_STROKES = 10_000
MAX_POINTS = 400_000
MAX_PIXELS = 4096 * 4096
MOST_PEN_PX = 4096
UNREADABLE, AGAIN = "the drawing cannot be read", "clear it and draw again."
SUPERSAMPLE = 2


def draw_strokes(node: str, strokes: str, width: int, height: int, line_width: int) -> torch.Tensor:
    """The strokes as a MASK [1, height, width], 1 on a line. Raises DirectorError for text that is no drawing."""
    require_size(node, width, height)
    require_number(node, "line_width", line_width, 1, MOST_PEN_PX)
    if width * height > MAX_PIXELS:
        raise DirectorError(node, f"{width} x {height} is larger than 4096 x 4096; make it smaller.")
    found = _read(node, strokes)
    scale = SUPERSAMPLE if width * height * SUPERSAMPLE ** 2 <= MAX_PIXELS else 1
    size = (width * scale, height * scale)
    image = Image.new("L", size, 0)
    pen = Pen(image)
    with reading(node, UNREADABLE, AGAIN):
        for points, share, erase in found:
            _draw(pen, points, size, (share * width if share else line_width) * scale, 0 if erase else 255)
    image = image.resize((width, height), Image.Resampling.BOX) if scale > 1 else image
    return torch.from_numpy(np.asarray(image, dtype=np.float32) / 255)[None]


def over(mask: torch.Tensor, background: torch.Tensor | None) -> torch.Tensor:
    """White lines [1, H, W] on black, or on a picture [B, h, w, C] fitted to the canvas: IMAGE [1, H, W, 3]."""
    if background is None:
        return mask[..., None].expand(-1, -1, -1, 3).clone()
    picture = background[:1, ..., :3].detach().to("cpu", torch.float32).movedim(-1, 1)
    picture = torch.nn.functional.interpolate(picture, size=mask.shape[-2:], mode="area").movedim(1, -1)
    return picture + mask[..., None] * (1 - picture)


def _read(node: str, strokes: str) -> list[tuple[list[tuple[float, float]], float, bool]]:
    """(points in 0..1, width as a share or 0, erase?) of each stroke."""
    if not strokes or not strokes.strip():
        return []
    if len(strokes) > MAX_CHARACTERS:
        raise DirectorError(node, f"the drawing has {len(strokes)} characters; clear it and draw again.")
    with reading(node, UNREADABLE, AGAIN):
        drawing = parse_json(strokes, MAX_CHARACTERS)
        if drawing.get("version", VERSION) != VERSION:
            raise DirectorError(node, f"the drawing has version {as_text(drawing['version'])}; update Attention "
                                      "Director.")
        listed = drawing["strokes"]
        points = sum(len(stroke["points"]) for stroke in listed)
        if len(listed) > MAX_STROKES or points > MAX_POINTS:
            raise DirectorError(node, f"the drawing has {len(listed)} strokes with {points} points; clear it and "
                                      "draw less.")
        return [([(_number(x), _number(y)) for x, y in stroke["points"]], _width(stroke), bool(stroke.get("erase")))
                for stroke in listed if stroke["points"]]


def _number(value: Any) -> float:
    return min(2.0, max(-1.0, finite(value)))  # a line may leave the sheet


def _width(stroke: dict[str, Any]) -> float:
    return min(1.0, max(0.0, _number(stroke.get("width") or 0.0)))


def _draw(pen: Pen, points: list[tuple[float, float]], size: tuple[int, int], width: float, tone: int) -> None:
    """A polyline with round joints and ends."""
    pixels = [(x * size[0], y * size[1]) for x, y in points]
    wide = max(1, round(width))
    pen.line(pixels, wide, tone)
    for end in (pixels[0], pixels[-1]):
        pen.dot(end, wide, tone, inset=1.0)
