"""The guidance in the denoised prediction against the paper's loop, written by hand in float64."""

from __future__ import annotations

import math

import pytest
import torch
from attention_director.core.noise import EPS, FLOW
from attention_director.core.schedule import next_sigma
from attention_director.core.sketch import (
    agreement,
    edge_map,
    guided,
    kappa,
    sketch_loss,
    sketched_noise,
)

ALPHAS = [0.0047, 0.05, 0.3, 0.8, 0.9991]  # noisiest first


def epsilon(z: torch.Tensor, alpha: float) -> torch.Tensor:
    """A toy model of the noise, of any shape."""
    return torch.tanh(0.6 * z + 0.2) * (1 - alpha) + 0.3 * z.roll(1, -1)


def loss(z: torch.Tensor, alpha: float) -> torch.Tensor:
    return (torch.sin(0.7 * z) * alpha - 0.4).square().flatten(1).sum(1)


def paper(z: torch.Tensor, beta: float, stop: int) -> torch.Tensor:
    """METHODS.md 5.5 word for word: DDIM on z, then z <- z - alpha g while i < stop; alpha per sample."""
    for i, a in enumerate(ALPHAS):
        b = ALPHAS[i + 1] if i + 1 < len(ALPHAS) else 1.0
        eps = epsilon(z, a)
        z0 = (z - math.sqrt(1 - a) * eps) / math.sqrt(a)
        after = math.sqrt(b) * z0 + math.sqrt(1 - b) * eps
        if i < stop:
            leaf = z.clone().requires_grad_()
            g, = torch.autograd.grad(loss(leaf, a).sum(), leaf)
            for n in range(len(z)):
                after[n] -= beta * (z[n] - after[n]).norm() / g[n].norm() * g[n]
        z = after
    return z


def ours(z: torch.Tensor, beta: float, stop: int) -> torch.Tensor:
    """Euler on x = z sqrt(1 + sigma^2), the guidance as a change of the denoised prediction."""
    sigmas = [math.sqrt((1 - a) / a) for a in ALPHAS] + [0.0]
    x = z * math.sqrt(1 + sigmas[0] ** 2)
    for i, s in enumerate(sigmas[:-1]):
        n = next_sigma(sigmas, s)
        scale = math.sqrt(1 + s * s)
        denoised = x - s * epsilon(x / scale, ALPHAS[i])
        if i < stop:
            leaf = x.clone().requires_grad_()
            g, = torch.autograd.grad(loss(leaf / scale, ALPHAS[i]).sum(), leaf)
            denoised = guided(x, denoised, g, s, n, beta, EPS)
        x = x + (x - denoised) / s * (n - s)
    return x


def start(batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, 4, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("stop", [0, 2, len(ALPHAS)])
def test_it_is_the_papers_loop(stop: int) -> None:
    """To the last step, where the next level is 0, and over images of unequal norm.

    A strength at which five steps make fifty of one rounding, not the ten thousand of the paper's 1.6.
    """
    z = start() * torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)[:, None, None, None]
    torch.testing.assert_close(ours(z, 0.4, stop), paper(z, 0.4, stop), rtol=1e-10, atol=1e-10)


def test_strength_zero_is_nothing_and_twice_is_twice() -> None:
    x, d, g = start() * 5, start() * 0.5, start().roll(1)
    assert torch.equal(guided(x, d, g, 5.0, 3.0, 0.0, EPS), d)
    once, twice = (guided(x, d, g, 5.0, 3.0, beta, EPS) - d for beta in (0.8, 1.6))
    torch.testing.assert_close(twice, 2 * once)


def test_only_the_direction_of_the_gradient_counts() -> None:
    x, d, g = start() * 5, start() * 0.5, start().roll(1)
    torch.testing.assert_close(guided(x, d, g * 1e-7, 5.0, 3.0, 1.6, EPS), guided(x, d, g * 1e7, 5.0, 3.0, 1.6, EPS))
    assert torch.equal(guided(x, d, torch.zeros_like(g), 5.0, 3.0, 1.6, EPS), d)


def test_the_weights_of_a_mask() -> None:
    """All ones is no mask; outside a mask nothing moves; inside, the step is measured inside."""
    x, d, g = start() * 5, start() * 0.5, start().roll(1)
    ones = torch.ones(1, 1, 5, 6, dtype=torch.float64)
    half = ones.clone()
    half[..., 3:] = 0
    assert torch.equal(guided(x, d, g, 5.0, 3.0, 1.6, EPS, ones), guided(x, d, g, 5.0, 3.0, 1.6, EPS))
    moved = guided(x, d, g, 5.0, 3.0, 1.6, EPS, half)
    assert torch.equal(moved[..., 3:], d[..., 3:]) and not torch.equal(moved[..., :3], d[..., :3])
    cropped = guided(x[..., :3], d[..., :3], g[..., :3], 5.0, 3.0, 1.6, EPS)
    torch.testing.assert_close(moved[..., :3], cropped)


def test_kappa_is_a_number_an_image() -> None:
    x, d = start() * 5, start() * 0.5
    found = kappa(x, d, 5.0, 3.0, 1.6, EPS)
    assert found.shape == (3, 1, 1, 1)
    torch.testing.assert_close(found[1:2], kappa(x[1:2], d[1:2], 5.0, 3.0, 1.6, EPS))


def test_on_a_flow_the_step_is_measured_in_x_itself() -> None:
    """The state is x, as the network reads it: x <- x_n - beta ||x - x_n|| g / ||g|| after each Euler step."""
    levels, x = (1.0, 0.7, 0.3, 0.0), start()
    by_hand = ours = x
    for t, n in zip(levels, levels[1:], strict=False):
        g = loss_gradient(by_hand, t)
        after = by_hand + (n - t) * epsilon(by_hand, t)
        for k in range(len(x)):
            after[k] -= 0.4 * (by_hand[k] - after[k]).norm() / g[k].norm() * g[k]
        denoised = guided(ours, ours - t * epsilon(ours, t), loss_gradient(ours, t), t, n, 0.4, FLOW)
        ours = ours + (ours - denoised) / t * (n - t)
        by_hand = after
    torch.testing.assert_close(ours, by_hand, rtol=1e-10, atol=1e-10)


def loss_gradient(x: torch.Tensor, level: float) -> torch.Tensor:
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(loss(leaf, level).sum(), leaf)[0]


def test_loss_is_a_weighted_sum_of_squares() -> None:
    a, b = start(), start().roll(1)
    weight = torch.rand(1, 1, 5, 6, dtype=torch.float64)
    by_hand = sum(float(weight[0, 0, y, x]) * float(a[n, c, y, x] - b[n, c, y, x]) ** 2
                  for n in range(3) for c in range(4) for y in range(5) for x in range(6))
    assert abs(float(sketch_loss(a, b, weight)) - by_hand) < 1e-9
    assert torch.equal(sketch_loss(a, b, None), sketch_loss(a, b, torch.ones_like(weight)))


def test_agreement_counts_from_a_blank_sheet() -> None:
    blank, drawn = torch.full((1, 4, 5, 6), 0.3, dtype=torch.float64), start()
    for share in (0.0, 0.4, 1.0):
        found = agreement(blank + share * (drawn - blank), drawn, blank)
        torch.testing.assert_close(found, torch.full((3,), share, dtype=torch.float64))


def test_the_map_of_lines_shows_where_they_are() -> None:
    blank = torch.full((1, 4, 8, 8), 0.3, dtype=torch.float64)
    drawn = blank.clone()
    drawn[:, :, 2, 1:7] += 1.0
    found = edge_map(blank + 0.5 * (drawn - blank), blank, drawn)
    assert found.shape == (1, 8, 8) and torch.equal(found[0] > 0.25, drawn[0, 0] > 0.5)
    assert abs(float(found.max()) - 0.5) < 1e-9


def test_start_noise_keeps_its_spread() -> None:
    noise = torch.randn(2, 4, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    encoded = torch.randn(2, 4, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 7 + 3
    assert torch.equal(sketched_noise(noise, encoded, 0.0), noise)
    for share in (0.3, 1.0):
        assert abs(float(sketched_noise(noise, encoded, share).std()) - 1) < 0.02
