"""Unseen creatures, the prompts that name them, and what a drawn picture is worth."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import numpy as np
import torch
from identity.patterns import blended, nearest
from world.caption import plain_caption
from world.oracle import look, score_caption
from world.render import render
from world.scene import BACKGROUNDS, CANVAS_PX, COLOURS, CREATURE, SHAPES, Coat, Scene, Thing, sample_coat

LINEUP = 20  # a match: the reference is nearest among so many coats, by chance one in twenty


@dataclass(frozen=True, eq=False)
class Case:
    """A prompt with one creature or two. others: coats of strangers, to fill the line-up."""

    caption: str
    scene: Scene
    coats: tuple[Coat, ...]
    others: tuple[Coat, ...]
    seed: int

    @property
    def phrases(self) -> list[str]:
        return [f"{CREATURE}#{n}" for n, _ in enumerate(self.coats, 1)]

    def references(self) -> list[torch.Tensor]:
        """A picture of each creature alone, as a user would give it: float [1, H, W, 3]."""
        return [torch.from_numpy(portrait(coat, f"{self.seed}/{n}")[None]).float() / 255
                for n, coat in enumerate(self.coats)]


def portrait(coat: Coat, seed: str) -> np.ndarray:
    """One creature in the middle of a plain ground: uint8 [H, W, 3]."""
    rng = Random(f"portrait/{seed}")
    middle = CANVAS_PX / 2
    thing = Thing(CREATURE, "", middle, middle, rng.uniform(36, 50), coat)
    return render(Scene(rng.choice(list(BACKGROUNDS)), (thing,)))[0]


def sample_case(number: int, creatures: int) -> Case:
    """Case ``number``; every second one has a coloured shape beside a single creature."""
    rng = Random(f"identity/{creatures}/{number}")
    coats = tuple(sample_coat(rng) for _ in range(creatures))
    things = [Thing(CREATURE, "", 0, 0, 0, coat) for coat in coats]
    if creatures == 1 and number % 2:
        things.append(Thing(rng.choice(SHAPES), rng.choice(list(COLOURS)), 0, 0, 0))
    scene = Scene(rng.choice(list(BACKGROUNDS)), tuple(things))
    others = tuple(sample_coat(rng) for _ in range(LINEUP - creatures))
    return Case(plain_caption(scene), scene, coats, others, 1000 * creatures + number)


def scores(picture: np.ndarray, case: Case) -> dict[str, float]:
    """match: share of the wanted creatures that are there; obedience: all of the prompt and its background is.

    drawn: the share of wanted creatures that any creature was drawn for. blending, with two in the prompt:
    the share of the drawn ones that a mixture of the two explains better; left out where none is drawn.
    """
    seen = look(picture)
    drawn = [found for found in seen.objects if found.shape == CREATURE]
    worn = {nearest(picture, found, (*case.coats, *case.others)) for found in drawn}
    count = len(case.coats)
    out = {"match": sum(n in worn for n in range(count)) / count,
           "obedience": float(score_caption(seen.objects, case.scene.things)
                              and seen.background == case.scene.background),
           "drawn": min(len(drawn), count) / count}
    if count == 2 and drawn:
        out["blending"] = float(np.mean([blended(picture, found, *case.coats) for found in drawn]))
    return out
