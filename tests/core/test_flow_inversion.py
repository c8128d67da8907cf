"""Inversions on flows, and of one fixed noise, against the papers' formulas, in float64."""

from __future__ import annotations

import pytest
import torch
from attention_director.core.inversion import (
    ddim_inversion,
    edit_friendly,
    fixed_noise,
    held_prediction,
    midpoint_inversion,
)
from attention_director.core.noise import EPS, FLOW, euler_step
from inversion_cases import SHAPE, SIGMAS, draw, network

TIMES = (1.0, 0.8, 0.55, 0.3, 0.1, 0.0)


def velocity(x: torch.Tensor, time: float) -> torch.Tensor:
    """Some smooth flow; its denoised prediction is x - t v."""
    return network(4)(x, time)


def flowing(x: torch.Tensor, time: float) -> torch.Tensor:
    return x - time * velocity(x, time)


def test_a_flow_is_inverted_by_walking_up_its_velocity() -> None:
    """x_h = x_s + (h - s) v(x_s, h), x read as it is; and held, it comes back along the same states."""
    x0 = draw(15)
    x, expected = x0, [x0]
    for time, higher in zip(TIMES[:0:-1], TIMES[-2::-1], strict=True):
        x = x + (higher - time) * velocity(x, higher)
        expected.append(x)
    states = ddim_inversion(flowing, x0, TIMES, FLOW)
    torch.testing.assert_close(states, torch.cat(expected[::-1]), rtol=1e-12, atol=1e-12)
    x = states[:1]
    for k, (time, lower) in enumerate(zip(TIMES, TIMES[1:], strict=False)):
        x = euler_step(x, held_prediction(states, TIMES, time, lower), time, lower)
        torch.testing.assert_close(x, states[k + 1:k + 2], rtol=1e-12, atol=1e-12)
    assert torch.equal(x, x0)


def test_fireflow_takes_each_middles_direction_on_to_the_next_step() -> None:
    """Algorithm 1 of 2412.07517, the first direction taken in the middle of the first step: one evaluation a step."""
    asked: list[float] = []

    def denoise(x: torch.Tensor, time: float) -> torch.Tensor:
        asked.append(time)
        return flowing(x, time)

    x0 = draw(15)
    x, expected, saved = x0, [x0], velocity(x0, 0.05)
    for time, higher in zip(TIMES[:0:-1], TIMES[-2::-1], strict=True):
        half = x + (higher - time) / 2 * saved
        saved = velocity(half, (time + higher) / 2)
        x = x + (higher - time) * saved
        expected.append(x)
    states = midpoint_inversion(denoise, x0, TIMES)
    torch.testing.assert_close(states, torch.cat(expected[::-1]), rtol=1e-12, atol=1e-12)
    assert len(asked) == len(TIMES)


def test_fireflow_is_of_second_order() -> None:
    """Twice the steps, a quarter of the error; of the plain walk half of it."""
    def ends(steps: int) -> list[torch.Tensor]:
        times = tuple(1.0 - n / steps for n in range(steps)) + (0.0,)
        return [midpoint_inversion(flowing, draw(15), times)[0], ddim_inversion(flowing, draw(15), times, FLOW)[0]]

    exact = ends(4096)[0]
    errors = [[float((end - exact).abs().max()) for end in ends(steps)] for steps in (64, 128)]
    second, first = (errors[0][i] / errors[1][i] for i in (0, 1))
    assert 3.3 < second < 4.7 and 1.7 < first < 2.3 and errors[0][0] < errors[0][1] / 5


@pytest.mark.parametrize("law, levels", [(EPS, SIGMAS), (FLOW, TIMES)], ids=["eps", "flow"])
def test_one_noise_needs_no_model_and_is_held_by_the_picture_itself(law, levels: tuple[float, ...]) -> None:
    x0, noise = draw(3), draw(4)
    states = fixed_noise(x0, levels, noise, law)
    for state, sigma in zip(states, levels, strict=True):
        signal = 1.0 - sigma if law is FLOW else 1.0
        torch.testing.assert_close(state[None], signal * x0 + sigma * noise, rtol=1e-12, atol=1e-12)
    for sigma, lower in ((levels[0], levels[1]), (levels[1] * 0.9, levels[2]), (levels[-2], 0.0)):
        torch.testing.assert_close(held_prediction(states, levels, sigma, lower), x0, rtol=1e-9, atol=1e-9)


def test_edit_friendly_on_a_flow_ends_in_the_picture_by_way_of_its_states() -> None:
    """States are (1 - t) x0 + t e; the stored noise makes each from the one before, by the chain's posterior."""
    x0, noise = draw(16), draw(17, len(TIMES) - 1, *SHAPE[1:])
    states, predictions, maps = edit_friendly(flowing, x0, TIMES, noise, FLOW)
    for k, (t, n) in enumerate(zip(TIMES[:-1], TIMES[1:-1], strict=False)):
        torch.testing.assert_close(states[k], (1 - t) * x0[0] + t * noise[k], rtol=1e-10, atol=1e-10)
        clean = flowing(states[k:k + 1], t)
        share = n * (1 - t) / (t * (1 - n))  # of the old noise in the new
        e = (states[k:k + 1] - (1 - t) * clean) / t
        reached = (1 - n) * clean + n * share * e + n * (1 - share ** 2) ** 0.5 * maps[k]
        torch.testing.assert_close(reached, states[k + 1:k + 2], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(predictions[k:k + 1], clean, rtol=1e-9, atol=1e-9)
    assert not maps[-1].any() and torch.equal(predictions[-1:], x0) and torch.equal(states[-1:], x0)
