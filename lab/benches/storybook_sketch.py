"""Does the picture follow the drawing, on the transformer? Sketch Guidance against words alone and image to image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from random import Random
from statistics import median

import cv2
import numpy as np
import torch
from storybook.atlas import read_atlas
from storybook.caption import plain_caption
from storybook.cast import PHRASES, PLACES
from storybook.oracle import SHIPPED, Oracle, recovered, shows
from storybook.render import Renderer, to_bytes
from storybook.scene import DICE, Scene, Thing, place_things
from world.draw import Settings, World
from world.scene import CANVAS_PX as MEASURED_PX

from .cached_cases import WORKER, Cases
from .results import Row, collected, mean_row
from .sketch_cases import distance_to, edge_scores, edges_in
from .sketch_methods import Method, ours, sampled, sdedit, unpatched

MODEL = "transformer"
SKETCHES = 40
SETTINGS = Settings(12, 4.0, "euler", "simple")
PREDICTOR = "storybook_edges.safetensors"
PEN_PX = 2
# Chosen on the drawings of ``tuning``.
OURS = {"strength": 1.6, "end": 0.6}
VARIANTS: dict[str, Method] = {
    "unpatched": unpatched,
    "sdedit-80": sdedit(0.8),
    "ours": ours(PREDICTOR, **OURS),
}


@dataclass(frozen=True, eq=False)
class Sketch:
    """A line drawing and the scene whose lines it has.

    kind: "things" on a white background, or a "scene" with its horizon, its sun or moon. drawing: uint8 [256, 256],
    white on black. lines: bool [128, 128], one pixel wide, which pictures are measured by. boxes: of the things.
    """

    kind: str
    scene: Scene
    drawing: np.ndarray
    lines: np.ndarray
    boxes: tuple[tuple[float, ...], ...]
    rendered: np.ndarray
    seed: int

    @property
    def caption(self) -> str:
        return plain_caption(self.scene).text


def sample_sketch(number: int, use: str = "bench") -> Sketch:
    """Drawing ``number``: one or two different things of words that have one look. use: keeps uses apart."""
    rng, atlas = Random(f"storybook sketch/{use}/{number}"), read_atlas()
    kind = ("things", "scene")[number % 2]
    spots = place_things(rng, rng.choice((1, 2)))
    known = [phrase for phrase in PHRASES if len(atlas.looks(phrase)) == 1]
    things = tuple(Thing(atlas.looks(phrase)[0], phrase, x, y, size)
                   for phrase, (x, y, size) in zip(rng.sample(known, len(spots)), spots, strict=True))
    place = "white" if kind == "things" else rng.choice([name for name in PLACES if name != "white"])
    scene = Scene(place, things, tuple(rng.random() for _ in range(DICE)))
    rendered = Renderer(atlas, torch.device("cpu"))([scene])
    picture = to_bytes(rendered.pictures)[0]
    drawn = cv2.dilate(edges_in(picture).astype(np.uint8) * 255, np.ones((PEN_PX, PEN_PX), np.uint8))
    boxes = tuple(map(tuple, rendered.boxes[0, :len(things)].tolist()))
    return Sketch(kind, scene, drawn, lines_in(picture), boxes, picture, 30_000 + number)


def lines_in(picture: np.ndarray) -> np.ndarray:
    """The edges of a picture uint8 [256, 256, 3] on the canvas that is measured on: bool [128, 128]."""
    return edges_in(cv2.resize(picture, (MEASURED_PX, MEASURED_PX), interpolation=cv2.INTER_AREA))


@cache
def oracle() -> Oracle:
    return Oracle.read(SHIPPED)


def scores(picture: np.ndarray, sketch: Sketch) -> dict[str, float]:
    """Of a picture uint8 [256, 256, 3] that was to follow the sketch.

    edge_f1: within 2 px of the canvas of 128. recall: the part of it that asks for the drawn lines alone. right: is
    all there that the caption names? placed: the share of things found as themselves where they were drawn.
    """
    f1, chamfer = edge_scores(lines_in(picture), sketch.lines)
    recall = float((distance_to(lines_in(picture))[sketch.lines] <= 2).mean())
    seen = oracle().look_at_bytes(picture[None])[0]
    placed = recovered(seen, sketch.scene, sketch.boxes)
    return {"edge_f1": f1, "recall": recall, "chamfer": chamfer, "placed": sum(placed) / len(placed),
            "right": float(shows(seen, [thing.phrase for thing in sketch.scene.things])),
            "place": float(seen.place == sketch.scene.place)}


def draw(world: World, method: Method, sketch: Sketch, settings: Settings = SETTINGS) -> tuple[np.ndarray, float]:
    """(the picture uint8 [256, 256, 3], seconds of sampling)."""
    with torch.inference_mode():
        latent, seconds = sampled(world, method(world, sketch), sketch.seed, settings)
        decoded = world.vae.decode(latent)[0]
    return (decoded.clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy(), seconds


def measure(number: int) -> dict[str, dict[str, list[float]]]:
    """Every variant on one drawing. rendered: the scene itself after the VAE, which no method can pass."""
    world, sketch = WORKER["world"], sample_sketch(number)
    with torch.inference_mode():
        again = world.vae.decode(world.vae.encode(torch.from_numpy(sketch.rendered)[None].float() / 255))[0]
    found = {"rendered": scores((again.clamp(0, 1) * 255).round().to(torch.uint8).numpy(), sketch)}
    for variant, method in VARIANTS.items():
        picture, seconds = draw(world, method, sketch)
        found[variant] = scores(picture, sketch) | {"seconds": seconds}
    kinds = {variant: {"drawing": [float(sketch.kind == "scene")]} for variant in found}
    return {variant: {name: [value] for name, value in values.items()} | kinds[variant]
            for variant, values in found.items()}


def run(limit: int | None = None) -> list[Row]:
    """One row a variant; ``limit`` is a number of drawings."""
    with Cases("storybook_sketch", choice=MODEL) as cases:
        return rows_of(cases.each(measure, range(limit or SKETCHES)))


def rows_of(sketches: Iterable[dict[str, dict[str, list[float]]]]) -> list[Row]:
    """One row a variant for all drawings, then one for each kind. time_ratio: of a run, against the plain one's."""
    every = list(sketches)
    rows: list[Row] = []
    for kind, chosen in (("all", every), ("things", _of(every, 0.0)), ("scene", _of(every, 1.0))):
        totals = collected(chosen)
        for variant, values in totals.items():
            means = mean_row(variant, {name: v for name, v in values.items() if name not in ("seconds", "drawing")})
            if "seconds" in values:
                means["time_ratio"] = median(values["seconds"]) / median(totals["unpatched"]["seconds"])
            rows.append({"variant": variant, "drawing": kind, "model": MODEL} | means
                        | {"n": float(len(values["edge_f1"]))})
    return rows


def _of(sketches: list[dict[str, dict[str, list[float]]]], kind: float) -> list[dict[str, dict[str, list[float]]]]:
    return [one for one in sketches if one["unpatched"]["drawing"] == [kind]]
