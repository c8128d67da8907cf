"""Held-out people, the prompts that name them, and what a drawn picture is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

import numpy as np
import torch
from storybook.atlas import read_atlas
from storybook.cast import PEOPLE, PLACES
from storybook.data import PORTRAIT_PX, portrait
from storybook.measure import gallery, line_up, nearest
from storybook.oracle import Seen
from storybook.render import Renderer
from storybook.scene import CANVAS_PX, DICE, Scene, Thing, place_things

from .storybook_layout import Layout, oracle

BESIDE = ("cat", "red car", "cactus", "penguin", "blue balloon", "castle", "yellow star", "pumpkin")
MIDDLE = slice((CANVAS_PX - PORTRAIT_PX) // 2, (CANVAS_PX + PORTRAIT_PX) // 2)


@dataclass(frozen=True, eq=False)
class Case:
    """A prompt with one person, or with a man and a woman. layout: who is where, if anybody asks; people: their
    sprites, the first things of the scene; line_ups: for each, the sprites among which to be known."""

    layout: Layout
    people: tuple[int, ...]
    line_ups: tuple[tuple[int, ...], ...]
    seed: int

    @property
    def words(self) -> list[str]:
        return self.layout.phrases[:len(self.people)]

    def references(self) -> list[torch.Tensor]:
        """A picture of each person alone, as a user would give it: float [1, H, W, 3]."""
        scenes = [portrait(sprite, read_atlas(), Random(f"reference/{self.seed}/{sprite}")) for sprite in self.people]
        return list(renderer()(scenes).pictures[..., MIDDLE, MIDDLE].clamp(0, 1).movedim(1, -1)[:, None])


def sample_case(number: int, people: int) -> Case:
    """Case ``number``, of looks that nothing was trained on; every second single person has a thing beside."""
    rng, atlas = Random(f"storybook identity/{people}/{number}"), read_atlas()
    looks = tuple(rng.choice(atlas.looks(word, "held out")) for word in rng.sample(list(PEOPLE), people))
    beside = [rng.choice(atlas.looks(rng.choice(BESIDE)))] if people == 1 and number % 2 else []
    sprites = (*looks, *beside)
    things = tuple(Thing(sprite, atlas.phrases[sprite], x, y, size)
                   for sprite, (x, y, size) in zip(sprites, place_things(rng, len(sprites)), strict=True))
    scene = Scene(rng.choice(list(PLACES)), things, tuple(rng.random() for _ in range(DICE)))
    boxes = renderer()([Scene(scene.place, (thing,)) for thing in things]).boxes[:, 0]
    line_ups = tuple(tuple(line_up(sprite, atlas, rng)) for sprite in looks)
    return Case(Layout(scene, tuple(tuple(box) for box in boxes.tolist())), looks, line_ups, 1000 * people + number)


@cache
def renderer() -> Renderer:
    return Renderer(read_atlas(), torch.device("cpu"))


@cache
def known() -> dict[int, np.ndarray]:
    """The mean embedding of every person's look."""
    atlas = read_atlas()
    return gallery(oracle(), renderer(), atlas, [sprite for word in PEOPLE for sprite in atlas.looks(word, "all")])


def score(seen: Seen, case: Case) -> dict[str, float]:
    """match: share of the people who are there, each found by their word and known in a line-up of twenty.

    drawn: share for whom anybody of their word is there. obedience: all things of the prompt are there, and its place.
    blending, with two in the prompt: share of the drawn people who look more like the other's picture than like their
    own; left out where nobody is drawn.
    """
    there = [[thing.look for thing in seen.things if thing.phrase == word] for word in case.words]
    match = [any(nearest(look, line, known()) == sprite for look in looks)
             for sprite, line, looks in zip(case.people, case.line_ups, there, strict=True)]
    missing = Counter(case.layout.phrases) - seen.phrases
    out = {"match": float(np.mean(match)), "drawn": float(np.mean([bool(looks) for looks in there])),
           "obedience": float(not missing and seen.place == case.layout.scene.place)}
    if len(case.people) == 2 and any(there):
        out["blending"] = float(np.mean(_blended(case.people, there)))
    return out


def _blended(people: Sequence[int], there: Sequence[Sequence[np.ndarray]]) -> list[bool]:
    return [nearest(look, people, known()) != sprite for sprite, looks in zip(people, there, strict=True)
            for look in looks]
