"""Do things stand where they were asked to? RegionPrompt against the host's own ways and a hard mask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from statistics import median

import numpy as np
from world.caption import plain_caption
from world.draw import World, draw
from world.oracle import layout_scores, look
from world.render import coverage
from world.scene import BACKGROUNDS, CANVAS_PX, COLOURS, SHAPES, Scene, Thing, place_things

from .cached_cases import WORKER, Cases
from .layout_methods import VARIANTS
from .results import Row, collected, mean_row

LAYOUTS, SEEDS_A_LAYOUT = 200, 2


@dataclass(frozen=True, eq=False)
class Layout:
    """What a person draws: a box round the place of each thing, and the prompt that names them all.

    boxes: bool [R, H, W]. targets: bool [R, H, W], the thing's shape drawn to fill its box.
    """

    scene: Scene
    boxes: np.ndarray
    targets: np.ndarray

    @property
    def caption(self) -> str:
        return plain_caption(self.scene)

    @property
    def phrases(self) -> list[str]:
        return [thing.phrase for thing in self.scene.things]


def box_mask(thing: Thing) -> np.ndarray:
    """The square round a thing's disc: bool [H, W]."""
    mask = np.zeros((CANVAS_PX, CANVAS_PX), bool)
    x0, x1, y0, y1 = (max(0, round(v)) for v in (thing.x - thing.radius, thing.x + thing.radius,
                                                 thing.y - thing.radius, thing.y + thing.radius))
    mask[y0:y1, x0:x1] = True
    return mask


def sample_layout(number: int) -> Layout:
    """Layout ``number``: two to four things of different looks on a named background."""
    rng = Random(f"layout/{number}")
    places = place_things(rng, rng.choice((2, 3, 4)))
    looks = rng.sample([(c, s) for c in COLOURS for s in SHAPES], len(places))
    things = tuple(Thing(s, c, x, y, r) for (c, s), (x, y, r) in zip(looks, places, strict=True))
    return Layout(Scene(rng.choice(list(BACKGROUNDS)), things), np.stack([box_mask(t) for t in things]),
                  np.stack([coverage(t.shape, t.x, t.y, t.radius) > 0.5 for t in things]))


def scores_of(world: World, variant: str, layout: Layout, number: int) -> dict[str, list[float]]:
    """All scores of one variant on one layout, two seeds in one run."""
    values: dict[str, list[float]] = defaultdict(list)
    model, positive = VARIANTS[variant](world, layout)
    drawing = draw(world, model, positive, [SEEDS_A_LAYOUT * number + s for s in range(SEEDS_A_LAYOUT)])
    wanted = [(t.colour, t.shape, m) for t, m in zip(layout.scene.things, layout.targets, strict=True)]
    for picture in drawing.pictures:
        scores = layout_scores(look(picture).objects, wanted)
        values["iou"].extend(scores.iou)
        values["binding"].extend(map(float, scores.bound))
        values["missing"].append(scores.missing)
        values["added"].append(scores.added)
        values["seconds"].append(drawing.seconds / len(drawing.pictures))
        values["evaluations"].append(drawing.evaluations)
    return dict(values)


def measure_layout(number: int) -> dict[str, dict[str, list[float]]]:
    """Every variant on one layout, one after the other, so that their seconds are of the same minute."""
    layout = sample_layout(number)
    return {variant: scores_of(WORKER["world"], variant, layout, number) for variant in VARIANTS}


def run(limit: int | None = None) -> list[Row]:
    """One row a variant; ``limit`` is a number of layouts, for a trial. Seconds are medians."""
    with Cases("layout") as cases:
        return rows_of(cases.each(measure_layout, range(limit or LAYOUTS)))


def rows_of(layouts: Iterable[dict[str, dict[str, list[float]]]]) -> list[Row]:
    """One row a variant over all layouts, each as ``measure_layout`` gives it."""
    return [mean_row(v, values) | {"seconds": median(values["seconds"]), "pictures": float(len(values["missing"]))}
            for v, values in collected(layouts).items()]
