"""Lines and outlines of a drawing's text on a sheet, in short pieces.

Pillow holds Python's lock for as long as one call lasts, and a drawing may have 400,000 points: so no call draws more
than a few segments, an interrupt is seen between two, and what no hand could draw is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import comfy.model_management
from PIL import Image, ImageDraw

from .untrusted import Unreadable

Point = tuple[float, float]

SEGMENTS = 16  # in one call; one as wide as a sheet of 4096 pixels takes some 5 ms
LEAST_WIDE = 64  # the scan lines of a thin segment cost what this width costs
MOST_INK = 4e9  # pixels; some 8 s of a processor, twice what 400,000 points of a pen 64 pixels wide are
MOST_OUTLINE = 4_000  # points; where all cross each other, a fifth of a second


class Pen:
    """Draws on a picture of one byte a pixel."""

    def __init__(self, sheet: Image.Image) -> None:
        self._draw = ImageDraw.Draw(sheet)
        self._ink = 0.0

    def line(self, points: Sequence[Point], width: int, tone: int) -> None:
        """A polyline with round joints. points: in pixels. Raises Unreadable for more than a hand could draw."""
        for first in range(0, max(1, len(points) - 1), SEGMENTS):
            piece = points[max(0, first - 1):first + SEGMENTS + 1]  # with the segment before: its joint is round too
            self._spend(piece, width)
            if len(piece) > 1:
                self._draw.line(piece, fill=tone, width=width, joint="curve")

    def dot(self, centre: Point, width: float, tone: int, inset: float = 0.0) -> None:
        """A disc of that width; inset: less of it to the right and below, in pixels."""
        self._spend((centre,), width)
        start = [side - width / 2 for side in centre]
        # A disc of one pixel less one is a point, and rounding may put its end before its start.
        stop = [max(low, side + width / 2 - inset) for low, side in zip(start, centre, strict=True)]
        self._draw.ellipse((*start, *stop), fill=tone)

    def outline(self, points: Sequence[Point], tone: int) -> None:
        """A polygon, filled. Raises Unreadable for too many points."""
        if len(points) > MOST_OUTLINE:
            raise Unreadable(f"an outline has {len(points)} points, {MOST_OUTLINE} is the most")
        comfy.model_management.throw_exception_if_processing_interrupted()
        self._draw.polygon(points, fill=tone)

    def box(self, corners: tuple[float, float, float, float], tone: int) -> None:
        self._draw.rectangle(corners, fill=tone)

    def _spend(self, points: Sequence[Point], width: float) -> None:
        comfy.model_management.throw_exception_if_processing_interrupted()
        length = sum(map(math.dist, points, points[1:])) + len(points) * width
        self._ink += length * max(width, LEAST_WIDE)
        if self._ink > MOST_INK:
            raise Unreadable("its lines are longer and wider than anything one draws")
