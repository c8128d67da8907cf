"""What the models are trained on: scenes and captions made by worker processes, latents encoded once."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from .atlas import read_atlas
from .caption import NOBODY, training_caption
from .scene import MOST_THINGS, Scenes, arrays
from .words import CLIP, PARTS, T5, words

if TYPE_CHECKING:
    import torch

    from .course import Clock, Log
    from .nets.vae import Vae
    from .render import Renderer

LAYOUTS = {"unet": CLIP, "transformer": T5}
EMPTY_CAPTIONS = 0.1


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
    masks: float [B, PARTS, 32, 32], the share of a cell that a part covers."""

    latents: torch.Tensor
    rows: torch.Tensor
    tokens: torch.Tensor
    masks: torch.Tensor


@dataclass(eq=False)
class TrainingSet:
    """N scenes on one device. latents: float16 [N, C, 32, 32]; cover: uint8 [N, 4, 32, 32] in 255ths; rows int16 and
    parts int8 [captions, N, T]; group: int64 [N, 4]. empty: int64 [T], the rows of no caption."""

    latents: torch.Tensor
    cover: torch.Tensor
    rows: torch.Tensor
    parts: torch.Tensor
    group: torch.Tensor
    empty: torch.Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def batch(self, size: int) -> Batch:
        """A random batch by the global generator; one caption in ten is empty."""
        import torch

        device = self.latents.device
        index = torch.randint(0, len(self), (size,), device=device)
        which = torch.randint(0, len(self.rows), (size,), device=device)
        rows = self.rows[which, index].long()
        parts = self.parts[which, index].long()
        drop = (torch.rand(size, device=device) < EMPTY_CAPTIONS)[:, None]
        rows = torch.where(drop, self.empty, rows)
        numbers = torch.arange(PARTS, device=device)
        tokens = (torch.where(drop, NOBODY, parts)[..., None] == numbers).float()
        return Batch(self.latents[index].float(), rows, tokens, self.masks(index))

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
           clock: Clock, seconds: float, log: Log, batch: int = 128) -> TrainingSet:
    """Render and encode chunk after chunk, for at most ``seconds``; at least one chunk."""
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
        torch.from_numpy(words(layout).encode([None])[0][0].astype(np.int64)).to(device))
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
        count += size
        if clock.spent - began > seconds:
            break
    log.say(f"{model}: {count} of {total} scenes encoded in {clock.spent - began:.1f} s")
    return TrainingSet(out.latents[:count], out.cover[:count], out.rows[:, :count], out.parts[:, :count],
                       out.group[:count], out.empty)


def keep(path: Path, made: TrainingSet) -> None:
    """Write a training set, so that a resumed training need not encode anew."""
    import torch

    beside = path.with_suffix(".partial")
    torch.save({name: value.cpu() for name, value in vars(made).items()}, beside)
    os.replace(beside, path)


def kept(path: Path, device: torch.device) -> TrainingSet:
    import torch

    return TrainingSet(**{name: value.to(device)
                          for name, value in torch.load(path, weights_only=True, map_location="cpu").items()})
