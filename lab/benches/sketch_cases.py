"""Line drawings of scenes nobody trained on, and how near a picture comes to one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import cv2
import numpy as np
from world.caption import plain_caption
from world.oracle import look, score_caption
from world.render import OUTLINES
from world.scene import BACKGROUNDS, CANVAS_PX, COLOURS, SHAPES, Scene, Thing, place_things

KINDS = ("clean", "thick", "wobbly", "partial")
NEAR_PX = 2.0
# What is said of a picture without an edge: half the canvas from every line.
FARTHEST_PX = CANVAS_PX / 2
_PEN_PX = {"clean": 2, "thick": 7, "wobbly": 3, "partial": 2}
_WOBBLE_PX, _WAVES = 1.8, 5
_SHOWN = 0.6  # of each outline of a partial drawing
_POINTS = 160
_FINE = 4  # binary digits of a pixel that cv2 takes
# A tone of the world, within what the VAE leaves of it, in RGB units.
_OF_THE_WORLD_RGB = 30.0


@dataclass(frozen=True, eq=False)
class Sketch:
    """A drawing and the caption that goes with it.

    paths: the pen's way round each thing, float [points, 2]. drawing: uint8 [H, W], white on black.
    lines: bool [H, W], the same way one pixel wide, which pictures are measured by.
    """

    kind: str
    scene: Scene
    paths: tuple[np.ndarray, ...]
    drawing: np.ndarray
    lines: np.ndarray
    seed: int

    @property
    def caption(self) -> str:
        return plain_caption(self.scene)


def sample_sketch(kind: str, number: int) -> Sketch:
    """Sketch ``number`` of a kind: one or two things of different looks on a named ground."""
    rng = Random(f"sketch/{kind}/{number}")
    places = place_things(rng, rng.choice((1, 2)))
    looks = rng.sample([(c, s) for c in COLOURS for s in SHAPES], len(places))
    things = tuple(Thing(s, c, x, y, r) for (c, s), (x, y, r) in zip(looks, places, strict=True))
    scene = Scene(rng.choice(list(BACKGROUNDS)), things)
    paths = tuple(_path(kind, thing, rng) for thing in things)
    seed = 10_000 * (1 + KINDS.index(kind)) + number
    return Sketch(kind, scene, paths, penned(paths, _PEN_PX[kind]), penned(paths, 1) > 0, seed)


def _path(kind: str, thing: Thing, rng: Random) -> np.ndarray:
    """The pen's way round one thing, in pixels."""
    corners = OUTLINES[thing.shape][0] * thing.radius + (thing.x, thing.y)
    way = walked(corners)
    if kind == "wobbly":
        return way + _wobble(rng)
    if kind == "partial":
        first = rng.randrange(len(way))
        return np.roll(way, -first, 0)[:round(_SHOWN * len(way))]
    return way


def walked(corners: np.ndarray) -> np.ndarray:
    """Points at equal distances round a closed outline, the first again at the end: [points, 2]."""
    ring = np.concatenate((corners, corners[:1]))
    along = np.concatenate(([0.0], np.linalg.norm(np.diff(ring, axis=0), axis=1).cumsum()))
    at = np.linspace(0, along[-1], _POINTS)
    return np.stack([np.interp(at, along, ring[:, axis]) for axis in (0, 1)], 1)


def _wobble(rng: Random) -> np.ndarray:
    """A hand's slow deviations; start and end of the line do not quite meet."""
    turn = np.linspace(0, 2 * math.pi, _POINTS)
    waves = [[rng.gauss(0, 1) * np.sin((n + 0.3) * turn + rng.uniform(0, 2 * math.pi)) / n for n in
              range(1, _WAVES + 1)] for _ in range(2)]
    both = np.stack([np.sum(each, 0) for each in waves], 1)
    return _WOBBLE_PX * both / max(1e-6, float(both.std()))


def penned(paths: tuple[np.ndarray, ...], pen_px: int) -> np.ndarray:
    """White lines on black, uint8 [H, W]."""
    paper = np.zeros((CANVAS_PX, CANVAS_PX), np.uint8)
    for path in paths:
        points = np.round((path - 0.5) * 2 ** _FINE).astype(np.int32)
        cv2.polylines(paper, [points], False, 255, pen_px, cv2.LINE_8, _FINE)
    return paper


def edges_in(picture: np.ndarray) -> np.ndarray:
    """Where a picture uint8 [H, W, 3] has edges, one pixel wide: bool [H, W]. Canny on each colour, joined."""
    calm = cv2.GaussianBlur(picture, (3, 3), 0)
    return np.maximum.reduce([cv2.Canny(np.ascontiguousarray(calm[..., c]), 60, 120) for c in range(3)]) > 0


def distance_to(lines: np.ndarray) -> np.ndarray:
    """Of every pixel to the nearest line, in pixels, at most FARTHEST_PX: float [H, W]."""
    if not lines.any():
        return np.full(lines.shape, FARTHEST_PX)
    return np.minimum(cv2.distanceTransform((~lines).astype(np.uint8), cv2.DIST_L2, 5), FARTHEST_PX)


def edge_scores(edges: np.ndarray, lines: np.ndarray) -> tuple[float, float]:
    """(F1, chamfer): a pixel is right within NEAR_PX of the other; chamfer is the mean distance both ways, in px."""
    there = distance_to(lines)[edges] if edges.any() else np.full(1, FARTHEST_PX)
    back = distance_to(edges)[lines]
    precision, recall = float((there <= NEAR_PX).mean()), float((back <= NEAR_PX).mean())
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return f1, float(there.mean() + back.mean()) / 2


def realism(picture: np.ndarray) -> float:
    """The share of a picture that has a tone of the world; smears, haze and colours of no name have none."""
    tones = np.array([*COLOURS.values(), *BACKGROUNDS.values()], np.float32)
    apart = np.linalg.norm(picture[:, :, None].astype(np.float32) - tones, axis=-1).min(-1)
    return float((apart < _OF_THE_WORLD_RGB).mean())


def sketch_scores(picture: np.ndarray, sketch: Sketch) -> dict[str, float]:
    """Every metric of a picture uint8 [H, W, 3] that was to follow the sketch."""
    f1, chamfer = edge_scores(edges_in(picture), sketch.lines)
    return {"edge_f1": f1, "chamfer": chamfer, "realism": realism(picture),
            "objects": float(score_caption(look(picture).objects, sketch.scene.things))}
