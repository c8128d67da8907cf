"""Latents and smooth networks for the tests of inversions, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

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
