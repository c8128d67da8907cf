"""Train a guidance predictor for the demo model on rendered scenes, by the pack's own training code."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import numpy as np
import torch

from .caption import caption
from .render import depth_map, render
from .train_unet import Scenes

BATCH = 8
LEARNING_RATE = 1e-3  # a tenth of the width the paper reads learns faster than its 1e-4
EDGE_THRESHOLD = 0.1
LINE_PX = 2
FIRST_SCENE = 500_000  # the UNet has not seen these


def scenes(count: int, seed: int, first: int = FIRST_SCENE) -> tuple[torch.Tensor, list[str], torch.Tensor]:
    """Pictures [N, 128, 128, 3] in 0..1, their captions, and their depth maps [N, 128, 128]."""
    found = [Scenes(seed)[first + i] for i in range(count)]
    drawn = [render(one) for one in found]
    return (torch.from_numpy(np.stack([picture for picture, _ in drawn])).float() / 255,
            [caption(one, Random(f"{seed}/predictor/{i}")) for i, one in enumerate(found)],
            torch.from_numpy(np.stack([depth_map(masks) for _, masks in drawn])))


def train_predictor(path: Path, kind: str, count: int, steps: int, seed: int) -> Path:
    """Train on ``count`` scenes and write the file; prints the loss as it goes. kind: "edges" or "depth"."""
    import pack

    pack.load_pack()
    from attention_director.bridge.demo.model import load_demo_model
    from attention_director.bridge.sketch.edges import edges_of
    from attention_director.bridge.sketch.examples import encode_examples
    from attention_director.bridge.sketch.predictor import save_predictor
    from attention_director.bridge.sketch.train import TrainingOptions, train

    started = time.monotonic()

    def tell(step: int, loss: float, _so_far) -> None:
        recent.append(loss)
        if step % 50 == 0:
            print(f"step {step} of {steps}: loss {sum(recent[-50:]) / 50:.4f}, {time.monotonic() - started:.0f} s",
                  flush=True)

    recent: list[float] = []
    with torch.inference_mode():  # as in the server
        model, clip, vae = load_demo_model()
        pictures, texts, depths = scenes(count, seed)
        maps = edges_of(pictures, EDGE_THRESHOLD, LINE_PX, "lab") if kind == "edges" else depths
        examples = encode_examples("lab", model, clip, vae, list(pictures), texts, list(maps))
        print(f"{count} scenes encoded, {time.monotonic() - started:.0f} s", flush=True)
        read_as = ("edges", LINE_PX) if kind == "edges" else ("map", 1)
        options = TrainingOptions(steps, BATCH, LEARNING_RATE, seed, *read_as)
        trained = train("lab", model, examples, options, tell=tell)
    return save_predictor(trained.predictor, path)
