"""Runs that are stopped again and again inside the network leave nothing in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import edit_scene
import identity_files
import pytest
import recording
import scene
import sketch_scene
import stories
import tiny
import torch
from interrupts import held, interrupted, stopped_at, stopped_going_backward

Run = Callable[[], Any]
SMALL: dict[str, Any] = {"steps": 3, "size": (8, 8)}
BLOCKS = 25  # of the network, in one forward
ORDINARY, THOROUGH = 4, 40


def sampled(model: Any, positive: list, negative: list, **more: Any) -> Run:
    return partial(tiny.sample, model, positive, negative, **(SMALL | more))


def regions(model: Any, clip: Any, negative: list, _: Path) -> Run:
    graph = scene.region_prompt(model, clip)
    return sampled(graph.model, graph.positive, negative)


def edit(model: Any, clip: Any, negative: list, _: Path) -> Run:
    graph = edit_scene.attention_edit(model, clip, size=(8, 8), blend_words="cat\ndog")
    return sampled(graph.model, graph.positive, graph.negative, latent=graph.latent)


def story(model: Any, clip: Any, negative: list, _: Path) -> Run:
    told = stories.shared(model, clip, keep_bank=True)
    return sampled(told.model, told.positive, negative, latent=told.latent)


def record(model: Any, clip: Any, negative: list, _: Path) -> Run:
    graph = scene.region_prompt(model, clip)
    return sampled(recording.recorded(graph.model, graph.positive), graph.positive, negative)


def identity(model: Any, clip: Any, negative: list, folder: Path) -> Run:
    adapter = identity_files.adapter(folder / "adapter.safetensors", identity_files.published(unet=False))
    directed, positive = identity_files.identity(model, clip, adapter, scene.PROMPT, localise=0.5)
    return sampled(directed, positive, negative)


def sketch(checkpointing: str, model: Any, clip: Any, negative: list, _: Path) -> Run:
    patched = sketch_scene.sketch(model, checkpointing=checkpointing)
    return sampled(patched, scene.encode(clip, "a red hat"), negative)


def inversion(method: str, model: Any, clip: Any, negative: list, _: Path) -> Run:
    from attention_director.bridge.inversion.invert import InversionSettings, invert

    settings = InversionSettings(method, 3, "normal")

    def run() -> Any:
        with torch.inference_mode():
            return invert("node", model, clip, sketch_scene.Vae(), torch.rand(1, 64, 64, 3), "a red cat", settings)

    return run


def training(model: Any, clip: Any, negative: list, _: Path) -> Run:
    from attention_director.nodes.train_predictor import AttnDirTrainPredictor

    pictures = torch.rand(2, 64, 64, 3)
    given = dict(model=model, clip=clip, vae=sketch_scene.Vae(), images=pictures, texts="a disc", steps=3, batch_size=1,
                 learning_rate=1e-3, seed=0, maps=pictures)

    def run() -> Any:
        with torch.inference_mode():
            return AttnDirTrainPredictor.execute(**{name: [value] for name, value in given.items()})

    return run


# Where it stops: in the second forward; with checkpointing also in the first, and where blocks are computed again.
CASES: dict[str, tuple[Callable[..., Run], int]] = {
    "plain": (lambda model, clip, negative, _: sampled(model, scene.encode(clip, "a hat"), negative), BLOCKS + 12),
    "regions": (regions, BLOCKS + 12), "edit": (edit, BLOCKS + 12), "story": (story, BLOCKS + 12),
    "record": (record, BLOCKS + 12), "identity": (identity, BLOCKS + 12),
    "inversion": (partial(inversion, "direct"), BLOCKS + 12),
    "null-text": (partial(inversion, "null-text"), 5 * BLOCKS + 12),
    "training": (training, 12), "sketch": (partial(sketch, "off"), 20),
    "sketch, going backward": (partial(sketch, "off"), 0),
    "checkpointing, forward": (partial(sketch, "on"), 20),
    "checkpointing, second forward": (partial(sketch, "on"), 3 * BLOCKS),
    "checkpointing, computed again": (partial(sketch, "on"), BLOCKS + 12),
    "checkpointing, going backward": (partial(sketch, "on"), 0)}


@pytest.mark.parametrize("name", CASES)
def test_interrupts_leave_no_tensor_behind(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Live tensors, and their bytes, after the last interrupt are those after the first."""
    make, call = CASES[name]
    model, clip, negative = scene.family()
    run = make(model, clip, negative, tmp_path)
    count = THOROUGH if request.config.getoption("--thorough") else ORDINARY
    after = []
    for _ in range(count):
        interrupted(run, stopped_at(model, call) if call else stopped_going_backward(model))
        after.append(held())
    assert after == after[:1] * count, after
