"""Do things stand where they were asked to, on the transformer? Region Prompt against other ways."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from statistics import median

import numpy as np
import torch
from storybook.atlas import read_atlas
from storybook.caption import plain_caption
from storybook.cast import PHRASES, PLACES
from storybook.oracle import SHIPPED, Oracle, Seen
from storybook.render import Renderer
from storybook.scene import CANVAS_PX, DICE, Scene, Thing, place_things
from world.draw import World, draw

from .cached_cases import WORKER, Cases
from .results import Row, collected, mean_row
from .storybook_layout_methods import MAIN, VARIANTS

MODEL = "transformer"
LAYOUTS, LAYOUTS_OF_ALL = 200, 6
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@dataclass(frozen=True, eq=False)
class Layout:
    """What a person draws: a box round the place of each thing, and the prompt that names them all."""

    scene: Scene
    boxes: tuple[Box, ...]

    @property
    def caption(self) -> str:
        return plain_caption(self.scene).text

    @property
    def phrases(self) -> list[str]:
        return [thing.phrase for thing in self.scene.things]

    @property
    def masks(self) -> np.ndarray:
        """bool [R, H, W]."""
        out = np.zeros((len(self.boxes), CANVAS_PX, CANVAS_PX), bool)
        for mask, (left, top, right, bottom) in zip(out, self.boxes, strict=True):
            mask[round(top):round(bottom), round(left):round(right)] = True
        return out


def sample_layout(number: int) -> Layout:
    """Layout ``number``: two to four different things at a named place, boxes as tight as a sprite's own."""
    rng, atlas = Random(f"storybook layout/{number}"), read_atlas()
    spots = place_things(rng, rng.choice((2, 3, 4)))
    things = tuple(Thing(rng.choice(atlas.looks(phrase)), phrase, x, y, size)
                   for phrase, (x, y, size) in zip(rng.sample(PHRASES, len(spots)), spots, strict=True))
    scene = Scene(rng.choice(list(PLACES)), things, tuple(rng.random() for _ in range(DICE)))
    alone = [Scene(scene.place, (thing,)) for thing in things]
    boxes = Renderer(atlas, torch.device("cpu"))(alone).boxes[:, 0]
    return Layout(scene, tuple(tuple(box) for box in boxes.tolist()))


@dataclass(frozen=True)
class Scores:
    """Of one picture. iou, bound: for each region; missing, added: numbers of things."""

    iou: tuple[float, ...]
    bound: tuple[bool, ...]
    missing: int
    added: int


def score(seen: Seen, phrases: Sequence[str], boxes: Sequence[Box]) -> Scores:
    """Compare what the oracle is sure of with each region's phrase and box.

    iou: with the best thing of that phrase, 0 without one. bound: is what covers most of the box of that phrase?
    """
    iou, bound = [], []
    for phrase, box in zip(phrases, boxes, strict=True):
        iou.append(max((thing.iou(box) for thing in seen.things if thing.phrase == phrase), default=0.0))
        top = max(seen.things, key=lambda thing: shared(thing.box, box), default=None)
        bound.append(top is not None and shared(top.box, box) > 0 and top.phrase == phrase)
    wanted = Counter(phrases)
    return Scores(tuple(iou), tuple(bound), (wanted - seen.phrases).total(), (seen.phrases - wanted).total())


def shared(a: Box, b: Box) -> float:
    """The area of two boxes' intersection in pixels."""
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


@cache
def oracle() -> Oracle:
    return Oracle.read(SHIPPED)


def scores_of(world: World, variant: str, layout: Layout, number: int) -> dict[str, list[float]]:
    """All scores of one variant on one layout, at the seed of its number."""
    values: dict[str, list[float]] = defaultdict(list)
    asked = VARIANTS[variant](world, layout)
    drawing = draw(world, asked.model, asked.positive, [number], negative=asked.negative)
    for seen in oracle().look_at_bytes(drawing.pictures):
        scores = score(seen, layout.phrases, layout.boxes)
        values["iou"].extend(scores.iou)
        values["binding"].extend(map(float, scores.bound))
        values["missing"].append(scores.missing)
        values["added"].append(scores.added)
        values["place"].append(float(seen.place == layout.scene.place))
        values["a_step"].append(drawing.a_step)
        values["evaluations"].append(drawing.evaluations)
    return dict(values)


def measure_layout(number: int) -> dict[str, dict[str, list[float]]]:
    """The variants on one layout, one after the other, so that their seconds are of the same minute."""
    layout = sample_layout(number)
    variants = VARIANTS if number < LAYOUTS_OF_ALL else MAIN
    return {variant: scores_of(WORKER["world"], variant, layout, number) for variant in variants}


def run(limit: int | None = None) -> list[Row]:
    """One row a variant; ``limit`` is a number of layouts."""
    with Cases("storybook_layout", choice=MODEL) as cases:
        return rows_of(cases.each(measure_layout, range(limit or LAYOUTS)))


def rows_of(layouts: Iterable[dict[str, dict[str, list[float]]]]) -> list[Row]:
    """One row a variant over all layouts. step_ratio: the median over layouts of its step against the plain one's."""
    with_ratios = [{variant: values | {"step_ratio": [median(values["a_step"]) / median(scores["unpatched"]["a_step"])]}
                    for variant, values in scores.items()} for scores in layouts]
    return [mean_row(v, {name: found for name, found in values.items() if name != "a_step"})
            | {"model": MODEL, "step_ratio": median(values["step_ratio"]), "n": float(len(values["missing"]))}
            for v, values in collected(with_ratios).items()]
