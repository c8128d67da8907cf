"""Train a guidance predictor for the storybook transformer on rendered scenes, by the pack's own training code."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

import torch

from .atlas import read_atlas
from .caption import training_caption
from .render import Renderer
from .scene import Scenes

BATCH = 8
LEARNING_RATE = 2e-3
EDGE_THRESHOLD = 0.1
LINE_PX = 2


def pictures(count: int, seed: int) -> tuple[torch.Tensor, list[str]]:
    """Rendered scenes [N, 256, 256, 3] in 0..1 and their captions."""
    scenes = Scenes(read_atlas(), seed, "predictor").some(0, count)
    draw = Renderer(read_atlas(), torch.device("cpu"))
    drawn = torch.cat([draw([scene]).pictures for scene in scenes])
    rng = Random(f"{seed}/predictor captions")
    return drawn.movedim(1, -1).contiguous(), [training_caption(scene, rng).text for scene in scenes]


def train_predictor(path: Path, count: int, steps: int, seed: int) -> Path:
    """Train on ``count`` scenes and write the file; prints the loss as it goes."""
    import pack

    pack.load_pack()
    from attention_director.bridge.demo.model import load_demo_model
    from attention_director.bridge.sketch.edges import edges_of
    from attention_director.bridge.sketch.predictor import save_predictor
    from attention_director.bridge.sketch.train import TrainingOptions, encode_examples, train

    started = time.monotonic()
    recent: list[float] = []

    def tell(step: int, loss: float, _so_far) -> None:
        recent.append(loss)
        if step % 25 == 0:
            print(f"step {step} of {steps}: loss {sum(recent[-25:]) / 25:.4f}, {time.monotonic() - started:.0f} s",
                  flush=True)

    with torch.inference_mode():  # as in the server
        model, clip, vae = load_demo_model("transformer")
        drawn, texts = pictures(count, seed)
        maps = edges_of(drawn, EDGE_THRESHOLD, LINE_PX, "lab")
        examples = encode_examples("lab", model, clip, vae, list(drawn), texts, list(maps))
        print(f"{count} scenes encoded, {time.monotonic() - started:.0f} s", flush=True)
        options = TrainingOptions(steps, BATCH, LEARNING_RATE, seed, "edges", LINE_PX)
        trained = train("lab", model, examples, options, tell=tell)
    return save_predictor(trained.predictor, path)
