"""The noise law of every kind of sampling of the host, against the host's own arithmetic."""

from __future__ import annotations

from typing import Any

import comfy.model_sampling as host
import pytest
import torch
from attention_director.bridge.run.noise_law import noise_for, noise_law, random_sigmas
from attention_director.core.noise import EPS, FLOW

KINDS = {
    "eps": (host.EPS, host.ModelSamplingDiscrete, EPS),
    "v": (host.V_PREDICTION, host.ModelSamplingDiscrete, EPS),
    "edm": (host.EDM, host.ModelSamplingContinuousEDM, EPS),
    "playground": (host.EDM, host.ModelSamplingDiscreteEDM, EPS),
    "v continuous": (host.V_PREDICTION, host.ModelSamplingContinuousV, EPS),
    "flow": (host.CONST, host.ModelSamplingDiscreteFlow, FLOW),
    "flux": (host.CONST, host.ModelSamplingFlux, FLOW),
}


def sampling(kind: str) -> Any:
    prediction, schedule, _ = KINDS[kind]
    return type("Sampling", (schedule, prediction), {})()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("largest", [False, True])
def test_the_hosts_scaling_makes_the_x_that_was_asked_for(kind: str, largest: bool) -> None:
    model = sampling(kind)
    generator = torch.Generator().manual_seed(0)
    x, latent = (torch.randn(2, 4, 3, 5, dtype=torch.float64, generator=generator) for _ in range(2))
    level = float(model.sigma_max) if largest else float(model.sigmas[len(model.sigmas) // 2])
    noise = noise_for(model, x, latent, level, largest)
    made = model.noise_scaling(torch.tensor([level], dtype=torch.float64), noise, latent, largest)
    torch.testing.assert_close(made, x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_the_law_is_how_the_host_mixes(kind: str) -> None:
    model, law = sampling(kind), KINDS[kind][2]
    assert noise_law(model) is law
    generator = torch.Generator().manual_seed(0)
    x0, noise = (torch.randn(2, 4, 3, 5, dtype=torch.float64, generator=generator) for _ in range(2))
    level = float(model.sigmas[len(model.sigmas) // 2])
    mixed = model.noise_scaling(torch.tensor([level], dtype=torch.float64), noise.clone(), x0.clone())
    torch.testing.assert_close(law.mix(x0, noise, level), mixed, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_random_levels_are_the_models_own_and_reach_both_ends(kind: str) -> None:
    model = sampling(kind)
    found = random_sigmas(model, 4000, torch.Generator().manual_seed(0))
    assert found.isfinite().all() and found.dtype == torch.float32
    low, high = float(model.sigma_min), float(model.sigma_max)
    assert low * 0.999 <= float(found.min()) < 1.1 * float(model.sigmas[len(model.sigmas) // 100])
    assert float(model.sigmas[-len(model.sigmas) // 100]) * 0.99 < float(found.max()) <= high * 1.001
    middle = float(found.median()) / float(model.sigmas[len(model.sigmas) // 2])
    assert 0.8 < middle < 1.25, "each of its timesteps alike"


def test_a_discrete_models_levels_stay_those_of_its_timesteps() -> None:
    """A predictor's training draws what it drew, to the last bit."""
    model = sampling("eps")
    steps = torch.randint(1000, (64,), generator=torch.Generator().manual_seed(5))
    assert torch.equal(random_sigmas(model, 64, torch.Generator().manual_seed(5)), model.sigma(steps.float()))
