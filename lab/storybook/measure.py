"""How far the oracle can be trusted: on renders, after each VAE, and on who is who in line-ups of 20."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import numpy as np

from .atlas import Atlas
from .cast import WITH_LOOKS
from .nets.vae import Vae
from .oracle import Oracle, Seen, matched, recovered
from .render import Renderer
from .scene import CANVAS_PX, Scene, Scenes, Thing
from .train_oracle import round_trip

LINE_UP = 20
BATCH = 32


def measure_oracle(oracle: Oracle, renderer: Renderer, atlas: Atlas, vaes: dict[str, Vae],
                   count: int = 1000, views: int = 4, looks_every: int = 1) -> dict[str, dict[str, float | int]]:
    """Rows ``oracle_render`` and ``oracle_vae_<model>`` (things right, mean IoU, places right) and ``looks``.

    Looks of people that the models never train on are among them: the oracle knows them all.
    """
    scenes = Scenes(atlas, 1, "measure", which="all")
    ways: dict[str, Vae | None] = {"oracle_render": None} | {f"oracle_vae_{name}": vae for name, vae in vaes.items()}
    rows = {name: things_right(oracle, renderer, scenes, vae, count) for name, vae in ways.items()}
    return rows | {"looks": looks_right(oracle, renderer, atlas, count, views, looks_every)}


def things_right(oracle: Oracle, renderer: Renderer, scenes: Scenes, vae: Vae | None,
                 count: int) -> dict[str, float | int]:
    """right: share of things found surely as themselves. unsure: share of what was found that it is not sure of."""
    right: list[bool] = []
    overlaps: list[float] = []
    places = unsure = found = extra = 0
    for start in range(0, count, BATCH):
        some = scenes.some(start, min(start + BATCH, count))
        rendered = renderer(some)
        pictures = rendered.pictures if vae is None else round_trip(vae, rendered.pictures, 0.0)
        for seen, scene, boxes in zip(oracle.look(pictures), some, rendered.boxes.tolist(), strict=True):
            boxes = boxes[:len(scene.things)]
            own = recovered(seen, scene, boxes)
            right += own
            overlaps += [thing.iou(box) for thing, box in zip(matched(seen.things, boxes), boxes, strict=True) if thing]
            places += seen.place == scene.place
            unsure, found = unsure + seen.unsure, found + len(seen.found)
            extra += max(0, len(seen.things) - sum(own))
    return {"right": float(np.mean(right)), "iou": float(np.mean(overlaps)) if overlaps else 0.0,
            "place": places / count, "unsure": unsure / max(1, found), "wrong_or_added": extra / max(1, len(right)),
            "things": len(right), "n": count}


def alone(sprite: int, atlas: Atlas, rng: Random) -> Scene:
    """A scene that shows one look alone, large enough to tell who it is."""
    size = rng.uniform(80, 140)
    x, y = (rng.uniform(size / 2, CANVAS_PX - size / 2) for _ in range(2))
    thing = Thing(sprite, atlas.phrases[sprite], x, y, size, rng.random() < 0.5, rng.uniform(-0.14, 0.14))
    return Scene(rng.choice(("beach", "meadow", "snow", "night", "desert", "white")), (thing,),
                 tuple(rng.random() for _ in range(10)))


def biggest(seen: Seen) -> np.ndarray | None:
    """The embedding of the largest thing, sure or not; None where nothing is found."""
    if not seen.found:
        return None
    return max(seen.found, key=lambda f: (f.box[2] - f.box[0]) * (f.box[3] - f.box[1])).look


def gallery(oracle: Oracle, renderer: Renderer, atlas: Atlas, sprites: Sequence[int], seed: int = 0,
            views: int = 4) -> dict[int, np.ndarray]:
    """The mean embedding of each look over ``views`` renders of it alone: what a line-up is made of."""
    rng = Random(f"{seed}/gallery")
    scenes = [alone(sprite, atlas, rng) for sprite in sprites for _ in range(views)]
    looks: dict[int, list[np.ndarray]] = {sprite: [] for sprite in sprites}
    for start in range(0, len(scenes), BATCH):
        part = scenes[start:start + BATCH]
        for scene, seen in zip(part, oracle.look(renderer(part).pictures), strict=True):
            look = biggest(seen)
            if look is not None:
                looks[scene.things[0].sprite].append(look)
    means = {sprite: np.sum(own, 0) for sprite, own in looks.items() if own}
    return {sprite: mean / np.linalg.norm(mean) for sprite, mean in means.items()}


def line_up(sprite: int, atlas: Atlas, rng: Random, size: int = LINE_UP) -> list[int]:
    """A look among ``size``: others of its word first, then of the other words that have looks."""
    own = [i for i in atlas.looks(atlas.phrases[sprite], "all") if i != sprite]
    rest = [i for word in WITH_LOOKS if word != atlas.phrases[sprite] for i in atlas.looks(word, "all")]
    rng.shuffle(own)
    rng.shuffle(rest)
    out = [sprite, *(own + rest)[:size - 1]]
    rng.shuffle(out)
    return out


def nearest(look: np.ndarray, among: Sequence[int], known: dict[int, np.ndarray]) -> int | None:
    """Who of a line-up a look is; None where the gallery holds none of them."""
    there = [sprite for sprite in among if sprite in known]
    return max(there, key=lambda sprite: float(known[sprite] @ look)) if there else None


def looks_right(oracle: Oracle, renderer: Renderer, atlas: Atlas, count: int, views: int,
                looks_every: int = 1) -> dict[str, float | int]:
    """How often the nearest of a line-up is the right one, for looks in scenes of one to four things."""
    with_looks = [i for word in WITH_LOOKS for i in atlas.looks(word, "all")][::looks_every]
    known = gallery(oracle, renderer, atlas, with_looks, views=views)
    scenes, rng = Scenes(atlas, 2, "looks", which="all"), Random("line-ups")
    right: list[bool] = []
    number, batch = 0, min(BATCH, 4 * count)
    while len(right) < count and number < 50 * count:
        some = scenes.some(number, number + batch)
        number += batch
        rendered = renderer(some)
        for seen, scene, boxes in zip(oracle.look(rendered.pictures), some, rendered.boxes.tolist(), strict=True):
            for thing, own in zip(scene.things, matched(seen.found, boxes[:len(scene.things)]), strict=True):
                if thing.phrase in WITH_LOOKS:
                    who = nearest(own.look, line_up(thing.sprite, atlas, rng), known) if own else None
                    right.append(who == thing.sprite)
    return {"right": float(np.mean(right[:count])), "n": min(count, len(right))}
