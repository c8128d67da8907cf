"""The sprites of the storybook world, read from atlas.npz."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from .cast import CLASSES, COLOURS, HELD_OUT_EVERY, PEOPLE, look_of

FILE = Path(__file__).with_name("atlas.npz")


@dataclass(frozen=True, eq=False)
class Atlas:
    """pixels: uint8 [n, 128, 128, 4], RGB times alpha. phrases, names: what captions call each, and its look.

    held_out: sprites of people that nothing is trained on.
    """

    pixels: np.ndarray
    phrases: tuple[str, ...]
    names: tuple[str, ...]
    held_out: frozenset[int]
    _looks: dict[tuple[str, bool], tuple[int, ...]]

    def __len__(self) -> int:
        return len(self.phrases)

    def looks(self, phrase: str, held_out: bool = False) -> tuple[int, ...]:
        """Sprites a phrase may show: of people the trained ones, or with ``held_out`` the others."""
        return self._looks[phrase, held_out]

    def every_look(self, phrase: str) -> tuple[int, ...]:
        """All sprites of a phrase, held out or not."""
        return tuple(i for i, own in enumerate(self.phrases) if own == phrase)

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
    looks = {}
    for phrase in dict.fromkeys(phrases):
        own = [i for i, other in enumerate(phrases) if other == phrase]
        looks[phrase, False] = tuple(i for i in own if i not in held)
        looks[phrase, True] = tuple(i for i in own if i in held) if phrase in PEOPLE else looks[phrase, False]
    return Atlas(pixels, tuple(phrases), tuple(names), held, looks)
