"""What a picture of the storybook world holds: a place, and one to four things with a look, a spot and a size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from .atlas import Atlas, Which
from .cast import COLOURED, PEOPLE, PHRASES, PLACES, TURNED, WITH_LOOKS, look_of

CANVAS_PX = 256
MOST_THINGS = 4
COUNTS = {1: 0.3, 2: 0.4, 3: 0.2, 4: 0.1}
SIZE_PX = {1: (90, 170), 2: (72, 128), 3: (60, 104), 4: (56, 88)}
APART = 0.47  # centres keep this share of the two sizes between them: sprites have empty corners
TURN = 0.14  # radians, either way
TWINS = 0.125  # share of all scenes that show one look twice
DICE = 10  # numbers the backdrop takes its own from

WEIGHTS = {word: 5.0 for word in PEOPLE} | {word: 1.5 for word in TURNED}
COLOURED_WEIGHT = 0.55


@dataclass(frozen=True)
class Thing:
    """A sprite of the atlas in the picture. x, y: its centre; size: its side, all in pixels; turn: radians."""

    sprite: int
    phrase: str
    x: float
    y: float
    size: float
    flipped: bool = False
    turn: float = 0.0


@dataclass(frozen=True)
class Scene:
    """A place and the things in it, back to front. dice: DICE numbers in 0..1 that vary the backdrop."""

    place: str
    things: tuple[Thing, ...]
    dice: tuple[float, ...] = (0.5,) * DICE

    @property
    def parts(self) -> tuple[int, ...]:
        """For each thing the number of the first thing of its phrase: words cannot tell those apart."""
        phrases = [thing.phrase for thing in self.things]
        return tuple(phrases.index(phrase) for phrase in phrases)


def weight(phrase: str) -> float:
    """How often a phrase is sampled, against a plain thing's 1."""
    word, _ = look_of(phrase)
    return COLOURED_WEIGHT if word in COLOURED else WEIGHTS.get(word, 1.0)


PHRASE_WEIGHTS = [weight(phrase) for phrase in PHRASES]


def place_things(rng: Random, count: int) -> list[tuple[float, float, float]]:
    """(x, y, size) of ``count`` things (1 to 4) that hardly overlap and stay inside the canvas."""
    while True:
        placed: list[tuple[float, float, float]] = []
        for _ in range(60):
            size = rng.uniform(*SIZE_PX[count])
            x, y = (rng.uniform(size / 2, CANVAS_PX - size / 2) for _ in range(2))
            if all(math.hypot(x - u, y - v) > APART * (size + other) for u, v, other in placed):
                placed.append((x, y, size))
                if len(placed) == count:
                    return placed


def sample_phrases(rng: Random, count: int) -> list[str]:
    """Different phrases, but people and creatures may meet others of their word."""
    out: list[str] = []
    while len(out) < count:
        phrase = rng.choices(PHRASES, PHRASE_WEIGHTS)[0]
        if phrase in WITH_LOOKS or phrase not in out:
            out.append(phrase)
    return out


def sample_sprites(rng: Random, phrases: Sequence[str], atlas: Atlas, which: Which, variants: bool) -> list[int]:
    """A look for each phrase. ``variants``: the first two things are one look."""
    sprites = [rng.choice(atlas.looks(phrase, which)) for phrase in phrases]
    return [sprites[0], sprites[0], *sprites[2:]] if variants else sprites


def sample_scene(rng: Random, atlas: Atlas, count: int | None = None, which: Which = "trained") -> Scene:
    """A random scene.

    count: how many things; random when None. which: looks of people, those that are trained on by default.
    """
    count = count or rng.choices(list(COUNTS), list(COUNTS.values()))[0]
    phrases = sample_phrases(rng, count)
    variants = count > 1 and rng.random() < TWINS / (1 - COUNTS[1])
    if variants:
        phrases[:2] = [rng.choices(WITH_LOOKS, [weight(word) for word in WITH_LOOKS])[0]] * 2
    sprites = sample_sprites(rng, phrases, atlas, which, variants)
    things = [Thing(sprite, phrase, x, y, size, rng.random() < 0.5, rng.uniform(-TURN, TURN))
              for sprite, phrase, (x, y, size) in zip(sprites, phrases, place_things(rng, count), strict=True)]
    rng.shuffle(things)
    return Scene(rng.choice(list(PLACES)), tuple(things), tuple(rng.random() for _ in range(DICE)))


@dataclass(frozen=True)
class Scenes:
    """Scenes by their number: the same number is the same scene, whoever asks. ``kind`` keeps uses apart."""

    atlas: Atlas
    seed: int
    kind: str = "train"
    count: int | None = None
    which: Which = "trained"

    def __getitem__(self, index: int) -> Scene:
        return sample_scene(Random(f"{self.seed}/{self.kind}/{index}"), self.atlas, self.count, self.which)

    def some(self, start: int, stop: int) -> list[Scene]:
        return [self[index] for index in range(start, stop)]


def arrays(scenes: Sequence[Scene]) -> dict[str, np.ndarray]:
    """Scenes side by side, B of them, as SceneBatch names and shapes them."""
    sprite = np.full((len(scenes), MOST_THINGS), -1, np.int64)
    pose = np.zeros((len(scenes), MOST_THINGS, 5), np.float32)
    pose[..., 2:4] = 1
    for b, scene in enumerate(scenes):
        for i, thing in enumerate(scene.things):
            sprite[b, i] = thing.sprite
            pose[b, i] = thing.x, thing.y, thing.size, -1 if thing.flipped else 1, thing.turn
    names = list(PLACES)
    place = np.array([names.index(scene.place) for scene in scenes], np.int64)
    dice = np.array([scene.dice for scene in scenes], np.float32).reshape(len(scenes), DICE)
    return {"sprite": sprite, "pose": pose, "place": place, "dice": dice}
