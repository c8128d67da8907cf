"""What the graph knows of boxes and their wire does not carry; web/regions/box_source.js reads the same in the editor.

The host's Create Bounding Boxes measures on a width and height of its own, and its bboxes come without the
descriptions that were typed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

EDITOR = "CreateBoundingBoxes"


@dataclass(frozen=True)
class BoxSource:
    """size: width and height that pixels are measured on, None where they are not known. words: one a box, or none."""

    size: tuple[int, int] | None = None
    words: tuple[str, ...] = ()


UNKNOWN = BoxSource()


def source_of_boxes(prompt: Any, unique_id: str) -> BoxSource:
    """What the API prompt says of the node that is wired to ``bboxes`` of this one."""
    inputs = _inputs(prompt, unique_id)
    link = inputs.get("bboxes")
    if not _is_link(link) or prompt.get(str(link[0]), {}).get("class_type") != EDITOR:
        return UNKNOWN
    own = _inputs(prompt, str(link[0]))
    width, height = own.get("width"), own.get("height")
    if not (type(width) is int and type(height) is int and width > 0 and height > 0):
        return UNKNOWN
    return BoxSource((width, height), () if _is_link(own.get("bboxes")) else _words(own.get("editor_state")))


def _inputs(prompt: Any, node_id: str) -> dict[str, Any]:
    node = prompt.get(node_id) if isinstance(prompt, Mapping) else None
    inputs = node.get("inputs") if isinstance(node, Mapping) else None
    return dict(inputs) if isinstance(inputs, Mapping) else {}


def _is_link(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int


def _words(state: Any) -> tuple[str, ...]:
    """The description of each box, else its text; the page wraps a list so that it is no link."""
    boxes = state.get("__value__") if isinstance(state, Mapping) else state
    entries = [box for box in boxes if isinstance(box, Mapping)] if isinstance(boxes, list) else []
    told = [meta if isinstance(meta := box.get("metadata"), Mapping) else {} for box in entries]
    return tuple(str(one.get("desc") or one.get("text") or "").strip() for one in told)
