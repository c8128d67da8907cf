"""A run knows the noise level it is asked at without reading it back, and only where it surely does."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from attention_director.bridge.run import known_sigmas, run
from attention_director.bridge.run.known_sigmas import KnownSigmas, known, ordinary, sigma_of
from scene import family, region_prompt

NUMBERS = (14.5, 3.25, 0.75, 0.0)


def schedule() -> KnownSigmas:
    return known(torch.tensor(NUMBERS), NUMBERS)


def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on nothing may be read back."""
    def refuse(*_: Any) -> None:
        raise AssertionError("read back")

    for name in ("__float__", "__bool__", "item", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, refuse)


def test_a_level_for_each_row_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    sigmas, ones = schedule(), torch.ones(2)
    _ = sigmas[0] * ones  # looks at the ones, once
    unread(monkeypatch)
    for i in (0, 1, -2):
        for rows in (sigmas[i] * ones, ones * sigmas[i]):
            assert isinstance(rows, KnownSigmas) and sigma_of(rows) == NUMBERS[i]


@pytest.mark.parametrize("make", [
    lambda sigmas: (sigmas[0] * 0.5) * torch.ones(2), lambda sigmas: sigmas[0] * torch.full((2,), 0.5),
    lambda sigmas: (sigmas[0] * sigmas[1]).sqrt() * torch.ones(2), lambda sigmas: sigmas[:2], lambda sigmas: sigmas + 1,
    lambda sigmas: sigmas[0] * torch.ones(2, 4), lambda sigmas: (sigmas[0] * torch.ones(2)) / 3,
    lambda sigmas: sigmas[1] * torch.ones(2).half() / 3])
def test_what_is_computed_of_levels_is_ordinary(make: Any) -> None:
    made = make(schedule())
    assert type(made) is torch.Tensor
    assert sigma_of(made) == float(made.flatten()[0])


@pytest.mark.parametrize("write", [
    lambda t: t.mul_(0.5), lambda t: t.__imul__(0.5), lambda t: t.__setitem__(0, 7.0), lambda t: t.fill_(2.0),
    lambda t: torch.add(torch.ones(2), 1.0, out=t)])
def test_what_was_written_into_is_read_again(write: Any) -> None:
    rows = schedule()[0] * torch.ones(2)
    write(rows)
    assert sigma_of(rows) == float(ordinary(rows)[0]) != NUMBERS[0]


def test_a_level_rounded_to_the_rows_precision_is_not_the_runs() -> None:
    made = known(torch.tensor([0.1], dtype=torch.float64), (0.1,))[0]
    assert sigma_of(made.float() * torch.ones(1)) == float(torch.tensor(0.1))


@pytest.mark.parametrize(("sampler", "asked"), [("euler", 0), ("heun", 0), ("dpm_2", 3)])
def test_a_run_reads_back_what_is_not_of_its_schedule(sampler: str, asked: int,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """dpm_2 evaluates between the levels of the run; the last step is Euler's."""
    unknown: list[float] = []
    right: list[bool] = []

    def counting(timestep: torch.Tensor) -> float:
        found = known_sigmas.sigma_of(timestep)
        right.append(found == float(ordinary(timestep).flatten()[0]))
        if not (isinstance(timestep, KnownSigmas) and timestep.numbers):
            unknown.append(found)
        return found

    monkeypatch.setattr(run, "sigma_of", counting)
    model, clip, negative = family()
    graph = region_prompt(model, clip)
    tiny.sample(graph.model, graph.positive, negative, sampler=sampler, steps=4, size=(8, 8))
    assert right and all(right) and len(unknown) == asked
