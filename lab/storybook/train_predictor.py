"""Train a guidance predictor for the storybook transformer on rendered scenes, by the pack's own training code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import torch

from .atlas import read_atlas
from .caption import training_caption
from .render import Renderer
from .scene import Scenes

BATCH = 8
LEARNING_RATE = 2e-3
EDGE_THRESHOLD = 0.1
LINE_PX = 2
AGAIN = 5  # a forward is all that costs here


def pictures(count: int, seed: int) -> tuple[torch.Tensor, list[str]]:
    """Rendered scenes [N, 256, 256, 3] in 0..1 and their captions."""
    scenes = Scenes(read_atlas(), seed, "predictor").some(0, count)
    draw = Renderer(read_atlas(), torch.device("cpu"))
    drawn = torch.cat([draw([scene]).pictures for scene in scenes])
    rng = Random(f"{seed}/predictor captions")
    return drawn.movedim(1, -1).contiguous(), [training_caption(scene, rng).text for scene in scenes]


@contextmanager
def without_the_rest(model: Any) -> Iterator[None]:
    """Blocks behind the last that the predictor reads, half of them here, hand on what they are given."""
    from attention_director.bridge.families import family_of

    network = model.model.diffusion_model
    family = family_of(model, "lab", joint=True)
    last = family.taps(network, "lab").blocks[-1]
    layers = family.network(network, (1, 1)).layers
    behind = 1 + next(n for n, layer in enumerate(layers) if (layer.stage, layer.block) == (last.stage, last.block))
    blocks = family.recomputed(network)[behind:]
    try:
        for block in blocks:
            block.__dict__["forward"] = lambda x, **_: x
        yield
    finally:
        for block in blocks:
            block.__dict__.pop("forward", None)


def train_predictor(path: Path, count: int, steps: int, seed: int) -> Path:
    """Train on ``count`` scenes and write the file; prints the loss as it goes."""
    import pack

    pack.load_pack()
    from attention_director.bridge.demo.model import load_demo_model
    from attention_director.bridge.sketch.edges import edges_of
    from attention_director.bridge.sketch.examples import encode_examples
    from attention_director.bridge.sketch.predictor import save_predictor
    from attention_director.bridge.sketch.train import TrainingOptions, train

    started = time.monotonic()
    recent: list[float] = []

    def tell(step: int, loss: float, _so_far) -> None:
        recent.append(loss)
        if step % 10 == 0:
            print(f"step {step} of {steps}: loss {sum(recent[-10:]) / 10:.4f}, {time.monotonic() - started:.0f} s",
                  flush=True)

    with torch.inference_mode():  # as in the server
        model, clip, vae = load_demo_model("transformer")
        drawn, texts = pictures(count, seed)
        maps = edges_of(drawn, EDGE_THRESHOLD, LINE_PX, "lab")
        examples = encode_examples("lab", model, clip, vae, list(drawn), texts, list(maps))
        print(f"{count} scenes encoded, {time.monotonic() - started:.0f} s", flush=True)
        options = TrainingOptions(steps, BATCH, LEARNING_RATE, seed, "edges", LINE_PX, AGAIN)
        with without_the_rest(model):
            trained = train("lab", model, examples, options, tell=tell)
    return save_predictor(trained.predictor, path)
