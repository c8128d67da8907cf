"""Ways to make a picture follow a drawing. Each gives the picture's latent, and how long sampling took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from world.draw import Conditioning, Settings, World, start_noise

from .sketch_cases import Sketch

NODE = "bench"
STRENGTHS, ENDS = (0.4, 0.8, 1.2, 1.6, 2.0), (0.3, 0.5, 0.7)
STRENGTH, END = 1.6, 0.5  # the node's defaults, which stand in both sweeps as "ours"
LONGER = {"strength": 1.2, "end": 0.8}
DENOISE = (0.6, 0.75, 0.9)


@dataclass(frozen=True, eq=False)
class Asked:
    """What a sampler is called with. latent: [1, 4, h, w]."""

    model: Any
    positive: Conditioning
    latent: torch.Tensor
    denoise: float = 1.0


Method = Callable[[World, Sketch], Asked]


def _encoded(world: World, sketch: Sketch) -> Conditioning:
    from attention_director.bridge.text.prompt import encode

    return encode(world.clip, sketch.caption, NODE)


def _image(sketch: Sketch) -> torch.Tensor:
    """The drawing as an IMAGE [1, H, W, 3]."""
    return (torch.from_numpy(sketch.drawing).float() / 255)[None, ..., None].repeat(1, 1, 1, 3)


def _empty(sketch: Sketch) -> torch.Tensor:
    return torch.zeros_like(start_noise([sketch.seed]))


def unpatched(world: World, sketch: Sketch) -> Asked:
    return Asked(world.model, _encoded(world, sketch), _empty(sketch))


def sdedit(denoise: float) -> Method:
    """Image to image from the drawing (SDEdit), black on white as it would be scanned."""
    def method(world: World, sketch: Sketch) -> Asked:
        return Asked(world.model, _encoded(world, sketch), world.vae.encode(1 - _image(sketch)), denoise)

    return method


@cache
def _predictor() -> Any:
    from attention_director.bridge.sketch.predictor import FILES, load_predictor

    return load_predictor(FILES.bundled[0])


def ours(**changes: Any) -> Method:
    """SketchGuidance at its defaults but for ``changes``."""
    def method(world: World, sketch: Sketch) -> Asked:
        from attention_director.bridge.sketch.build import SketchOptions, build

        model = build(NODE, "1", world.model, world.vae, _predictor(), _image(sketch), None,
                      SketchOptions(**changes)).model
        return Asked(model, _encoded(world, sketch), _empty(sketch))

    return method


def sampled(world: World, asked: Asked, seed: int, settings: Settings) -> tuple[torch.Tensor, float]:
    """One run of the host's sampler: the latent, and its seconds."""
    import comfy.sample

    noise = start_noise([seed])
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
