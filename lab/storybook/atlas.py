"""The sprites of the storybook world, read from atlas.npz."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np

from .cast import CLASSES, COLOURS, HELD_OUT_EVERY, PEOPLE, look_of

FILE = Path(__file__).with_name("atlas.npz")
Which = Literal["trained", "held out", "all"]


@dataclass(frozen=True, eq=False)
class Atlas:
    """pixels: uint8 [n, 128, 128, 4], RGB times alpha. phrases, names: what captions call each, and its look.

    held_out: sprites of people that nothing is trained on.
    """

    pixels: np.ndarray
    phrases: tuple[str, ...]
    names: tuple[str, ...]
    held_out: frozenset[int]
    _looks: dict[tuple[str, Which], tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.phrases)

    def looks(self, phrase: str, which: Which = "trained") -> tuple[int, ...]:
        """Sprites a phrase may show: of people those that are trained on, those that never are, or all."""
        return self._looks[phrase, which]

    def class_of(self, sprite: int) -> int:
        return CLASSES.index(look_of(self.phrases[sprite])[0])

    def colour_of(self, sprite: int) -> int:
        """Number of its colour's name, or -1 where a caption names none."""
        colour = look_of(self.phrases[sprite])[1]
        return COLOURS.index(colour) if colour else -1


@cache
def read_atlas(path: Path = FILE) -> Atlas:
    """The atlas that comes with the lab."""
    with np.load(path) as file:
        pixels, phrases, names = file["sprites"], file["phrases"].tolist(), file["looks"].tolist()
    people = [i for i, phrase in enumerate(phrases) if phrase in PEOPLE]
    held = frozenset(people[::HELD_OUT_EVERY])
    looks: dict[tuple[str, Which], tuple[int, ...]] = {}
    for phrase in dict.fromkeys(phrases):
        own = [i for i, other in enumerate(phrases) if other == phrase]
        looks[phrase, "all"] = tuple(own)
        looks[phrase, "trained"] = tuple(i for i in own if i not in held)
        looks[phrase, "held out"] = tuple(i for i in own if i in held) if phrase in PEOPLE else tuple(own)
    return Atlas(pixels, tuple(phrases), tuple(names), held, looks)
