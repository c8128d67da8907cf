"""The predictor against its description in the paper: resize, join, then layer after layer."""

from __future__ import annotations

import math

import pytest
import torch
from attention_director.core.edge_predictor import (
    SINES,
    WIDTHS,
    EdgePredictor,
    TokenPredictor,
    guidance_predictor,
    noise_features,
)
from attention_director.core.noise import FLOW
from torch import nn

CHANNELS = (6, 4, 8)
SIZES = ((12, 10), (6, 5), (3, 3))
GRID = (12, 10)


def naive(net: EdgePredictor, taps: list[torch.Tensor], sigma: torch.Tensor) -> torch.Tensor:
    """Written from METHODS.md 5.2 and 5.3: every tap to the latent's size, all joined, then the MLP."""
    b = len(sigma)
    joined = [nn.functional.interpolate(t, size=GRID, mode="bilinear", align_corners=False) for t in taps]
    tau = (1 - 1 / (1 + sigma ** 2)) ** 0.5
    level = [tau] + [torch.sin(2 * math.pi * tau * 2.0 ** -l) for l in range(10)]  # noqa: E741
    level = torch.stack(level, 1)[:, :, None, None].expand(b, 11, *GRID)
    pixels = torch.cat([*joined, level], 1).movedim(1, -1).reshape(-1, sum(CHANNELS) + 11)
    for layer, norm in zip(net.layers, net.norms, strict=True):
        pixels = norm(torch.relu(layer(pixels)))
    return net.last(pixels).reshape(b, *GRID, 4).movedim(-1, 1)


def case(train: bool) -> tuple[EdgePredictor, list[torch.Tensor], torch.Tensor]:
    torch.manual_seed(0)
    net = EdgePredictor(CHANNELS).double().train(train)
    taps = [torch.randn(3, c, *s, dtype=torch.float64) for c, s in zip(CHANNELS, SIZES, strict=True)]
    return net, taps, torch.tensor([0.1, 2.0, 14.6], dtype=torch.float64)


def test_resizing_after_the_first_layer_is_resizing_before_it() -> None:
    for train in (True, False):
        net, taps, sigma = case(train)
        torch.testing.assert_close(net(taps, sigma, GRID), naive(net, taps, sigma), rtol=0, atol=1e-10)


def test_its_gradient_is_that_of_the_plain_form() -> None:
    net, taps, sigma = case(False)
    leaves = [t.requires_grad_() for t in taps]
    ours = torch.autograd.grad(net(leaves, sigma, GRID).square().sum(), leaves)
    theirs = torch.autograd.grad(naive(net, leaves, sigma).square().sum(), leaves)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_it_has_the_papers_size() -> None:
    """9280 channels of SD1.x and the noise level: 4.95 million parameters."""
    net = EdgePredictor((320, 640, 1280, 1280, 1280, 1280, 1280, 1280, 640))
    assert [layer.in_features for layer in net.layers] == [9280 + 11, *WIDTHS[:-1]]
    assert abs(sum(p.numel() for p in net.parameters()) / 1e6 - 4.93) < 0.02


def test_the_noise_level_is_a_number_and_ten_sines() -> None:
    found = noise_features(torch.tensor([0.0, 1.0, 1e6], dtype=torch.float64))
    assert found.shape == (3, 1 + SINES)
    assert found[0].abs().max() == 0
    assert float(found[1, 0]) == pytest.approx(0.5 ** 0.5, abs=1e-15) and abs(float(found[2, 0]) - 1) < 1e-9
    assert float(found[1, 3]) == pytest.approx(math.sin(2 * math.pi * 0.5 ** 0.5 / 4), abs=1e-15)


def test_a_flow_is_read_by_its_time() -> None:
    found = noise_features(torch.tensor([0.3], dtype=torch.float64), FLOW)
    assert float(found[0, 0]) == 0.3
    assert float(found[0, 2]) == pytest.approx(math.sin(2 * math.pi * 0.3 / 2), abs=1e-15)
    sigma = torch.linspace(0.03, 15, 200)
    assert torch.equal(noise_features(sigma)[:, 0], sigma / (1 + sigma.square()).sqrt()), "as files were trained"


def test_each_pixel_is_read_alone() -> None:
    """With taps of the latent's size, changing one pixel changes the answer there only."""
    net, _, sigma = case(False)
    taps = [torch.randn(3, c, *GRID, dtype=torch.float64) for c in CHANNELS]
    changed = [t.clone() for t in taps]
    for t in changed:
        t[1, :, 4, 7] += 1
    moved = (net(taps, sigma, GRID) - net(changed, sigma, GRID)).abs().amax(1) > 0
    assert moved.nonzero().tolist() == [[1, 4, 7]]


TOKENS, PATCH, LATENT = (5, 4), 2, 3


def token_case(train: bool) -> tuple[TokenPredictor, list[torch.Tensor], torch.Tensor]:
    torch.manual_seed(0)
    net = TokenPredictor((8, 6), LATENT, PATCH).double().train(train)
    taps = [torch.randn(3, c, *TOKENS, dtype=torch.float64) for c in (8, 6)]
    taps[0][:, 2] += 400.0  # one channel that is huge at every token
    return net, taps, torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)


def naive_tokens(net: TokenPredictor, taps: list[torch.Tensor], sigma: torch.Tensor, keep: list[list[int]],
                 ) -> torch.Tensor:
    """Written from DIT.md 4.4, token by token: phi = LN(h keep), a layer, the MLP, p x p pixels of each channel."""
    rows = []
    for b in range(len(sigma)):
        for y in range(TOKENS[0]):
            for x in range(TOKENS[1]):
                phi = []
                for tap, kept in zip(taps, keep, strict=True):
                    h = tap[b, :, y, x] * torch.tensor(kept)
                    phi.append((h - h.mean()) / (h.var(unbiased=False) + 1e-5).sqrt())
                read = net.project.weight @ torch.cat(phi) + net.project.bias
                level = [sigma[b], *(torch.sin(2 * math.pi * sigma[b] * 2.0 ** -l) for l in range(10))]  # noqa: E741
                rows.append(torch.cat((read, torch.stack(level))))
    out = torch.stack(rows)
    for layer, norm in zip(net.read.layers, net.read.norms, strict=True):
        out = norm(torch.relu(layer(out)))
    out = net.read.last(out).reshape(len(sigma), *TOKENS, LATENT, PATCH, PATCH)
    whole = torch.zeros(len(sigma), LATENT, TOKENS[0] * PATCH, TOKENS[1] * PATCH, dtype=torch.float64)
    for y in range(TOKENS[0]):
        for x in range(TOKENS[1]):
            whole[:, :, y * PATCH:(y + 1) * PATCH, x * PATCH:(x + 1) * PATCH] = out[:, y, x]
    return whole


@pytest.mark.parametrize("train", [True, False])
def test_a_token_is_read_without_the_channels_that_hide_the_others(train: bool) -> None:
    net, taps, sigma = token_case(train)
    if not train:
        net.sizes.copy_(torch.cat([t.abs().mean((0, 2, 3)) for t in taps]))
    keep = [[1, 1, 0, 1, 1, 1, 1, 1], [1] * 6]
    grid = (TOKENS[0] * PATCH - 1, TOKENS[1] * PATCH)
    expected = naive_tokens(net, taps, sigma, keep)[:, :, :grid[0]]
    torch.testing.assert_close(net(taps, sigma, grid), expected, rtol=0, atol=1e-10)
    assert [kept.tolist() for kept in net.kept()] == keep


def test_the_sizes_of_channels_are_means_over_all_batches_of_a_training() -> None:
    net, taps, sigma = token_case(True)
    for factor in (1.0, 2.0, 6.0):
        net([tap * factor for tap in taps], sigma, (10, 8))
    torch.testing.assert_close(net.sizes, 3 * torch.cat([t.abs().mean((0, 2, 3)) for t in taps]))
    before = net.sizes.clone()
    net.eval()(taps, sigma, (10, 8))
    assert torch.equal(net.sizes, before) and int(net.batches) == 3


def test_which_network_it_is_follows_from_what_is_read() -> None:
    assert isinstance(guidance_predictor((4, 4), 4, None), EdgePredictor)
    made = guidance_predictor((4, 4), 16, 2)
    assert isinstance(made, TokenPredictor) and made.read.last.out_features == 64
