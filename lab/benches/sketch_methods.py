"""Ways to make a picture follow a drawing. Each gives the picture's latent, and how long sampling took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from world.draw import Conditioning, Settings, World, start_noise

NODE = "bench"
STRENGTHS, ENDS = (0.4, 0.8, 1.2, 1.6, 2.0), (0.3, 0.5, 0.7)
STRENGTH, END = 1.6, 0.5  # the node's defaults, which stand in both sweeps as "ours"
LONGER: dict[str, Any] = {"strength": 1.2, "end": 0.8}
DENOISE = (0.6, 0.75, 0.9)


@dataclass(frozen=True, eq=False)
class Asked:
    """What a sampler is called with. latent: [1, C, h, w]."""

    model: Any
    positive: Conditioning
    latent: torch.Tensor
    denoise: float = 1.0


class Drawn(Protocol):
    """A drawing uint8 [H, W], white on black, and what the picture is to show."""

    @property
    def drawing(self) -> np.ndarray: ...

    @property
    def caption(self) -> str: ...

    @property
    def seed(self) -> int: ...


Method = Callable[[World, Any], Asked]


def _encoded(world: World, sketch: Drawn) -> Conditioning:
    from attention_director.bridge.text.prompt import encode

    return encode(world.clip, sketch.caption, NODE)


def _image(sketch: Drawn) -> torch.Tensor:
    """The drawing as an IMAGE [1, H, W, 3]."""
    return (torch.from_numpy(sketch.drawing).float() / 255)[None, ..., None].repeat(1, 1, 1, 3)


def unpatched(world: World, sketch: Drawn) -> Asked:
    return Asked(world.model, _encoded(world, sketch), torch.zeros(1, *world.latent))


def sdedit(denoise: float) -> Method:
    """Image to image from the drawing (SDEdit), black on white as it would be scanned."""
    def method(world: World, sketch: Drawn) -> Asked:
        return Asked(world.model, _encoded(world, sketch), world.vae.encode(1 - _image(sketch)), denoise)

    return method


@cache
def _predictor(name: str) -> Any:
    from attention_director.bridge.sketch.predictor import load_predictor

    return load_predictor(name)


def ours(predictor: str = "demo_edges.safetensors", **changes: Any) -> Method:
    """SketchGuidance at its defaults but for ``changes``."""
    def method(world: World, sketch: Drawn) -> Asked:
        from attention_director.bridge.sketch.build import SketchOptions, build

        model = build(NODE, "1", world.model, world.vae, _predictor(predictor), _image(sketch), None,
                      SketchOptions(**changes)).model
        return Asked(model, _encoded(world, sketch), torch.zeros(1, *world.latent))

    return method


def sampled(world: World, asked: Asked, seed: int, settings: Settings) -> tuple[torch.Tensor, float]:
    """One run of the host's sampler: the latent, and its seconds."""
    import comfy.sample

    noise = start_noise([seed], world.latent)
    started = time.perf_counter()
    latent = comfy.sample.sample(asked.model, noise, settings.steps, settings.cfg, settings.sampler, settings.scheduler,
                                 asked.positive, world.negative, asked.latent, denoise=asked.denoise,
                                 disable_pbar=True, seed=seed)
    return latent, time.perf_counter() - started


VARIANTS: dict[str, Method] = {
    "unpatched": unpatched,
    **{f"sdedit-{round(100 * d)}": sdedit(d) for d in DENOISE},
    "ours": ours(),
    "ours-longer": ours(**LONGER),
    **{f"ours-strength-{s}": ours(strength=s) for s in STRENGTHS if s != STRENGTH},
    **{f"ours-end-{e}": ours(end=e) for e in ENDS if e != END},
    "ours-every-second": ours(every_second_step=True),
}
