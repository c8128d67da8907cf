"""Reading a creature's coat from a picture: the oracle of identity.

A coat is read by trying every pattern, direction and period of the renderer on the creature's place
and taking the one whose two tones, fitted by least squares, leave the smallest error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from world.oracle import Found
from world.render import coverage
from world.scene import CREATURE, PATTERNS, Coat

ANGLES = (0.0, 45.0, 90.0, 135.0)
PERIODS = (0.43, 0.46, 0.49, 0.52, 0.55, 0.58)
READ_PX = 48
# Two tones count as the same within this Lab distance; random coats are about 60 apart.
SAME_TONE_LAB = 30.0


@dataclass(frozen=True)
class Reading:
    """A coat as read: ``error`` is the share of the coat's variance that it leaves unexplained."""

    coat: Coat
    error: float


def _lab(rgb: np.ndarray) -> np.ndarray:
    flat = np.asarray(rgb, np.float32).reshape(-1, 1, 3) / 255
    return cv2.cvtColor(flat, cv2.COLOR_RGB2LAB)[:, 0]


def tone_distance(a: tuple[int, int, int], b: tuple[int, int, int]) -> float:
    return float(np.linalg.norm(_lab(np.array(a)) - _lab(np.array(b))))


@cache
def _inside() -> np.ndarray:
    """The coat's pixels on the reading grid, edges and eyes left out: bool [px, px]."""
    radius, middle = READ_PX / 2, READ_PX / 2
    body = coverage(CREATURE, middle, middle, radius, READ_PX) > 0.5
    body = cv2.erode(body.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    for side in (-0.33, 0.33):
        body &= coverage("circle", middle + side * radius, middle + 0.1 * radius, 0.26 * radius, READ_PX) < 0.5
    return body


@cache
def _candidates() -> tuple[list[tuple[str, float, float]], np.ndarray]:
    """Every pattern, direction and period, and how far inside the light tone each pixel is: float32 [n, pixels].

    The sign says which tone; edges are near 0.
    """
    axis = (np.arange(READ_PX, dtype=np.float32) + 0.5) / (READ_PX / 2) - 1
    u, v = np.broadcast_arrays(axis[None, :], axis[:, None] - 0.18)
    names, light = [], []
    for pattern in PATTERNS:
        for angle in (0.0,) if pattern == "rings" else ANGLES[:2] if pattern == "dots" else ANGLES:
            for period in (0.5,) if pattern == "halves" else PERIODS:
                names.append((pattern, angle, period))
                light.append(_field(pattern, angle, period, u, v)[_inside()])
    return names, np.stack(light).astype(np.float32)


def _field(pattern: str, angle: float, period: float, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Above 0 where the renderer paints the light tone."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along, across, turns = u * c + v * s, v * c - u * s, 2 * math.pi / period
    if pattern == "stripes":
        return np.sin(along * turns)
    if pattern == "dots":
        return np.cos(along * turns) + np.cos(across * turns) - 0.5
    if pattern == "rings":
        return np.sin(np.hypot(u, v) * turns)
    return along


def creature_pixels(picture: np.ndarray, found: Found) -> np.ndarray:
    """The creature on the reading grid, whatever its size: float32 [px, px, 3]."""
    ys, xs = np.nonzero(found.mask)
    # The silhouette spans -0.98..0.98 of a radius down, -0.8..0.8 (its ears 0.78) across.
    radius = ((xs.max() + 1 - xs.min()) / 1.6 + (ys.max() + 1 - ys.min()) / 1.96) / 2
    x, y = (xs.min() + xs.max() + 1) / 2, (ys.min() + ys.max() + 1) / 2
    scale = 2 * radius / READ_PX
    to_picture = np.float32([[scale, 0, x - radius + scale / 2 - 0.5], [0, scale, y - radius + scale / 2 - 0.5]])
    return cv2.warpAffine(picture.astype(np.float32), to_picture, (READ_PX, READ_PX),
                          flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)


def read_coat(picture: np.ndarray, found: Found) -> Reading:
    """The coat of a creature that ``oracle.look`` found in a picture, uint8 [H, W, 3]."""
    pixels = creature_pixels(picture, found)[_inside()]
    names, fields = _candidates()
    centred = pixels - pixels.mean(0)
    explained = np.zeros(len(names))
    for share in (fields > 0, fields <= 0):
        counts = np.maximum(share.sum(1), 1)
        explained += np.square(share @ centred).sum(1) / counts
    best = int(np.argmax(explained))
    pattern, angle, period = names[best]
    coat = Coat(pattern, _tone(pixels, fields[best]), _tone(pixels, -fields[best]), angle, period)
    return Reading(coat, float(1 - explained[best] / max(float(np.square(centred).sum()), 1.0)))


def _tone(pixels: np.ndarray, field: np.ndarray) -> tuple[int, int, int]:
    """The median tone of the third of a tone's pixels that lie deepest inside it; a VAE blurs the others."""
    deep = field >= np.quantile(field[field > 0], 0.67)
    r, g, b = np.median(pixels[deep], axis=0).round().tolist()
    return int(r), int(g), int(b)


def same_tones(a: Coat, b: Coat) -> bool:
    return max(tone_distance(a.light, b.light), tone_distance(a.dark, b.dark)) < SAME_TONE_LAB


def same_pattern(a: Coat, b: Coat) -> bool:
    """The same pattern in the same direction; rings have none, dots look the same every quarter turn."""
    if a.pattern != b.pattern:
        return False
    turns = {"rings": 1, "dots": 90, "stripes": 180, "halves": 360}[a.pattern]
    return (a.angle - b.angle) % turns == 0


def matches(read: Coat, wanted: Coat) -> bool:
    """Is it that creature? Both tones and the pattern."""
    return same_tones(read, wanted) and same_pattern(read, wanted)


def distance(picture: np.ndarray, found: Found, coat: Coat) -> float:
    """Mean RGB distance between a drawn creature and one rendered with ``coat``, on the reading grid."""
    pixels = creature_pixels(picture, found)[_inside()]
    axis = (np.arange(READ_PX, dtype=np.float32) + 0.5) / (READ_PX / 2) - 1
    u, v = np.broadcast_arrays(axis[None, :], axis[:, None] - 0.18)
    light = _field(coat.pattern, coat.angle, coat.period, u, v)[_inside()] > 0
    drawn = np.where(light[:, None], np.float32(coat.light), np.float32(coat.dark))
    return float(np.linalg.norm(pixels - drawn, axis=1).mean())


def hybrids(a: Coat, b: Coat) -> list[Coat]:
    """What blending two creatures gives: one's pattern in the other's tones, or a tone of each."""
    return [Coat(a.pattern, b.light, b.dark, a.angle, a.period), Coat(b.pattern, a.light, a.dark, b.angle, b.period),
            *(Coat(p.pattern, x.light, y.dark, p.angle, p.period) for p in (a, b) for x, y in ((a, b), (b, a)))]
