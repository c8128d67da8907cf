"""Which noise law a model is sampled under, and what depends on it where the host's scaling is met."""

from __future__ import annotations

from typing import Any

import torch
from comfy.model_sampling import CONST, ModelSamplingDiscrete, ModelSamplingDiscreteEDM

from ...core.noise import EPS, FLOW, NoiseLaw

TIMESTEPS = 1000


def noise_law(sampling: Any) -> NoiseLaw:
    """The law of a model's ``model_sampling``: FLOW for the host's CONST, EPS for all its other kinds."""
    return FLOW if isinstance(sampling, CONST) else EPS


def noise_for(sampling: Any, x: torch.Tensor, latent: torch.Tensor, sigma: float, largest: bool) -> torch.Tensor:
    """The noise from which the host's own scaling makes x [B, C, h, w] at a level, over ``latent``.

    largest: the run begins at the model's highest level, where diffusion scales by sqrt(1 + sigma^2).
    """
    law = noise_law(sampling)
    size = law.noise(sigma) * getattr(sampling, "noise_scale", 1.0) if law is FLOW else sigma
    if largest and law is EPS:
        size = law.power(sigma) ** 0.5
    return (x - law.signal(sigma) * latent) / size


def random_sigmas(sampling: Any, count: int, generator: torch.Generator) -> torch.Tensor:
    """Noise levels [count] on the CPU, each part of the model's timesteps alike."""
    steps = torch.randint(TIMESTEPS, (count,), generator=generator)
    if isinstance(sampling, ModelSamplingDiscrete) and not isinstance(sampling, ModelSamplingDiscreteEDM):
        return sampling.sigma(steps.float()).float()
    # Timesteps of other kinds run from 0 to 1, or are logarithms; all kinds keep a table of their levels.
    levels: Any = sampling
    table = levels.sigmas.float().cpu()
    return table[(2 * steps + 1) * len(table) // (2 * TIMESTEPS)]
