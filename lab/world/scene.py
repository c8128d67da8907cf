"""What a picture of the tiny world holds: things with a colour, a shape, a place and a size."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, field
from random import Random

CANVAS_PX = 128

# Object colours keep at least 60 RGB units from each other and from every background, so that the
# oracle can name a colour after a VAE round trip.
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 38, 44),
    "orange": (250, 140, 22),
    "yellow": (250, 222, 40),
    "green": (36, 158, 66),
    "blue": (36, 76, 222),
    "purple": (132, 48, 176),
    "pink": (250, 128, 196),
    "brown": (122, 72, 34),
}
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (246, 246, 246),
    "grey": (142, 146, 150),
    "black": (22, 22, 24),
    "beige": (224, 206, 168),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")
CREATURE = "creature"
PATTERNS = ("stripes", "dots", "halves", "rings")
CREATURES = 0.45  # the share of scenes that show any

# Radius of a thing in pixels on the 128-pixel canvas, by how many things share it.
_RADIUS_PX = {1: (20, 40), 2: (18, 31), 3: (16, 25), 4: (15, 21)}
_COUNT_WEIGHTS = {1: 0.33, 2: 0.40, 3: 0.20, 4: 0.07}


@dataclass(frozen=True)
class Coat:
    """How a creature looks: a two-tone pattern that no caption describes."""

    pattern: str
    light: tuple[int, int, int]
    dark: tuple[int, int, int]
    angle: float
    period: float


@dataclass(frozen=True)
class Thing:
    """One object. ``colour`` is a key of COLOURS, or "" for a creature, which wears a ``coat``."""

    shape: str
    colour: str
    x: float
    y: float
    radius: float
    coat: Coat | None = None

    @property
    def phrase(self) -> str:
        """The words a caption uses for it, without an article."""
        return f"{self.colour} {self.shape}".strip()


@dataclass(frozen=True)
class Scene:
    """A background and the things on it, back to front."""

    background: str
    things: tuple[Thing, ...] = field(default_factory=tuple)


def sample_coat(rng: Random) -> Coat:
    """A random palette of two tones far enough apart to be seen, and a pattern."""
    hue = rng.random()
    other = (hue + rng.uniform(0.25, 0.75)) % 1.0
    light = colorsys.hsv_to_rgb(hue, rng.uniform(0.35, 0.8), rng.uniform(0.85, 1.0))
    dark = colorsys.hsv_to_rgb(other, rng.uniform(0.7, 1.0), rng.uniform(0.3, 0.6))
    as_bytes = [tuple(round(255 * c) for c in tone) for tone in (light, dark)]
    return Coat(rng.choice(PATTERNS), as_bytes[0], as_bytes[1],
                rng.choice((0.0, 45.0, 90.0, 135.0)), rng.uniform(0.42, 0.6))


def _coats(rng: Random, count: int, variants: float) -> list[Coat]:
    """One coat for all, by the chance ``variants``, or one for each."""
    if count > 1 and rng.random() < variants:
        return [sample_coat(rng)] * count
    return [sample_coat(rng) for _ in range(count)]


def _place(rng: Random, count: int, scale: float) -> list[tuple[float, float, float]] | None:
    """Centres and radii for ``count`` things that overlap at most slightly; None when stuck."""
    low, high = _RADIUS_PX[count]
    placed: list[tuple[float, float, float]] = []
    for _ in range(80):
        r = rng.uniform(low, high) * scale
        x, y = (rng.uniform(r + 1, CANVAS_PX * scale - r - 1) for _ in range(2))
        if all(math.hypot(x - u, y - v) > 0.97 * (r + s) for u, v, s in placed):
            placed.append((x, y, r))
            if len(placed) == count:
                return placed
    return None


def place_things(rng: Random, count: int) -> list[tuple[float, float, float]]:
    """Centres and radii in pixels of the canvas for ``count`` things (1 to 4)."""
    while True:
        placed = _place(rng, count, 1.0)
        if placed is not None:
            return placed


def sample_scene(rng: Random, creatures: float = CREATURES, variants: float = 0.7) -> Scene:
    """A random scene.

    ``creatures`` is the chance that any is in it; ``variants`` the chance that those of one scene all wear one
    coat, so that a model learns what photographs teach: things of one name near each other look alike.
    """
    background = rng.choice(list(BACKGROUNDS))
    draw = rng.random()
    if draw < 0.02:
        return Scene(background)
    with_creature = draw < 0.02 + creatures
    weights = {1: 0.35, 2: 0.45, 3: 0.20} if with_creature else _COUNT_WEIGHTS
    count = rng.choices(list(weights), list(weights.values()))[0]
    creature_count = 0
    if with_creature:
        creature_count = rng.randint(1, count)
    coats = _coats(rng, creature_count, variants)
    things, taken = [], set()
    for i, (x, y, r) in enumerate(place_things(rng, count)):
        if i < creature_count:
            things.append(Thing(CREATURE, "", x, y, r, coats[i]))
            continue
        while True:
            look = (rng.choice(list(COLOURS)), rng.choice(SHAPES))
            if look not in taken:
                break
        taken.add(look)
        things.append(Thing(look[1], look[0], x, y, r))
    rng.shuffle(things)
    return Scene(background, tuple(things))
