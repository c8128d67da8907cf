"""The noise laws against formulas written out for each: diffusion in z and alpha-bar, flow as a straight line."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
import torch
from attention_director.core.noise import EPS, FLOW, euler_step

LEVELS = {"eps": (EPS, [(14.6, 6.1), (1.0, 0.2), (0.5, 0.0)]), "flow": (FLOW, [(1.0, 0.8), (0.7, 0.2), (0.3, 0.0)])}
PAIRS = [(law, *pair) for law, pairs in LEVELS.values() for pair in pairs]


def draw(seed: int) -> torch.Tensor:
    return torch.randn(2, 4, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def mixed(name: str, x0: torch.Tensor, e: torch.Tensor, sigma: float) -> torch.Tensor:
    """x by the definitions, not by the module's functions."""
    if name == "flow":
        return (1 - sigma) * x0 + sigma * e
    abar = 1 / (1 + sigma ** 2)
    return (abar ** 0.5 * x0 + (1 - abar) ** 0.5 * e) / abar ** 0.5


@pytest.mark.parametrize("law,sigma,lower", PAIRS)
def test_mixing_and_taking_apart(law, sigma: float, lower: float) -> None:
    x0, e = draw(0), draw(1)
    x = mixed(law.name, x0, e, sigma)
    torch.testing.assert_close(law.mix(x0, e, sigma), x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(law.noise_in(x, x0, sigma), e, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("law,sigma,lower", PAIRS)
def test_eulers_step_leads_along_one_noise(law, sigma: float, lower: float) -> None:
    """Where the prediction is right, the step is the same picture under less of the same noise: both laws."""
    x0, e = draw(0), draw(1)
    reached = euler_step(mixed(law.name, x0, e, sigma), x0, sigma, lower)
    torch.testing.assert_close(reached, mixed(law.name, x0, e, lower), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("law,sigma,lower", PAIRS)
def test_the_step_is_the_solvers_derivative(law, sigma: float, lower: float) -> None:
    """dx/dsigma = (x - D) / sigma: the noise of diffusion, the velocity e - x0 of a flow."""
    x0, e = draw(0), draw(1)
    x = mixed(law.name, x0, e, sigma)
    slope = e if law.name == "eps" else e - x0
    torch.testing.assert_close(euler_step(x, x0, sigma, lower), x + (lower - sigma) * slope, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("law,sigma,lower", PAIRS)
def test_an_ancestral_step_is_the_posterior_of_the_chain(law, sigma: float, lower: float) -> None:
    """Bayes on three numbers, in Fractions: x_n given x and x0, where x = a x_n + noise of the rest."""
    parts = {"eps": lambda s: (Fraction(1), s), "flow": lambda s: (1 - s, s)}[law.name]
    s, n = Fraction(sigma), Fraction(lower)
    (a_s, b_s), (a_n, b_n) = parts(s), parts(n)
    forward, rest = a_s / a_n, b_s ** 2 - (a_s / a_n) ** 2 * b_n ** 2  # x = forward x_n + sqrt(rest) e
    x0, x = Fraction(3, 7), Fraction(-5, 3)
    variance = b_n ** 2 * rest / b_s ** 2
    mean = a_n * x0 + b_n ** 2 * forward / b_s ** 2 * (x - a_s * x0)
    kept, fresh = law.ancestral_scales(sigma, lower)
    assert fresh ** 2 == pytest.approx(float(variance), rel=1e-12, abs=1e-15)
    assert float(a_n * x0) + kept * float(x - a_s * x0) == pytest.approx(float(mean), rel=1e-12)
    found = law.ancestral_mean(torch.tensor(float(x), dtype=torch.float64),
                               torch.tensor(float(x0), dtype=torch.float64), sigma, lower)
    assert float(found) == pytest.approx(float(mean), rel=1e-12)


def test_the_network_reads_the_same_after_rescaling() -> None:
    """Diffusion divides by sqrt(1 + sigma^2) first, a flow by nothing."""
    x = draw(2)
    torch.testing.assert_close(EPS.rescale(x, 2.0, 9.0) / math.sqrt(82), x / math.sqrt(5), rtol=1e-12, atol=1e-12)
    assert torch.equal(FLOW.rescale(x, 0.2, 0.9), x)


def test_time_runs_from_nothing_to_one() -> None:
    levels = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(EPS.time(levels), (1 - 1 / (1 + levels ** 2)).sqrt(), rtol=0, atol=1e-15)
    assert torch.equal(FLOW.time(levels), levels) and FLOW.time(0.3) == 0.3
    assert EPS.time(1e9) == pytest.approx(1.0)
