"""Run after run in one process: the same pictures at the end as at the beginning, and no memory that stays."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import recording
import sketch_scene
import torch
from interrupts import held
from node_runs import Run, edit, identity, inversion, regions, sampled, scene_of, sketch, story
from scene import PROMPT, encode, region_prompt
from stories import shared

ROUNDS, THOROUGH = 4, 25
# Rounds until records and banks are as many as are kept; from there on nothing more may stay.
KEPT, WARM, WARM_THOROUGH = 1, 3, 10
PROCESS = psutil.Process()


def bank_by_file(model: Any, clip: Any, negative: list, folder: Path) -> Run:
    """A story's bank saved, loaded, and used for a new scene."""
    from attention_director.nodes.banks import AttnDirLoadBank, AttnDirSaveBank

    first = story(model, clip, negative, folder)

    def run() -> torch.Tensor:
        AttnDirSaveBank.execute(model, "subject_banks/hero", "fp16", {"samples": first()})
        newest = max((folder / "output" / "subject_banks").iterdir(), key=lambda path: path.stat().st_mtime_ns)
        bank = AttnDirLoadBank.execute(newest.name).args[0]
        newest.unlink()
        told = shared(model, clip, "a red cat in the snow", bank=bank)
        return sampled(told.model, told.positive, negative, latent=told.latent)()

    return run


def read_out(model: Any, clip: Any, negative: list, _: Path) -> Run:
    """Recorded, and asked for its maps afterwards."""
    graph = region_prompt(model, clip)
    recorded = recording.recorded(graph.model, graph.positive)

    def run() -> torch.Tensor:
        samples = sampled(recorded, graph.positive, negative)()
        return torch.cat((samples.flatten(), recording.heat_of(recorded, samples).mean.flatten()))

    return run


def inverted(model: Any, clip: Any, negative: list, folder: Path) -> Run:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        run = inversion("direct", model, clip, negative, folder)
        return lambda: run().samples["samples"]


def regions_and_sketch(model: Any, clip: Any, negative: list, _: Path) -> Run:
    graph = region_prompt(sketch_scene.sketch(model), clip)
    return sampled(graph.model, graph.positive, negative)


GRAPHS: dict[str, Callable[..., Run]] = {
    "regions": regions, "edit with a blend": edit, "story and its bank's file": bank_by_file,
    "sketch": partial(sketch, "off"), "identity": identity, "record and readout": read_out, "inversion": inverted,
    "regions and sketch": regions_and_sketch}


@dataclass(frozen=True)
class Held:
    """After a round: resident bytes, live tensors and their bytes."""

    resident: int
    tensors: int
    tensor_bytes: int


def round_of_runs(model: Any, clip: Any, negative: list, folder: Path) -> tuple[dict[str, torch.Tensor], Held]:
    """Each graph made anew and run once."""
    made = {}
    for name, make in GRAPHS.items():
        torch.manual_seed(0)
        made[name] = make(model, clip, negative, folder)().detach().clone()
    tensors, tensor_bytes = held()
    return made, Held(PROCESS.memory_info().rss, tensors, tensor_bytes)


def test_run_after_run_is_the_same_and_nothing_stays(
        folders: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --thorough 200 runs; -s shows the figures."""
    from attention_director.bridge.record.store import STORE

    model, clip, negative = scene_of("sd15")
    encode(clip, PROMPT)
    thorough = request.config.getoption("--thorough")
    rounds, warm = (THOROUGH, WARM_THOROUGH) if thorough else (ROUNDS, WARM)
    if not thorough:
        monkeypatch.setattr(STORE, "_runs", deque(maxlen=KEPT))
    patches, options = dict(model.patches), dict(model.model_options)
    first, figures = None, []
    for _ in range(rounds):
        made, now = round_of_runs(model, clip, negative, folders)
        figures.append(now)
        first = first or made
        print(f"after {len(figures) * len(GRAPHS)} runs: {now}")
        assert all(torch.equal(made[name], first[name]) for name in GRAPHS)
    begun, last = figures[warm - 1], figures[-1]
    assert (last.tensors, last.tensor_bytes) == (begun.tensors, begun.tensor_bytes), figures
    if thorough:  # what the allocator keeps settles only in time
        assert last.resident < 1.01 * begun.resident, figures
    assert (model.patches, model.model_options) == (patches, options)
