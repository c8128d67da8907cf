"""The two axes of a UNet's attention layer, for calls made by hand."""

from __future__ import annotations

from attention_director.core.sequence import Axis, image_axis, text_axis


def axes(kind: str, grid: tuple[int, int], keys: int) -> tuple[Axis, Axis]:
    """(queries, keys) of a self or cross layer at a grid; keys: how many."""
    return image_axis(grid), image_axis(grid) if kind == "self" else text_axis(keys)
