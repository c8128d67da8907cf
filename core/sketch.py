"""Method: Sketch-Guided Text-to-Image Diffusion, arXiv 2211.13752. Written from the paper; no code copied.

What the guidance computes, without a network: how far to go, where, and how near it came.
"""

from __future__ import annotations

import math

import torch

from .noise import NoiseLaw, euler_step

TINY = 1e-12


def per_image_norm(x: torch.Tensor) -> torch.Tensor:
    """[B, C, h, w] to [B, 1, 1, 1]."""
    return x.flatten(1).norm(dim=1)[:, None, None, None]


def kappa(x: torch.Tensor, denoised: torch.Tensor, sigma: float, following: float, beta: float, law: NoiseLaw,
          where: torch.Tensor | None = None) -> torch.Tensor:
    """How far along the unit gradient the denoised prediction moves, [B, 1, 1, 1].

    The paper's alpha = beta ||z_t - z_(t-1)|| / ||g|| is a step of the state z = x / sqrt(power) after an
    Euler step, x_n = r x + (1 - r) D with r = n / s. As a change of D instead, which any sampler takes:
    beta sqrt(power_n) ||z_s - z_n|| / (1 - r). x, denoised: [B, C, h, w]. where: weights [B or 1, 1, h, w];
    with them the norm is that of the part the guidance may change.
    """
    scale, next_scale = math.sqrt(law.power(sigma)), math.sqrt(law.power(following))
    step = x / scale - euler_step(x, denoised, sigma, following) / next_scale
    if where is not None:
        step = step * where
    return beta * next_scale * per_image_norm(step) / (1 - following / sigma)


def guided(x: torch.Tensor, denoised: torch.Tensor, gradient: torch.Tensor, sigma: float, following: float,
           beta: float, law: NoiseLaw, where: torch.Tensor | None = None) -> torch.Tensor:
    """The denoised prediction moved against the gradient: D' = D - kappa g / ||g||, all [B, C, h, w]."""
    if where is not None:
        gradient = gradient * where
    direction = gradient / per_image_norm(gradient).clamp_min(TINY)
    return denoised - kappa(x, denoised, sigma, following, beta, law, where) * direction


def sketch_loss(predicted: torch.Tensor, wanted: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
    """Sum of squared differences; both [B, C, h, w], weight [B or 1, 1, h, w]."""
    difference = (predicted - wanted).square()
    return (difference if weight is None else difference * weight).sum()


def agreement(predicted: torch.Tensor, wanted: torch.Tensor, blank: torch.Tensor) -> torch.Tensor:
    """How much of the drawing is in the prediction, [B]: 1 all of it, 0 no more than in a blank sheet.

    The slope of the prediction on the drawing, both as differences from the encoding of an empty map.
    """
    drawn, found = (wanted - blank).flatten(1), (predicted - blank).flatten(1)
    return (drawn * found).sum(1) / drawn.square().sum(1).clamp_min(TINY)


def edge_map(encoded: torch.Tensor, blank: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """An encoding [B, C, h, w] as a picture of its lines [B, h, w] in 0..1: its distance from a blank sheet's."""
    def distance(z: torch.Tensor) -> torch.Tensor:
        return (z - blank).norm(dim=1)

    full = distance(wanted).flatten(1).quantile(0.98, dim=1)[:, None, None].clamp_min(TINY)
    return (distance(encoded) / full).clamp(0, 1)


def sketched_noise(noise: torch.Tensor, encoded: torch.Tensor, share: float) -> torch.Tensor:
    """Start noise that already leans towards the drawing, [B, C, h, w], of unit variance as before.

    sqrt(1 - share^2) noise + share e, with e the encoding brought to mean 0 and variance 1 per image
    and channel. The paper names "sketch inversion" as future work and gives no formula.
    """
    spread = encoded.std((-2, -1), keepdim=True).clamp_min(1e-6)
    centred = (encoded - encoded.mean((-2, -1), keepdim=True)) / spread
    return math.sqrt(1 - share ** 2) * noise + share * centred
