"""Stories of one creature, and what the pictures of a story are worth: is it the same one, everywhere?

A creature's coat is in no caption, so only a shared subject makes two pictures show the same one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

import numpy as np
from identity.patterns import READ_PX, creature_pixels, inside
from world.caption import plain_caption
from world.oracle import Found, Seen, look
from world.scene import BACKGROUNDS, CANVAS_PX, COLOURS, CREATURE, SHAPES, Scene, Thing

SCENES = 4
# Distances in RGB units between two drawn creatures, of 60 rendered coats after the VAE. Four fifths of
# the pairs in one coat, at two places and sizes, are nearer than SAME; nine tenths (of palettes six
# sevenths) of the pairs in two coats are farther apart than OTHER.
SAME_RGB, OTHER_RGB = 46.0, 116.0
SAME_TONES_RGB, OTHER_TONES_RGB = 21.0, 60.0
# A pattern may sit a little aside; 3 of 48 pixels is a sixteenth of a creature.
_ASIDE_PX = (-3, 0, 3)
# The share of a coat's pixels that are surely of one tone, not of the seam.
_SURE = 0.3


@dataclass(frozen=True)
class Story:
    """Scenes of one creature, each on a ground of its own, some with a coloured shape beside it."""

    scenes: tuple[Scene, ...]
    number: int

    @property
    def captions(self) -> list[str]:
        return [plain_caption(scene) for scene in self.scenes]

    @property
    def seeds(self) -> list[int]:
        return [len(self.scenes) * self.number + i for i in range(len(self.scenes))]


def sample_story(number: int, scenes: int = SCENES) -> Story:
    """Story ``number``; every second scene has a shape beside the creature."""
    rng = Random(f"subject/{number}")
    grounds = [ground for _ in range(-(-scenes // len(BACKGROUNDS)))
               for ground in rng.sample(list(BACKGROUNDS), len(BACKGROUNDS))]
    found = []
    for i in range(scenes):
        things = [Thing(CREATURE, "", 0, 0, 0)]
        if (i + number) % 2:
            things.append(Thing(rng.choice(SHAPES), rng.choice(list(COLOURS)), 0, 0, 0))
        found.append(Scene(grounds[i], tuple(things)))
    return Story(tuple(found), number)


@dataclass(frozen=True, eq=False)
class Creature:
    """A drawn creature. coat: float32 [px, px, 3] at one size; tones: [2, 3], those of its pattern."""

    coat: np.ndarray
    tones: np.ndarray
    x: float
    y: float
    radius: float


def read_creature(picture: np.ndarray, seen: Seen) -> Creature | None:
    """The largest creature of a picture, None where there is none."""
    found: Found | None = max((o for o in seen.objects if o.shape == CREATURE), key=lambda o: o.area, default=None)
    if found is None:
        return None
    coat = creature_pixels(picture, found)
    return Creature(coat, two_tones(coat[inside()]), found.x, found.y, math.sqrt(found.area / math.pi))


def two_tones(pixels: np.ndarray) -> np.ndarray:
    """The two tones of a coat [pixels, 3]: the means at both ends of the direction it varies most in."""
    middle = pixels.mean(0)
    direction = np.linalg.svd(pixels - middle, full_matrices=False)[2][0]
    order = (pixels @ direction).argsort()
    count = max(1, round(_SURE * len(order)))
    return np.stack([pixels[order[:count]].mean(0), pixels[order[-count:]].mean(0)])


def tone_distance(a: Creature, b: Creature) -> float:
    """Mean RGB distance of two palettes, whichever tone is matched with which."""
    return min(float(np.linalg.norm(a.tones - other, axis=1).mean()) for other in (b.tones, b.tones[::-1]))


def coat_distance(a: Creature, b: Creature) -> float:
    """Mean RGB distance of two coats, pixel on pixel, where one may sit a little aside."""
    best = math.inf
    for dy in _ASIDE_PX:
        for dx in _ASIDE_PX:
            both = inside() & np.roll(inside(), (dy, dx), (0, 1))
            apart = np.linalg.norm(a.coat - np.roll(b.coat, (dy, dx), (0, 1)), axis=2)
            best = min(best, float(apart[both].mean()))
    return best


def likeness(distance: float, same: float, other: float) -> float:
    """1 for what the same coat drawn twice is apart, 0 for what strangers are."""
    return min(1.0, max(0.0, (other - distance) / (other - same)))


def same_subject(a: Creature | None, b: Creature | None) -> tuple[float, float]:
    """(by the coat, by its palette alone), each 0 to 1; 0 where a picture shows no creature."""
    if a is None or b is None:
        return 0.0, 0.0
    return (likeness(coat_distance(a, b), SAME_RGB, OTHER_RGB),
            likeness(tone_distance(a, b), SAME_TONES_RGB, OTHER_TONES_RGB))


def spread(creatures: Sequence[Creature | None]) -> float | None:
    """How differently the creatures of a story stand: mean distance of (x, y, diameter), in canvases."""
    stands = [np.array((c.x, c.y, 2 * c.radius)) / CANVAS_PX for c in creatures if c is not None]
    apart = [float(np.linalg.norm(a - b)) for a, b in combinations(stands, 2)]
    return sum(apart) / len(apart) if apart else None


def obeyed(seen: Seen, scene: Scene) -> float:
    """The share of a scene's other words that is drawn: its ground, and the shape where there is one."""
    looks = {o.look for o in seen.objects}
    right = [seen.background == scene.background,
             *((t.colour, t.shape) in looks for t in scene.things if t.shape != CREATURE)]
    return sum(right) / len(right)


def story_scores(pictures: np.ndarray, story: Story) -> dict[str, list[float]]:
    """Pictures uint8 [scenes, H, W, 3] of a story: every metric's values.

    same_drawn: same_subject of the pairs that both show a creature, which says how alike those are that are there.
    """
    seen = [look(picture) for picture in pictures]
    creatures = [read_creature(picture, s) for picture, s in zip(pictures, seen, strict=True)]
    pairs = [same_subject(a, b) for a, b in combinations(creatures, 2)]
    apart = spread(creatures)
    there = [c is not None for c in creatures]
    both = [coat for (coat, _), pair in zip(pairs, combinations(there, 2), strict=True) if all(pair)]
    return {"same_subject": [coat for coat, _ in pairs], "same_palette": [tones for _, tones in pairs],
            "same_drawn": both,
            "obedience": [obeyed(s, scene) for s, scene in zip(seen, story.scenes, strict=True)],
            "drawn": [float(t) for t in there], "spread": [] if apart is None else [apart]}


assert max(_ASIDE_PX) < READ_PX // 8
