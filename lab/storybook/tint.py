"""Turn the hue of one sprite's paint and leave its windows, wheels, beak and legs as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Hue of each colour, and a power on brightness: a turned red is too dark to be called yellow.
COLOUR_HUES = {"red": (0.99, 1.0), "orange": (0.072, 0.62), "yellow": (0.142, 0.45), "green": (0.36, 0.85),
               "blue": (0.6, 0.9), "purple": (0.77, 0.9)}
LEAST_SATURATION = 0.18


@dataclass(frozen=True)
class Paint:
    """What of a sprite is paint: hues within ``width`` of ``hue``.

    keep: how much of the differences of hue within the paint stays. strip: a hue range whose pixels are cut out.
    """

    hue: float
    width: float
    keep: float = 0.5
    strip: tuple[float, float] | None = None


PAINTS = {
    "car": Paint(0.965, 0.09), "balloon": Paint(0.965, 0.12), "book": Paint(0.93, 0.14), "heart": Paint(0.96, 0.16),
    "star": Paint(0.125, 0.12), "tent": Paint(0.36, 0.17, 0.4, strip=(0.0, 0.17)), "fish": Paint(0.575, 0.16),
    "bird": Paint(0.95, 0.09), "dinosaur": Paint(0.44, 0.2, 0.7), "monster": Paint(0.74, 0.2, 0.7),
}


def to_hsv(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hue, saturation and value, each [H, W] in 0..1, of float RGB [H, W, 3]."""
    top, bottom = rgb.max(-1), rgb.min(-1)
    spread = top - bottom + 1e-8
    r, g, b = np.moveaxis(rgb, -1, 0)
    hue = np.where(top == r, (g - b) / spread, np.where(top == g, (b - r) / spread + 2, (r - g) / spread + 4)) / 6
    return hue % 1, spread / (top + 1e-8), top


def to_rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Float RGB [H, W, 3] of hue, saturation and value."""
    steps = (np.array([5, 3, 1]) + hue[..., None] * 6) % 6
    return value[..., None] * (1 - saturation[..., None] * np.clip(np.minimum(steps, 4 - steps), 0, 1))


def apart(hue: np.ndarray, other: float) -> np.ndarray:
    """Signed distance round the circle of hues, -0.5..0.5."""
    return (hue - other + 0.5) % 1 - 0.5


def tinted(sprite: np.ndarray, paint: Paint, hue: float, brighter: float = 1.0) -> np.ndarray:
    """A sprite with its paint in another hue. sprite: float [H, W, 4], RGB times alpha.

    brighter: power on the paint's value, below 1 for colours that are light by nature.
    """
    alpha = sprite[..., 3:]
    h, s, v = to_hsv((sprite[..., :3] / np.maximum(alpha, 1e-3)).clip(0, 1))
    from_paint = apart(h, paint.hue)
    edge = np.clip((paint.width - np.abs(from_paint)) / 0.03, 0, 1)  # a soft border: no seams in shading
    share = edge * np.clip((s - LEAST_SATURATION) / 0.08, 0, 1)
    turned = to_rgb((hue + paint.keep * from_paint) % 1, s, v ** brighter)
    colour = to_rgb(h, s, v) * (1 - share[..., None]) + turned * share[..., None]
    if paint.strip is not None:
        alpha = alpha * (1 - stripped(h, s, paint.strip))[..., None]
    return np.concatenate([colour.clip(0, 1) * alpha, alpha], -1)


def stripped(hue: np.ndarray, saturation: np.ndarray, band: tuple[float, float]) -> np.ndarray:
    """Where pixels of a band of hues are, with the soft rim around them: float [H, W]."""
    found = ((hue >= band[0]) & (hue <= band[1]) & (saturation > 0.3)).astype(np.float32)
    grown = found
    for axis in (0, 1):
        grown = np.maximum.reduce([np.roll(grown, shift, axis) for shift in range(-3, 4)])
    return np.where(np.arange(len(hue))[:, None] < 0.55 * len(hue), grown, found)
