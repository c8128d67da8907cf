"""The inversions against the papers' formulas, written out in z and alpha-bar, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from attention_director.core.inversion import (
    ddim_inversion,
    edit_friendly,
    fixed_noise,
    held_prediction,
    midpoint_inversion,
    null_text,
    state_at,
)
from attention_director.core.noise import EPS, FLOW, euler_step

SIGMAS = (14.6, 6.1, 2.9, 1.3, 0.5, 0.12, 0.0)
SHAPE = (1, 4, 3, 5)
Network = Callable[[torch.Tensor, float], torch.Tensor]


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*(shape or SHAPE), dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def abar(sigma: float) -> float:
    return 1.0 / (1.0 + sigma * sigma)


def network(seed: int = 0) -> Network:
    """Some smooth function of z [1, 4, h, w] and the noise level."""
    weight = draw(seed, 4, 4)
    return lambda z, a: torch.tanh(torch.einsum("oc,bchw->bohw", weight, z) + math.sin(5 * a)) + 0.3 * z


def noise_of(kind: str, z: torch.Tensor, a: float) -> torch.Tensor:
    """eps of a network of either kind, from v = sqrt(abar) eps - sqrt(1 - abar) x0."""
    out = network()(z, a)
    return out if kind == "eps" else a ** 0.5 * out + (1 - a) ** 0.5 * z


def denoiser(kind: str):
    """The same network as D(x, sigma), as the host computes it from its output."""
    def denoise(x: torch.Tensor, sigma: float) -> torch.Tensor:
        z, a = x / (1 + sigma ** 2) ** 0.5, abar(sigma)
        out = network()(z, a)
        return x - sigma * out if kind == "eps" else a ** 0.5 * z - (1 - a) ** 0.5 * out

    return denoise


def scaled(z: torch.Tensor, sigma: float) -> torch.Tensor:
    return z * (1 + sigma ** 2) ** 0.5


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_ddim_inversion_is_the_papers_in_z(kind: str) -> None:
    x0 = draw(1)
    z, expected = x0, [x0]
    for sigma, higher in zip(SIGMAS[:0:-1], SIGMAS[-2::-1], strict=True):
        a, b = abar(sigma), abar(higher)
        eps = noise_of(kind, z, b)
        clean = (z - (1 - a) ** 0.5 * eps) / a ** 0.5
        z = b ** 0.5 * clean + (1 - b) ** 0.5 * eps
        expected.append(scaled(z, higher))
    states = ddim_inversion(denoiser(kind), x0, SIGMAS, EPS)
    torch.testing.assert_close(states, torch.cat(expected[::-1]), rtol=1e-10, atol=1e-10)
    assert torch.equal(states[-1:], x0)


def test_a_run_back_down_is_the_papers_too() -> None:
    z, denoise = draw(2), denoiser("eps")
    x = scaled(z, SIGMAS[0])
    for sigma, lower in zip(SIGMAS, SIGMAS[1:], strict=False):
        a, b = abar(sigma), abar(lower)
        eps = noise_of("eps", z, a)
        z = b ** 0.5 * (z - (1 - a) ** 0.5 * eps) / a ** 0.5 + (1 - b) ** 0.5 * eps
        x = euler_step(x, denoise(x, sigma), sigma, lower)
        torch.testing.assert_close(x, scaled(z, lower), rtol=1e-10, atol=1e-10)


def test_the_noise_found_brings_the_picture_back_as_steps_grow() -> None:
    x0, denoise, errors = draw(3), denoiser("eps"), []
    for steps in (40, 160, 640):
        sigmas = (*(5.0 * (1 - i / steps) for i in range(steps)), 0.0)
        x = ddim_inversion(denoise, x0, sigmas, EPS)[:1]
        for sigma, lower in zip(sigmas, sigmas[1:], strict=False):
            x = euler_step(x, denoise(x, sigma), sigma, lower)
        errors.append(float((x - x0).abs().max()))
    assert errors[2] < 0.4 * errors[1] and errors[1] < 0.5 * errors[0]


def test_direct_is_adding_the_difference_after_each_step() -> None:
    """2310.01506: x_src += z*_{i+1} - x_src after every DDIM step, with the model's own prediction before."""
    denoise = denoiser("eps")
    states = ddim_inversion(denoise, draw(4), SIGMAS, EPS)
    published = ours = states[:1]
    for i, (sigma, lower) in enumerate(zip(SIGMAS, SIGMAS[1:], strict=False)):
        published = euler_step(published, denoise(published, sigma), sigma, lower)
        published = published + (states[i + 1:i + 2] - published)
        ours = euler_step(ours, held_prediction(states, SIGMAS, sigma, lower), sigma, lower)
        torch.testing.assert_close(ours, published, rtol=1e-10, atol=1e-10)
    assert torch.equal(ours, states[-1:])


@pytest.mark.parametrize("run", [(14.6, 2.0, 0.3, 0.0), (20.0, 14.6, 3.0, 2.9, 0.01, 0.0), (1.0, 0.4, 0.0)])
def test_direct_on_another_schedule_stays_on_the_interpolated_states(run: tuple[float, ...]) -> None:
    states = ddim_inversion(denoiser("eps"), draw(5), SIGMAS, EPS)
    x = state_at(states, SIGMAS, run[0])
    for sigma, lower in zip(run, run[1:], strict=False):
        x = euler_step(x, held_prediction(states, SIGMAS, sigma, lower), sigma, lower)
        torch.testing.assert_close(x, state_at(states, SIGMAS, lower), rtol=1e-10, atol=1e-10)
    assert torch.equal(x, states[-1:])


def test_a_source_pushed_off_its_states_comes_back() -> None:
    states = ddim_inversion(denoiser("eps"), draw(6), SIGMAS, EPS)
    x = states[:1] + 1.0
    for i, (sigma, lower) in enumerate(zip(SIGMAS, SIGMAS[1:], strict=False)):
        x = euler_step(x, held_prediction(states, SIGMAS, sigma, lower), sigma, lower)
        torch.testing.assert_close(x - states[i + 1], torch.full_like(x, lower / SIGMAS[0]), rtol=1e-9, atol=1e-9)


def test_states_between_and_beyond() -> None:
    states = draw(7, len(SIGMAS), 4, 3, 5)
    for k, sigma in enumerate(SIGMAS):
        assert torch.equal(state_at(states, SIGMAS, sigma)[0], states[k])
    torch.testing.assert_close(state_at(states, SIGMAS, 2.1)[0], (states[2] + states[3]) / 2)
    slope = (states[0] - states[1]) / (SIGMAS[0] - SIGMAS[1])
    torch.testing.assert_close(state_at(states, SIGMAS, 20.0)[0], states[0] + 5.4 * slope)


@pytest.mark.parametrize("kind", ["eps", "v"])
def test_edit_friendly_is_the_papers_in_alpha_bar(kind: str) -> None:
    x0, noise = draw(8), draw(9, len(SIGMAS) - 1, *SHAPE[1:])
    states, predictions, maps = edit_friendly(denoiser(kind), x0, SIGMAS, noise, EPS)
    z = [abar(s) ** 0.5 * x0 + (1 - abar(s)) ** 0.5 * noise[k:k + 1] for k, s in enumerate(SIGMAS[:-1])] + [x0]
    for k in range(len(SIGMAS) - 2):  # the last step, to sigma 0, has z_1 = 0
        a, b = abar(SIGMAS[k]), abar(SIGMAS[k + 1])
        eps = noise_of(kind, z[k], a)
        clean = (z[k] - (1 - a) ** 0.5 * eps) / a ** 0.5
        variance = (1 - b) / (1 - a) * (1 - a / b)
        mean = b ** 0.5 * clean + (1 - b - variance) ** 0.5 * eps
        expected = (z[k + 1] - mean) / variance ** 0.5
        torch.testing.assert_close(maps[k:k + 1], expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(predictions[k:k + 1], clean, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(states[k:k + 1], scaled(z[k], SIGMAS[k]), rtol=1e-10, atol=1e-10)
    assert not maps[-1].any() and torch.equal(predictions[-1:], x0) and torch.equal(states[-1:], x0)


def test_the_stored_noise_leads_through_the_stored_states() -> None:
    x0, denoise = draw(10), denoiser("eps")
    states, _, maps = edit_friendly(denoise, x0, SIGMAS, draw(11, len(SIGMAS) - 1, *SHAPE[1:]), EPS)
    x = states[:1]
    for k, (sigma, lower) in enumerate(zip(SIGMAS[:-1], SIGMAS[1:-1], strict=False)):
        kept, fresh = EPS.ancestral_scales(sigma, lower)
        denoised = denoise(x, sigma)
        x = denoised + kept * (x - denoised) + fresh * maps[k]
        torch.testing.assert_close(x, states[k + 1:k + 2], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("sigma,lower", [(14.6, 6.1), (0.5, 0.12), (1.0, 0.0)])
def test_ancestral_scales_keep_the_level(sigma: float, lower: float) -> None:
    kept, fresh = EPS.ancestral_scales(sigma, lower)
    assert (kept * sigma) ** 2 + fresh ** 2 == pytest.approx(lower ** 2, rel=1e-12)
    assert fresh == pytest.approx((lower ** 2 * (sigma ** 2 - lower ** 2) / sigma ** 2) ** 0.5, rel=1e-12)


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


def with_text(x: torch.Tensor, sigma: float, embedding: torch.Tensor) -> torch.Tensor:
    """An eps-network that reads an embedding [1, T, 4], as D(x, sigma)."""
    z = scaled(x, 0) / (1 + sigma ** 2) ** 0.5
    return x - sigma * (network(3)(z, abar(sigma)) + 2 * torch.tanh(embedding).mean(1)[..., None, None])


def naive_null_text(conditional, states: torch.Tensor, embedding: torch.Tensor, cfg: float) -> list[torch.Tensor]:
    """2211.09794, Algorithm 1 in z, with eps."""
    z, found = states[:1] * abar(SIGMAS[0]) ** 0.5, []

    def eps(denoised: torch.Tensor, z: torch.Tensor, sigma: float) -> torch.Tensor:
        return (scaled(z, sigma) - denoised) / sigma

    def previous(z: torch.Tensor, noise: torch.Tensor, a: float, b: float) -> torch.Tensor:
        return b ** 0.5 * (z - (1 - a) ** 0.5 * noise) / a ** 0.5 + (1 - b) ** 0.5 * noise

    for i, (sigma, lower) in enumerate(zip(SIGMAS, SIGMAS[1:], strict=False)):
        a, b = abar(sigma), abar(lower)
        target = states[i + 1:i + 2] * b ** 0.5
        text = embedding.clone().requires_grad_()
        adam = torch.optim.Adam([text], lr=1e-2 * (1 - i / 100))
        wanted = eps(conditional(scaled(z, sigma), sigma), z, sigma)
        for _ in range(10):
            free = eps(with_text(scaled(z, sigma), sigma, text), z, sigma)
            loss = torch.nn.functional.mse_loss(previous(z, free + cfg * (wanted - free), a, b), target)
            adam.zero_grad()
            loss.backward()
            adam.step()
            if loss.item() < 1e-5 + i * 2e-5:
                break
        embedding = text.detach()
        free = eps(with_text(scaled(z, sigma), sigma, embedding), z, sigma)
        z = previous(z, free + cfg * (wanted - free), a, b)
        found.append(embedding)
    return found


def test_null_text_is_the_papers_and_keeps_the_run_near_the_states() -> None:
    caption, empty = draw(12, 1, 3, 4), draw(13, 1, 3, 4)

    def conditional(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return with_text(x, sigma, caption)

    def end(embeddings: list[torch.Tensor]) -> torch.Tensor:
        x = states[:1]
        for k, (sigma, lower) in enumerate(zip(SIGMAS, SIGMAS[1:], strict=False)):
            free = with_text(x, sigma, embeddings[k])
            x = euler_step(x, free + 5.0 * (conditional(x, sigma) - free), sigma, lower)
        return x

    states, told = ddim_inversion(conditional, draw(14), SIGMAS, EPS), []
    found = null_text(conditional, with_text, states, SIGMAS, empty, 5.0, EPS, lambda: told.append(1))
    torch.testing.assert_close(found, torch.cat(naive_null_text(conditional, states, empty, 5.0)), rtol=1e-9,
                               atol=1e-9)
    assert len(told) == len(SIGMAS) - 1 and not found.requires_grad
    far = (end([empty] * (len(SIGMAS) - 1)) - states[-1]).abs().mean()
    near = (end(list(found.split(1))) - states[-1]).abs().mean()
    assert near < 0.9 * far
