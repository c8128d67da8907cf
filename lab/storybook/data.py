"""What the models are trained on: scenes and captions made by worker processes, latents encoded once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from .atlas import Atlas, read_atlas
from .caption import NOBODY, training_caption
from .cast import PLACES, WITH_LOOKS
from .scene import CANVAS_PX, DICE, MOST_THINGS, TURN, Scene, Scenes, Thing, arrays
from .words import CLIP, PARTS, T5, words

if TYPE_CHECKING:
    import torch

    from .course import Clock, Log
    from .nets.vae import Vae
    from .render import Renderer

LAYOUTS = {"unet": CLIP, "transformer": T5}
EMPTY_CAPTIONS = 0.1
PORTRAIT_PX = 128


@dataclass(frozen=True)
class Order:
    """A chunk that a worker is to make: scenes start..stop, each with ``captions`` captions for one model."""

    model: str
    seed: int
    start: int
    stop: int
    captions: int


def make_chunk(order: Order) -> dict[str, np.ndarray]:
    """The scenes' arrays, and rows and parts int [captions, n, T], and group int64 [n, 4]: the part of each thing.

    Numpy and Python alone: it runs in processes that never import torch.
    """
    scenes = Scenes(read_atlas(), order.seed).some(order.start, order.stop)
    table, rng = words(LAYOUTS[order.model]), Random(f"{order.seed}/captions/{order.start}")
    coded = [table.encode([training_caption(scene, rng) for scene in scenes]) for _ in range(order.captions)]
    group = np.tile(np.arange(MOST_THINGS), (len(scenes), 1))
    for b, scene in enumerate(scenes):
        group[b, :len(scene.things)] = scene.parts
    rows, parts = (np.stack(values) for values in zip(*coded, strict=True))
    return arrays(scenes) | {"rows": rows, "parts": parts, "group": group}


@contextmanager
def chunks(orders: list[Order], workers: int) -> Iterator[Iterator[dict[str, np.ndarray]]]:
    """The chunks in order, made ahead by ``workers`` processes; none: made when they are asked for."""
    if not workers:
        yield map(make_chunk, orders)
        return
    way = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(way)
    if way == "forkserver":
        context.set_forkserver_preload(["storybook.data"])
    with context.Pool(workers) as pool:
        yield pool.imap(make_chunk, orders)


def usual_workers() -> int:
    """One a core, two cores left for the training itself."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(14, cores - 2))


@dataclass(frozen=True, eq=False)
class Batch:
    """latents: float [B, C, h, w]. rows: int64 [B, T]. tokens: float [B, T, PARTS], 1 where a token names a part.
    masks: float [B, PARTS, 32, 32], the share of a cell that a part covers. reference: float [B, C, 16, 16], another
    picture of one of the people (dinosaurs, monsters) in each picture, or None."""

    latents: torch.Tensor
    rows: torch.Tensor
    tokens: torch.Tensor
    masks: torch.Tensor
    reference: torch.Tensor | None = None


@dataclass(eq=False)
class TrainingSet:
    """N scenes on one device. latents: float16 [N, C, 32, 32]; cover: uint8 [N, 4, 32, 32] in 255ths; rows int16 and
    parts int8 [captions, N, T]; group: int64 [N, 4]; sprite: int16 [N, 4], -1 where there is none. empty: int64 [T],
    the rows of no caption. portraits: float16 [looks, views, C, 16, 16]; portrait_of: int64 [sprites], -1 for none."""

    latents: torch.Tensor
    cover: torch.Tensor
    rows: torch.Tensor
    parts: torch.Tensor
    group: torch.Tensor
    sprite: torch.Tensor
    empty: torch.Tensor
    portraits: torch.Tensor
    portrait_of: torch.Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def batch(self, size: int, referenced: bool = False) -> Batch:
        """A random batch by the global generator; one caption in ten is empty.

        referenced: only scenes with somebody in them, each with a portrait of one of those.
        """
        import torch

        device = self.latents.device
        index = torch.randint(0, len(self), (size,), device=device)
        referenced = referenced and self.portraits.shape[1] > 0 and len(self.inhabited) > 0
        if referenced:
            index = self.inhabited[torch.randint(0, len(self.inhabited), (size,), device=device)]
        which = torch.randint(0, len(self.rows), (size,), device=device)
        rows = self.rows[which, index].long()
        parts = self.parts[which, index].long()
        drop = (torch.rand(size, device=device) < EMPTY_CAPTIONS)[:, None]
        rows = torch.where(drop, self.empty, rows)
        numbers = torch.arange(PARTS, device=device)
        tokens = (torch.where(drop, NOBODY, parts)[..., None] == numbers).float()
        reference = self.portraits_for(index) if referenced else None
        return Batch(self.latents[index].float(), rows, tokens, self.masks(index), reference)

    @cached_property
    def inhabited(self) -> torch.Tensor:
        """Scenes with somebody of whom there are portraits: int64 [K]."""
        return (self.looks(self.sprite) >= 0).any(1).nonzero()[:, 0]

    def looks(self, sprite: torch.Tensor) -> torch.Tensor:
        """The row of each thing's portraits, -1 where there is none: int64, shaped as ``sprite``."""
        import torch

        return torch.where(sprite >= 0, self.portrait_of[sprite.long().clamp(min=0)], -1)

    def portraits_for(self, index: torch.Tensor) -> torch.Tensor:
        """A random portrait of somebody in each of the scenes: float [B, C, 16, 16]."""
        import torch

        looks = self.looks(self.sprite[index])
        chosen = (torch.rand(looks.shape, device=looks.device) * (looks >= 0)).argmax(1, keepdim=True)
        view = torch.randint(0, self.portraits.shape[1], (len(index),), device=looks.device)
        return self.portraits[looks.gather(1, chosen)[:, 0], view].float()

    def masks(self, index: torch.Tensor) -> torch.Tensor:
        """Masks of the parts of some scenes; things of one phrase are one part."""
        import torch

        cover = self.cover[index].float() / 255
        out = cover.new_zeros(len(index), PARTS, *cover.shape[2:])
        group = self.group[index][:, :, None, None].expand_as(cover)
        out[:, :MOST_THINGS].scatter_add_(1, group, cover)
        out[:, MOST_THINGS] = 1 - cover.sum(1)
        return torch.clamp(out, 0, 1)


def encode(model: str, vae: Vae, renderer: Renderer, orders: list[Order], made: Iterator[dict[str, np.ndarray]],
           clock: Clock, seconds: float, log: Log, batch: int = 128, views: int = 0) -> TrainingSet:
    """Render and encode chunk after chunk, for at most ``seconds``; at least one chunk.

    views: portraits of each look.
    """
    import torch

    from .course import autocast
    from .render import SceneBatch

    device = renderer.device
    total = sum(order.stop - order.start for order in orders)
    layout, captions = LAYOUTS[model], orders[0].captions
    out = TrainingSet(
        torch.empty(total, vae.channels, 32, 32, dtype=torch.float16, device=device),
        torch.empty(total, MOST_THINGS, 32, 32, dtype=torch.uint8, device=device),
        torch.empty(captions, total, layout.length, dtype=torch.int16, device=device),
        torch.empty(captions, total, layout.length, dtype=torch.int8, device=device),
        torch.empty(total, MOST_THINGS, dtype=torch.int64, device=device),
        torch.empty(total, MOST_THINGS, dtype=torch.int16, device=device),
        torch.from_numpy(words(layout).encode([None])[0][0].astype(np.int64)).to(device),
        *portraits(vae, renderer, orders[0].seed, views))
    count, began = 0, clock.spent
    for chunk in made:
        tensors = {name: torch.from_numpy(value) for name, value in chunk.items()}
        size = len(tensors["place"])
        scenes = SceneBatch(*(tensors[name] for name in ("sprite", "pose", "place", "dice")))
        with torch.inference_mode(), autocast(device):
            for start in range(0, size, batch):
                part = slice(start, min(start + batch, size))
                rendered = renderer(scenes[part])
                here = slice(count + part.start, count + part.stop)
                out.latents[here] = vae.latents(rendered.pictures).half()
                out.cover[here] = (rendered.cover * 255).round().to(torch.uint8)
        here = slice(count, count + size)
        out.rows[:, here], out.parts[:, here] = tensors["rows"].to(device), tensors["parts"].to(device)
        out.group[here] = tensors["group"].to(device)
        out.sprite[here] = tensors["sprite"].to(device, torch.int16)
        count += size
        if clock.spent - began > seconds:
            break
    log.say(f"{model}: {count} of {total} scenes encoded in {clock.spent - began:.1f} s")
    return TrainingSet(out.latents[:count], out.cover[:count], out.rows[:, :count], out.parts[:, :count],
                       out.group[:count], out.sprite[:count], out.empty, out.portraits, out.portrait_of)


def portrait(sprite: int, atlas: Atlas, rng: Random) -> Scene:
    """Somebody alone in the middle of a scene, PORTRAIT_PX of which are the portrait."""
    x, y = (CANVAS_PX / 2 + rng.uniform(-8, 8) for _ in range(2))
    flipped, turn = rng.random() < 0.5, rng.uniform(-TURN, TURN)
    thing = Thing(sprite, atlas.phrases[sprite], x, y, rng.uniform(88, 120), flipped, turn)
    return Scene(rng.choice(list(PLACES)), (thing,), tuple(rng.random() for _ in range(DICE)))


def portraits(vae: Vae, renderer: Renderer, seed: int, views: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(latents float16 [looks, views, C, 16, 16], rows int64 [sprites]) of all looks that are trained on."""
    import torch

    from .course import autocast

    atlas, rng = read_atlas(), Random(f"{seed}/portraits")
    looks = [sprite for word in WITH_LOOKS for sprite in atlas.looks(word, "trained")]
    rows = torch.full((len(atlas),), -1, dtype=torch.int64)
    rows[looks] = torch.arange(len(looks))
    middle = slice((CANVAS_PX - PORTRAIT_PX) // 2, (CANVAS_PX + PORTRAIT_PX) // 2)
    out = torch.empty(len(looks), views, vae.channels, PORTRAIT_PX // 8, PORTRAIT_PX // 8, dtype=torch.float16,
                      device=renderer.device)
    for number, sprite in enumerate(looks if views else ()):
        rendered = renderer([portrait(sprite, atlas, rng) for _ in range(views)])
        with torch.inference_mode(), autocast(renderer.device):
            out[number] = vae.latents(rendered.pictures[..., middle, middle]).half()
    return out, rows.to(renderer.device)


def keep(path: Path, made: TrainingSet) -> None:
    """Write a training set, so that a resumed training need not encode anew."""
    import torch

    beside = path.with_suffix(".partial")
    torch.save({field.name: getattr(made, field.name).cpu() for field in fields(made)}, beside)
    os.replace(beside, path)


def kept(path: Path, device: torch.device) -> TrainingSet:
    import torch

    return TrainingSet(**{name: value.to(device)
                          for name, value in torch.load(path, weights_only=True, map_location="cpu").items()})
