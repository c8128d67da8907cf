"""What each method costs at Stable Diffusion 1.5's own sizes, on random weights: shapes take time, not training.

The whole UNet at 512 x 512, in steps in which every method acts; each against the plain model with the same rows,
one after the other, and the median of the ratios. On a CPU it is one step in float32 and the seconds are the
processor's, which work of others beside this does not count in; on a GPU some steps in float16, by the clock.
One way is a run of four steps, of which the window of the node's defaults holds two.
peak_mb: what a run needs at its worst, beside the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from world.draw import load_world
from world.render import render
from world.scene import Scene, Thing

from .cost_models import random_model
from .memory import peak_bytes
from .results import Row

REPEATS, SIDE = 3, 64
STEPS = {"cpu": 1, "cuda": 8}
HALF_GUIDED = 4  # steps of a run whose first two lie in the first half of the timesteps
PROMPT = "a red circle and a blue square"
TARGET, LONGER = "a green circle and a blue square", "a red circle with a hat and a blue square"
NODE = "bench"


@dataclass(frozen=True, eq=False)
class Way:
    """images: the batch it is compared at. make: (model, clip) to (model, positive). steps: 0 for STEPS."""

    images: int
    make: Callable[[Any, Any], tuple[Any, Any]]
    steps: int = 0


def plain(model: Any, clip: Any) -> tuple[Any, Any]:
    from attention_director.bridge.text.prompt import encode

    return model, encode(clip, PROMPT, NODE)


def regions(preset: str) -> Callable[[Any, Any], tuple[Any, Any]]:
    def make(model: Any, clip: Any) -> tuple[Any, Any]:
        from attention_director.bridge.regions.build import build
        from attention_director.bridge.regions.presets import PAPER, STRONG
        from attention_director.bridge.regions.region import make_region

        left, right = torch.zeros(1, 64, 64), torch.zeros(1, 64, 64)
        left[:, 16:48, 4:28], right[:, 16:48, 36:60] = 1, 1
        drawn = tuple(make_region(NODE, phrase, mask, 1.0)
                      for phrase, mask in (("red circle", left), ("blue square", right)))
        made = build(NODE, "1", model, clip, PROMPT, drawn, 1.0, {"strong": STRONG, "paper": PAPER}[preset], 512, 512)
        return made.model, made.positive

    return make


def edited(target: str, **options: Any) -> Callable[[Any, Any], tuple[Any, Any]]:
    def make(model: Any, clip: Any) -> tuple[Any, Any]:
        from attention_director.bridge.edit.build import EditOptions, build

        made = build(NODE, "1", model, clip, PROMPT, {"samples": torch.zeros(1, 4, SIDE, SIDE)},
                     EditOptions(targets=target, **options), None, None)
        return made.model, made.positive

    return make


def recorded(model: Any, clip: Any) -> tuple[Any, Any]:
    from attention_director.bridge.record.build import build

    model, positive = plain(model, clip)
    return build(NODE, "1", model, positive, "red circle\nblue square", 0.0, 1.0).model, positive


def sketched(**options: Any) -> Callable[[Any, Any], tuple[Any, Any]]:
    def make(model: Any, clip: Any) -> tuple[Any, Any]:
        from attention_director.bridge.families.checkpoint import family, fingerprint
        from attention_director.bridge.families.unet_taps import taps_of
        from attention_director.bridge.sketch.build import SketchOptions, build
        from attention_director.bridge.sketch.predictor import Predictor
        from attention_director.core.edge_predictor import EdgePredictor

        taps = taps_of(model.model.diffusion_model)
        weights = EdgePredictor(taps.channels, 4).state_dict()
        predictor = Predictor(taps, fingerprint(model), family(model), "edges", 2, weights)
        model, positive = plain(model, clip)
        return build(NODE, "1", model, load_world().vae, predictor, _lines(), None,
                     SketchOptions(**{"end": 1.0, **options})).model, positive

    return make


def _lines() -> torch.Tensor:
    """The outline of a circle, white on black: [1, 512, 512, 3]."""
    picture, masks = render(Scene("black", (Thing("circle", "red", 256, 256, 150),)), 512)
    inside = masks[0]
    edge = inside ^ np.roll(inside, 3, axis=0)
    return torch.from_numpy(np.repeat(edge[..., None], 3, axis=2)).float()[None]


WAYS: dict[str, Way] = {
    "region-strong": Way(1, regions("strong")),
    "region-paper": Way(1, regions("paper")),
    "edit-replace": Way(2, edited(TARGET)),
    "edit-refine": Way(2, edited(LONGER)),
    "edit-blend": Way(2, edited(TARGET, blend_words="circle")),
    "record": Way(1, recorded),
    "sketch": Way(1, sketched()),
    "sketch-checkpointing": Way(1, sketched(checkpointing="on")),
    "sketch-half-run": Way(1, sketched(end=0.5), HALF_GUIDED),
}


def seconds_of(model: Any, positive: Any, negative: Any, images: int, steps: int = 0) -> float:
    """One run of the host's sampler; steps: 0 for STEPS."""
    import comfy.sample

    on_gpu = torch.cuda.is_available()
    clock, steps = perf_counter if on_gpu else process_time, steps or STEPS["cuda" if on_gpu else "cpu"]
    noise = torch.randn(images, 4, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    started = clock()
    comfy.sample.sample(model, noise, steps, 5.0, "euler", "normal", positive, negative, torch.zeros_like(noise),
                        disable_pbar=True, seed=0)
    return clock() - started


@torch.inference_mode()
def run(limit: int | None = None) -> list[Row]:
    """One row a method, the plain model first at each number of images; ``limit`` is the number of repeats."""
    from attention_director.bridge.text.prompt import encode

    model, clip = random_model()
    negative = encode(clip, "", NODE)
    base = plain(model, clip)

    def peak_mb(images: int, made: tuple[Any, Any] = base) -> float:
        return peak_bytes(lambda: seconds_of(*made, negative, images)) / 1e6

    rows: list[Row] = [{"variant": f"unpatched, {images} in a batch", "time_ratio": 1.0, "peak_mb": peak_mb(images)}
                       for images in sorted({way.images for way in WAYS.values()})]
    for name, way in WAYS.items():
        made = way.make(model, clip)
        ratios = []
        for _ in range(limit or REPEATS):
            without = seconds_of(*base, negative, way.images, way.steps)
            ratios.append(seconds_of(*made, negative, way.images, way.steps) / without)
        rows.append({"variant": name, "time_ratio": median(ratios), "least": min(ratios), "most": max(ratios),
                     "runs": float(len(ratios)), "peak_mb": peak_mb(way.images, made)})
        print(f"cost: {name} {median(ratios):.2f}, {rows[-1]['peak_mb']:.0f} MB", flush=True)
    return rows
