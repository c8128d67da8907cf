"""Draw with the demo model in this process, through the real host's samplers.

`engine.enter()` and `pack.load_pack()` come first. Image i of a batch reads prompt i mod P of a
positive conditioning with P rows, and starts from the noise of its own seed alone, so a picture is
the same in any batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import torch

from .scene import CANVAS_PX

LATENT_PX = 8
Conditioning = list[list[Any]]


@dataclass(frozen=True)
class Settings:
    """How the benches sample: what most people leave their sampler at, with fewer steps."""

    steps: int = 16
    cfg: float = 5.0
    sampler: str = "dpmpp_2m"
    scheduler: str = "karras"


TRANSFORMER = Settings(20, 4.0, "euler", "simple")


@dataclass(frozen=True, eq=False)
class World:
    """A demo model's parts, the encoding of the empty prompt for all negatives, and how it is sampled.

    latent: (C, h, w) of one picture.
    """

    model: Any
    clip: Any
    vae: Any
    negative: Conditioning
    latent: tuple[int, int, int] = (4, CANVAS_PX // LATENT_PX, CANVAS_PX // LATENT_PX)
    settings: Settings = Settings()


@dataclass(frozen=True, eq=False)
class Drawing:
    """pictures: uint8 [B, H, W, 3] RGB. seconds: of sampling, without decoding, for the whole batch; a_step: of the
    median step alone, without what comes before the first, such as putting patches on weights.

    evaluations: what the UNet worked through in a step for one image, in whole latents (the prompt
    and the negative make 2; a crop counts by its area). latent: as the sampler gave it.
    """

    pictures: np.ndarray
    seconds: float
    evaluations: float
    latent: torch.Tensor
    a_step: float = 0.0


class PixelCount:
    """A model function wrapper that counts the latent pixels sent through the UNet."""

    def __init__(self) -> None:
        self.pixels = 0

    def __call__(self, apply_model: Any, arguments: dict[str, Any]) -> torch.Tensor:
        x = arguments["input"]
        self.pixels += x.shape[0] * x.shape[-2] * x.shape[-1]
        return apply_model(x, arguments["timestep"], **arguments["c"])


def load_world(choice: str = "UNet") -> World:
    """A demo model as its node loads it. Raises the pack's DirectorError when the asset is missing."""
    from attention_director.bridge.demo.model import load_demo_model
    from attention_director.bridge.text.prompt import encode

    model, clip, vae = load_demo_model(choice)
    with torch.inference_mode():
        world = World(model, clip, vae, encode(clip, "", "bench"))
    return replace(world, latent=(16, 32, 32), settings=TRANSFORMER) if choice == "transformer" else world


def start_noise(seeds: Sequence[int], latent: tuple[int, ...] = World.latent) -> torch.Tensor:
    """The host's noise of each seed: [B, C, h, w]."""
    import comfy.sample

    return torch.cat([comfy.sample.prepare_noise(torch.zeros(1, *latent), seed) for seed in seeds])


def draw(world: World, model: Any, positive: Conditioning, seeds: Sequence[int], settings: Settings | None = None,
         decode: bool = True, negative: Conditioning | None = None) -> Drawing:
    """One run of the host's sampler: an image a seed. Without ``decode`` no pictures are made of the latents."""
    import comfy.sample

    settings = settings or world.settings
    counter = PixelCount()
    counted = model.clone()
    counted.set_model_unet_function_wrapper(counter)
    ends: list[float] = []
    with torch.inference_mode():
        noise = start_noise(seeds, world.latent)
        started = time.perf_counter()
        latent = comfy.sample.sample(
            counted, noise, settings.steps, settings.cfg, settings.sampler, settings.scheduler, positive,
            negative or world.negative, torch.zeros_like(noise), disable_pbar=True, seed=seeds[0],
            callback=lambda *_: ends.append(time.perf_counter()))
        seconds = time.perf_counter() - started
        decoded = world.vae.decode(latent) if decode else torch.zeros(len(latent), 0, 0, 3)
    pictures = (decoded.clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()
    per_step = counter.pixels / (settings.steps * noise.shape[0] * noise.shape[-2] * noise.shape[-1])
    return Drawing(pictures, seconds, per_step, latent, median(b - a for a, b in pairwise(ends)) if ends[1:] else 0.0)


def draw_captions(world: World, jobs: Sequence[tuple[str, int]], batch: int = 16,
                  settings: Settings | None = None) -> Iterator[Drawing]:
    """Draw (caption, seed) pairs with the plain model, ``batch`` of them in a run."""
    from attention_director.bridge.text.prompt import encode_lines

    for start in range(0, len(jobs), batch):
        part = jobs[start:start + batch]
        with torch.inference_mode():
            positive = encode_lines(world.clip, [caption for caption, _ in part], "bench")
        yield draw(world, world.model, positive, [seed for _, seed in part], settings)
