"""Does the demo model draw what it is told, and does the oracle see what is there?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from world.caption import plain_caption
from world.draw import World, draw_captions, load_world
from world.oracle import look, recovered, score_caption
from world.render import render
from world.scene import CREATURE, Scene
from world.train_unet import Scenes

from .results import Row, mean_row

CAPTIONS, ORACLE_SCENES, BATCH = 250, 1000, 10


def held_out(seed: int = 0) -> Iterator[Scene]:
    """Scenes no trainer has seen."""
    index = 0
    while True:
        index -= 1
        yield Scenes(seed)[index]


def captioned(things: int, count: int) -> list[Scene]:
    """The first held-out scenes of so many things, coloured shapes only."""
    found = (s for s in held_out()
             if len(s.things) == things and all(thing.shape != CREATURE for thing in s.things))
    return [next(found) for _ in range(count)]


def prompts_followed(world: World, scenes: list[Scene]) -> tuple[list[float], list[float]]:
    """For each scene: is all of its caption drawn, and is its background?"""
    jobs = [(plain_caption(s), seed) for seed, s in enumerate(scenes)]
    done, whole, background = 0, [], []
    for drawing in draw_captions(world, jobs, BATCH):
        for picture in drawing.pictures:
            seen = look(picture)
            whole.append(float(score_caption(seen.objects, scenes[done].things)))
            background.append(float(seen.background == scenes[done].background))
            done += 1
        print(f"world: {len(scenes[0].things)} in a picture, {done}/{len(scenes)} drawn", flush=True)
    return whole, background


def round_trip(world: World, pictures: np.ndarray) -> np.ndarray:
    """Pictures through the VAE and back: uint8 [B, H, W, 3]."""
    with torch.inference_mode():
        latent = world.vae.encode(torch.from_numpy(pictures).float() / 255)
        decoded = world.vae.decode(latent)
    return (decoded.clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()


def oracle_shares(world: World, count: int, batch: int = 20) -> tuple[list[float], list[float]]:
    """For each object of held-out scenes: found in the rendered picture, and after a VAE round trip."""
    scenes = held_out()
    rendered: list[float] = []
    decoded: list[float] = []
    for start in range(0, count, batch):
        part = [next(scenes) for _ in range(min(batch, count - start))]
        drawn = [render(s) for s in part]
        pictures = np.stack([picture for picture, _ in drawn])
        for shares, seen in ((rendered, pictures), (decoded, round_trip(world, pictures))):
            for s, (_, masks), picture in zip(part, drawn, seen, strict=True):
                shares.extend(map(float, recovered(look(picture).objects, s.things, masks)))
    print(f"world: the oracle looked at {count} scenes, rendered and after the VAE", flush=True)
    return rendered, decoded


def run(limit: int | None = None) -> list[Row]:
    """One row; ``limit`` cuts each set of captions, for a trial."""
    world = load_world()
    rendered, decoded = oracle_shares(world, min(ORACLE_SCENES, 4 * limit) if limit else ORACLE_SCENES)
    one, one_ground = prompts_followed(world, captioned(1, limit or CAPTIONS))
    two, two_ground = prompts_followed(world, captioned(2, limit or CAPTIONS))
    return [mean_row("unpatched", {"one_object": one, "two_objects": two, "background": one_ground + two_ground,
                                   "oracle_render": rendered, "oracle_vae": decoded})]
