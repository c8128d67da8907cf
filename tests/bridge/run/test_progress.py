"""Windows open in the steps in which the host's own percents do, on every kind of sampling."""

from __future__ import annotations

import re

import comfy.samplers
import pytest
import tiny
import torch
from attention_director.bridge.run.progress import progress_at
from attention_director.core.schedule import Schedule
from comfy.model_base import ModelType, model_sampling
from scene import assert_differs, custom, family, region_prompt

KINDS = ["EPS", "V_PREDICTION", "V_PREDICTION_EDM", "EDM", "V_PREDICTION_CONTINUOUS", "FLOW", "FLUX", "STABLE_CASCADE"]
EDGES = (0.0, 0.1, 0.3, 0.5, 0.9, 1.0)


def sampling_of(kind: str):
    return model_sampling(None, ModelType[kind])


def levels(sampling) -> torch.Tensor:
    """Noise levels of runs, of a second-order sampler between them, and those of the edges themselves."""
    runs = [comfy.samplers.calculate_sigmas(sampling, scheduler, steps)[:-1]
            for scheduler in ("normal", "karras", "simple", "beta") for steps in (6, 11)]
    runs += [(run[:-1] * run[1:]).sqrt() for run in runs]
    edges = [float(sampling.percent_to_sigma(edge)) for edge in EDGES[1:-1]]
    return torch.cat([*runs, torch.tensor(edges, dtype=torch.float32)])


@pytest.mark.parametrize("kind", KINDS)
def test_windows_open_where_the_hosts_percents_do(kind: str) -> None:
    """And close there; the very instant of the end is the next window's, so that two in a row do not overlap."""
    sampling = sampling_of(kind)
    for sigma in levels(sampling):
        progress = progress_at(sampling, float(sigma))
        begun = {edge: bool(sigma <= sampling.percent_to_sigma(edge)) for edge in EDGES}
        assert {edge: progress >= edge for edge in EDGES} == begun, float(sigma)
        for start, end in ((0.0, 0.3), (0.1, 0.5), (0.3, 0.9), (0.5, 1.0)):
            inside = begun[start] and (end == 1.0 or not begun[end])
            assert Schedule(start, end).active(progress) == inside, float(sigma)


@pytest.mark.parametrize("kind", KINDS)
def test_progress_runs_from_0_to_1(kind: str) -> None:
    sampling = sampling_of(kind)
    run = comfy.samplers.calculate_sigmas(sampling, "normal", 20)
    found = [progress_at(sampling, float(sigma)) for sigma in run]
    assert found == sorted(found) and 0.0 <= found[0] < 1e-2 and found[-1] == 1.0
    assert Schedule(0.0, 1.0).active(found[-2])


def test_of_a_discrete_model_it_is_the_timestep() -> None:
    """As the papers count: 1 - t / 1000, to the host's own thousandth."""
    sampling = sampling_of("EPS")
    run = comfy.samplers.calculate_sigmas(sampling, "karras", 30)[:-1]
    for sigma in run:
        timestep = float(sampling.timestep(sigma[None]))
        assert progress_at(sampling, float(sigma)) == pytest.approx(1 - timestep / 1000, abs=1.6e-3)


@pytest.mark.parametrize("kind", ["V_PREDICTION", "EDM", "V_PREDICTION_EDM"])
def test_a_run_acts_in_the_hosts_steps(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="attention_director")
    _, clip, negative = family()
    model = tiny.model("sd15", sampling=kind)
    graph = region_prompt(model, clip, preset=custom(start_percent=0.2, end_percent=0.7))
    options = dict(steps=8, scheduler="karras")
    picture = tiny.sample(graph.model, graph.positive, negative, **options)
    sampling = model.model.model_sampling
    sigmas = comfy.samplers.calculate_sigmas(sampling, "karras", 8)[:-1]
    first, last = (float(sampling.percent_to_sigma(percent)) for percent in (0.2, 0.7))
    steps = [number for number, sigma in enumerate(sigmas, 1) if last < sigma <= first]
    assert 1 < steps[0] <= steps[-1] < 8
    assert re.match(rf"RegionPrompt: active in steps {steps[0]}-{steps[-1]} of 8[;$]", caplog.messages[-1])
    assert_differs(picture, tiny.sample(model, graph.positive, negative, **options), least=0.05)
