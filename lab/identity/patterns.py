"""Telling creatures apart by their coats: the oracle of identity.

A drawn creature is cut out by its silhouette, brought to one size, and compared with coats painted by
the renderer's rule and blurred as the VAE blurs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from world.oracle import Found
from world.render import coverage
from world.scene import CREATURE, Coat

READ_PX = 48
BLUR_PX = 2.0  # on the reading grid
CLEARLY = 0.85


@cache
def inside() -> np.ndarray:
    """The coat's pixels on the reading grid, edges and eyes left out: bool [px, px]."""
    radius, middle = READ_PX / 2, READ_PX / 2
    body = coverage(CREATURE, middle, middle, radius, READ_PX) > 0.5
    body = cv2.erode(body.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    for side in (-0.33, 0.33):
        body &= coverage("circle", middle + side * radius, middle + 0.1 * radius, 0.26 * radius, READ_PX) < 0.5
    return body


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


def worn(coat: Coat, blur_px: float = BLUR_PX) -> np.ndarray:
    """A coat on the reading grid, as soft as the VAE leaves it: float32 [pixels, 3]."""
    axis = (np.arange(READ_PX, dtype=np.float32) + 0.5) / (READ_PX / 2) - 1
    u, v = np.broadcast_arrays(axis[None, :], axis[:, None] - 0.18)
    light = _field(coat.pattern, coat.angle, coat.period, u, v) > 0
    drawn = np.where(light[..., None], np.float32(coat.light), np.float32(coat.dark))
    return cv2.GaussianBlur(drawn, (0, 0), blur_px)[inside()] if blur_px else drawn[inside()]


def distances(picture: np.ndarray, found: Found, coats: Sequence[Coat]) -> np.ndarray:
    """Mean RGB distance between a drawn creature and each coat: [coats]."""
    pixels = creature_pixels(picture, found)[inside()]
    return np.array([np.linalg.norm(pixels - worn(coat), axis=1).mean() for coat in coats])


def nearest(picture: np.ndarray, found: Found, coats: Sequence[Coat]) -> int:
    """Which of the coats a drawn creature wears most likely."""
    return int(distances(picture, found, coats).argmin())


def blended(picture: np.ndarray, found: Found, a: Coat, b: Coat) -> bool:
    """Does a mixture of two creatures explain a drawn one clearly better than either of them?

    Clearly: at less than 0.85 of the distance, so that two creatures with a tone in common do not count.
    """
    either = distances(picture, found, (a, b)).min()
    return bool(distances(picture, found, hybrids(a, b)).min() < CLEARLY * either)


def hybrids(a: Coat, b: Coat) -> list[Coat]:
    """What blending two creatures gives: one's pattern in the other's tones, or a tone of each."""
    return [Coat(a.pattern, b.light, b.dark, a.angle, a.period), Coat(b.pattern, a.light, a.dark, b.angle, b.period),
            *(Coat(p.pattern, x.light, y.dark, p.angle, p.period) for p in (a, b) for x, y in ((a, b), (b, a)))]
