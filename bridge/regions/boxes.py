"""Bounding boxes in the shapes the host's nodes give them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from ..errors import DirectorError

# The host's box editor describes elements on a grid of 1000 by 1000.
ELEMENT_GRID = 1000.0


@dataclass(frozen=True)
class Box:
    """corners: x0, y0, x1, y1 in 0..1 of the canvas; phrase: "" where the box has no description."""

    corners: tuple[float, float, float, float]
    phrase: str = ""


def read_boxes(node: str, boxes: Any, width: int, height: int) -> list[Box]:
    """Boxes from one box, a list, a list of frames (the first is taken), elements, or JSON of these.

    Pixel boxes (x, y, width, height) are measured on ``width`` x ``height``. Raises DirectorError.
    """
    if isinstance(boxes, str):
        try:
            boxes = json.loads(boxes) if boxes.strip() else []
        except ValueError as error:
            raise DirectorError(node, f"bboxes is text but not JSON ({error}); wire the boxes themselves.") from error
    if isinstance(boxes, dict):
        boxes = [boxes]
    if isinstance(boxes, list) and boxes and isinstance(boxes[0], list):
        boxes = boxes[0]
    if not isinstance(boxes, list) or not all(isinstance(box, dict) for box in boxes):
        raise DirectorError(node, f"bboxes is {type(boxes).__name__}, not boxes; wire Create Bounding Boxes or a "
                                  "detector.")
    return [_read_box(node, i, box, width, height) for i, box in enumerate(boxes, 1)]


def _read_box(node: str, number: int, box: dict[str, Any], width: int, height: int) -> Box:
    try:
        if "bbox" in box:
            y0, x0, y1, x1 = (float(v) / ELEMENT_GRID for v in box["bbox"])
            phrase = str(box.get("desc") or box.get("text") or "").strip()
        else:
            x0, y0 = float(box["x"]) / width, float(box["y"]) / height
            x1, y1 = x0 + float(box["width"]) / width, y0 + float(box["height"]) / height
            phrase = str((box.get("metadata") or {}).get("desc") or "").strip()
    except (KeyError, TypeError, ValueError) as error:
        raise DirectorError(node, f"box {number} cannot be read ({type(error).__name__}: {error}); expected x, y, "
                                  "width, height or an element with bbox.") from error
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise DirectorError(node, f"box {number} contains a value that is not a number; make the boxes again.")
    return Box((x0, y0, x1, y1), phrase)
