"""Boxes in the forms people have, each read by one documented rule.

One box:
    {x, y, width, height}           a corner and a size, as the host and its RT-DETR node give
    {bbox: [y0, x0, y1, x1]}        an element of the host's box editor, on a grid of 1000 by 1000
    {bbox: [x0, y0, x1, y1]}        a detector's corners: with a label, class or score and neither desc nor text
    {box: [x0, y0, x1, y1]}         corners too
    {box: {xmin, ymin, xmax, ymax}}, {x1, y1, x2, y2}, {left, top, right, bottom}   the same
    [x0, y0, x1, y1]                corners; eight numbers are the corners of a quadrilateral
Many: a list of these, or {bboxes or boxes or quad_boxes: [...], labels: [...]} as Florence-2 and detectors give.
Per picture: a list of such lists, or of such dicts, of which the first is taken; {"<OD>": {...}} is what it holds.
Text is JSON of any of these.

Numbers are pixels of the canvas, unless none of them reaches 2: then they are shares of it. Elements never are pixels.
A box that lies beyond the canvas by more than a detector's rounding was measured on another one, and is refused.
Words: the desc of its metadata, or its desc, text, label or class. A number is no word.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import DirectorError
from ..untrusted import parse_json, reading, require_size

# The host's box editor describes elements on a grid of 1000 by 1000.
ELEMENT_GRID = 1000.0
MOST_CHARACTERS = 1_000_000
MOST_BOXES = 128  # a mask of a megapixel each
EXPECTED = "expected x, y, width and height, four corners, or an element with bbox."
_LEAST_PIXELS = 2.0
_ROUNDING = 0.02  # of a side
_MANY = ("bboxes", "boxes", "quad_boxes")
_DESCRIBED = ("desc", "text")
_WORDS = (*_DESCRIBED, "label", "class", "class_name")
_DETECTED = ("label", "class", "class_name", "score", "confidence")
_SIDES = (("xmin", "ymin", "xmax", "ymax"), ("x0", "y0", "x1", "y1"), ("x1", "y1", "x2", "y2"),
          ("left", "top", "right", "bottom"))


@dataclass(frozen=True)
class Box:
    """corners: x0, y0, x1, y1 in 0..1 of the canvas; phrase: "" where the box has no description."""

    corners: tuple[float, float, float, float]
    phrase: str = ""


@dataclass(frozen=True)
class _Raw:
    """Corners in the box's own measure. grid: what an element's numbers are of, 0 for pixels or shares."""

    corners: tuple[float, float, float, float]
    phrase: str
    grid: float = 0.0


def read_boxes(node: str, boxes: Any, width: int, height: int) -> list[Box]:
    """Boxes in any form of this file's rules, measured on ``width`` x ``height``. Raises DirectorError."""
    require_size(node, width, height)
    if isinstance(boxes, str):
        with reading(node, "bboxes is text but not JSON", "wire the boxes themselves."):
            boxes = parse_json(boxes, MOST_CHARACTERS) if boxes.strip() else []
    with reading(node, "bboxes cannot be read", "wire Create Bounding Boxes or a detector."):
        given = _listed(boxes)
    if given is None:
        raise DirectorError(node, f"bboxes is {type(boxes).__name__}, not boxes; wire Create Bounding Boxes or a "
                                  "detector.")
    if len(given) > MOST_BOXES:
        raise DirectorError(node, f"there are {len(given)} boxes; use {MOST_BOXES} or fewer.")
    raw = [_read_box(node, number, box) for number, box in enumerate(given, 1)]
    free = [abs(value) for box in raw if not box.grid for value in box.corners]
    pixels = bool(free) and max(free) >= _LEAST_PIXELS
    return [_measured(node, number, box, (width, height) if pixels else (1, 1)) for number, box in enumerate(raw, 1)]


def _measured(node: str, number: int, box: _Raw, size: tuple[float, float]) -> Box:
    across, down = (box.grid, box.grid) if box.grid else size
    x0, y0, x1, y1 = box.corners
    corners = (x0 / across, y0 / down, x1 / across, y1 / down)
    if not all(-_ROUNDING <= share <= 1 + _ROUNDING for share in corners):
        raise DirectorError(node, f"box {number} goes from {x0:g}, {y0:g} to {x1:g}, {y1:g}, which is beyond "
                                  f"{across:g} x {down:g}; set width and height to the picture the boxes were "
                                  "measured on.")
    left, top, right, bottom = (min(1.0, max(0.0, share)) for share in corners)
    return Box((left, top, right, bottom), box.phrase)


def _listed(boxes: Any) -> list[Any] | None:
    """One entry per box, those of the first picture; None where this is not boxes."""
    boxes = boxes.tolist() if hasattr(boxes, "tolist") else boxes
    if isinstance(boxes, dict):
        many = next((boxes[name] for name in _MANY if name in boxes), None)
        if many is not None:
            labels = boxes.get("labels") or boxes.get("classes") or ()
            return _labelled(_plain(many), _plain(labels))
        inner = next(iter(boxes.values()), None)
        return _listed(inner) if len(boxes) == 1 and isinstance(inner, dict) and _is_many(inner) else [boxes]
    if not isinstance(boxes, (list, tuple)):
        return None
    boxes = [_plain(box) for box in boxes]
    if boxes and all(_is_number(value) for value in boxes):
        return [boxes] if len(boxes) in (4, 8) else None
    if boxes and (_is_many(boxes[0]) or (isinstance(boxes[0], list) and not _is_corners(boxes[0]))):
        return _listed(boxes[0])
    return boxes if all(isinstance(box, dict) or _is_corners(box) for box in boxes) else None


def _plain(value: Any) -> Any:
    """Arrays and tuples as lists."""
    value = value.tolist() if hasattr(value, "tolist") else value
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _labelled(boxes: Sequence[Any], labels: Sequence[Any]) -> list[Any]:
    named = [labels[i] if i < len(labels) else "" for i in range(len(boxes))]
    return [{"box": box, "label": label} for box, label in zip(boxes, named, strict=True)]


def _is_many(value: Any) -> bool:
    return isinstance(value, dict) and any(name in value for name in _MANY)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_corners(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_number(v) or isinstance(v, str) for v in value)


def _read_box(node: str, number: int, box: Any) -> _Raw:
    with reading(node, f"box {number} cannot be read", EXPECTED):
        raw = _Raw(_corners(box), "") if isinstance(box, list) else _read_dict(box)
    if not all(map(math.isfinite, raw.corners)):
        raise DirectorError(node, f"box {number} contains a value that is not a number; make the boxes again.")
    return raw


def _read_dict(box: dict[str, Any]) -> _Raw:
    phrase = _words(box)
    inner = _plain(box["box"] if "box" in box else box.get("bbox"))
    if isinstance(inner, dict):
        return _Raw(_sides(inner), phrase)
    detected = any(name in box for name in _DETECTED) and not any(box.get(name) for name in _DESCRIBED)
    if inner is not None and ("box" in box or detected):
        return _Raw(_corners(inner), phrase)
    if inner is not None:
        y0, x0, y1, x1 = _corners(inner)
        return _Raw((x0, y0, x1, y1), phrase, ELEMENT_GRID)
    return _Raw(_sides(box), phrase)


def _words(box: dict[str, Any]) -> str:
    metadata = box.get("metadata")
    given = [*([metadata.get("desc")] if isinstance(metadata, dict) else []), *(box.get(name) for name in _WORDS)]
    return next((value.strip() for value in given if isinstance(value, str) and value.strip()), "")


def _sides(box: dict[str, Any]) -> tuple[float, float, float, float]:
    for names in _SIDES:
        if all(name in box for name in names):
            return _corners([box[name] for name in names])
    x, y, width, height = (float(box[name]) for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


def _corners(values: Iterable[Any]) -> tuple[float, float, float, float]:
    """Four corners as they are; eight as the box round them. Raises ValueError for another number of values."""
    numbers = [float(value) for value in values]
    if len(numbers) == 8:
        xs, ys = numbers[::2], numbers[1::2]
        return min(xs), min(ys), max(xs), max(ys)
    x0, y0, x1, y1 = numbers
    return x0, y0, x1, y1
