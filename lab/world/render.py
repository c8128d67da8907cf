"""Draw scenes with OpenCV, and the exact mask of every thing in them."""

from __future__ import annotations

import math

import cv2
import numpy as np

from .scene import BACKGROUNDS, CANVAS_PX, COLOURS, CREATURE, Coat, Scene, Thing

SUPERSAMPLE = 4
BASE = 0.35  # how near the rim of a thing is in a depth map


def _regular(count: int, radii: tuple[float, ...], start: float) -> np.ndarray:
    """Corner points on circles of the given radii in turn; ``start`` in degrees."""
    angles = [math.radians(start + 360 * i / count) for i in range(count)]
    reach = [radii[i % len(radii)] for i in range(count)]
    return np.array([(r * math.cos(a), r * math.sin(a)) for r, a in zip(reach, angles, strict=True)])


_ARM = 0.34
# Outlines in a unit disc, y down.
OUTLINES: dict[str, list[np.ndarray]] = {
    "circle": [_regular(64, (0.95,), 0)],
    "square": [np.array([(-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)])],
    "triangle": [np.array([(0, -0.98), (0.98, 0.8), (-0.98, 0.8)])],
    "star": [_regular(10, (1.05, 0.46), -90)],
    "cross": [np.array([(-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
                        (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM)])],
    CREATURE: [
        _regular(64, (0.8,), 0) + (0, 0.18),
        np.array([(-0.78, -0.98), (-0.06, -0.5), (-0.72, 0.1)]),
        np.array([(0.78, -0.98), (0.06, -0.5), (0.72, 0.1)]),
    ],
}


def coverage(shape: str, x: float, y: float, radius: float, size_px: int = CANVAS_PX) -> np.ndarray:
    """Share of each pixel inside the shape: float32 [size, size] in 0..1."""
    big = np.zeros((size_px * SUPERSAMPLE,) * 2, np.uint8)
    for outline in OUTLINES[shape]:
        points = (outline * radius + (x, y)) * SUPERSAMPLE
        cv2.fillPoly(big, [np.round(points * 16).astype(np.int32)], 255, shift=4)
    return cv2.resize(big, (size_px, size_px), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _coat_picture(coat: Coat, thing: Thing, size_px: int) -> np.ndarray:
    """The coat over the whole canvas, float32 [size, size, 3] in 0..255."""
    axis = (np.arange(size_px * 2, dtype=np.float32) + 0.5) / 2
    u = (axis[None, :] - thing.x) / thing.radius
    v = (axis[:, None] - thing.y) / thing.radius - 0.18
    c, s = math.cos(math.radians(coat.angle)), math.sin(math.radians(coat.angle))
    along, across = u * c + v * s, v * c - u * s
    turns = 2 * math.pi / coat.period
    if coat.pattern == "stripes":
        light = np.sin(along * turns) > 0
    elif coat.pattern == "dots":
        light = np.cos(along * turns) + np.cos(across * turns) > 0.5
    elif coat.pattern == "rings":
        light = np.sin(np.hypot(u, v) * turns) > 0
    else:
        light = along > 0
    tones = np.where(light[..., None], np.float32(coat.light), np.float32(coat.dark))
    return cv2.resize(tones.astype(np.float32), (size_px, size_px), interpolation=cv2.INTER_AREA)


def _eyes(thing: Thing, size_px: int) -> list[tuple[np.ndarray, tuple[int, int, int]]]:
    layers = []
    for share, tone in ((0.19, (250, 250, 250)), (0.09, (16, 16, 16))):
        for side in (-0.33, 0.33):
            x, y = thing.x + side * thing.radius, thing.y + 0.1 * thing.radius
            layers.append((coverage("circle", x, y, share * thing.radius, size_px), tone))
    return layers


def render(scene: Scene, size_px: int = CANVAS_PX) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene.

    Returns the picture, uint8 [size, size, 3] RGB, and the visible part of each thing in order,
    bool [things, size, size].
    """
    canvas = np.empty((size_px, size_px, 3), np.float32)
    canvas[:] = BACKGROUNDS[scene.background]
    masks = np.zeros((len(scene.things), size_px, size_px), bool)
    for i, thing in enumerate(scene.things):
        alpha = coverage(thing.shape, thing.x, thing.y, thing.radius, size_px)[..., None]
        paint = _coat_picture(thing.coat, thing, size_px) if thing.coat else np.float32(COLOURS[thing.colour])
        canvas += alpha * (paint - canvas)
        for eye, tone in _eyes(thing, size_px) if thing.coat else ():
            canvas += eye[..., None] * (np.float32(tone) - canvas)
        masks[:i] &= alpha[..., 0] <= 0.5
        masks[i] = alpha[..., 0] > 0.5
    return np.clip(np.round(canvas), 0, 255).astype(np.uint8), masks


def depth_map(masks: np.ndarray) -> np.ndarray:
    """How near each pixel is, as depth maps show it: 0 for the ground, up to 1 for the middle of a thing.

    masks: bool [things, H, W], what is seen of each; every thing is a dome on a base. Returns float32 [H, W].
    """
    near = np.zeros(masks.shape[1:], np.float32)
    for mask in masks:
        inner = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
        rim = 1 - inner / max(inner.max(), 1)
        near += mask * (BASE + (1 - BASE) * np.sqrt(1 - rim * rim))
    return near
