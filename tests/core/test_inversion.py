"""The inversions against the papers' formulas, written out in z and alpha-bar, in float64."""

from __future__ import annotations

import pytest
import torch
from attention_director.core.inversion import (
    ddim_inversion,
    edit_friendly,
    held_prediction,
    null_text,
    state_at,
)
from attention_director.core.noise import EPS, euler_step
from inversion_cases import SHAPE, SIGMAS, abar, draw, network


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
