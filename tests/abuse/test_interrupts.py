"""Runs that are stopped again and again inside the network leave nothing in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import scene
from interrupts import held, interrupted, stopped_at, stopped_going_backward
from node_runs import Run, edit, identity, inversion, record, regions, sampled, scene_of, sketch, story, training

ORDINARY, THOROUGH = 4, 40

# Where it stops, counted in forwards; 0: going backward. With checkpointing a step is a forward and most of one again.
SKETCHES: dict[str, tuple[Callable[..., Run], float]] = {
    "training": (training, 0.5), "sketch": (partial(sketch, "off"), 0.6),
    "sketch, going backward": (partial(sketch, "off"), 0),
    "checkpointing, forward": (partial(sketch, "on"), 0.6),
    "checkpointing, second forward": (partial(sketch, "on"), 2.3),
    "checkpointing, computed again": (partial(sketch, "on"), 1.4),
    "checkpointing, going backward": (partial(sketch, "on"), 0)}
CASES: dict[str, tuple[Callable[..., Run], float, str]] = {
    "plain": (lambda model, clip, negative, _: sampled(model, scene.encode(clip, "a hat"), negative), 1.5, "sd15"),
    "regions": (regions, 1.5, "sd15"), "edit": (edit, 1.5, "sd15"), "story": (story, 1.5, "sd15"),
    "record": (record, 1.5, "sd15"), "identity": (identity, 1.5, "sd15"),
    "inversion": (partial(inversion, "direct"), 1.5, "sd15"),
    "null-text": (partial(inversion, "null-text"), 5.5, "sd15"),
    **{f"{name}, {model}": (*case, model) for model in ("sd15", "flux-dev", "zimage")
       for name, case in SKETCHES.items()}}


@pytest.mark.parametrize("name", CASES)
def test_interrupts_leave_no_tensor_behind(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Live tensors, and their bytes, after the last interrupt are those after the first."""
    make, forwards, family = CASES[name]
    model, clip, negative = scene_of(family)
    run = make(model, clip, negative, tmp_path)
    count = THOROUGH if request.config.getoption("--thorough") else ORDINARY
    after = []
    for _ in range(count):
        interrupted(run, stopped_at(model, forwards) if forwards else stopped_going_backward(model))
        after.append(held())
    assert after == after[:1] * count, after
