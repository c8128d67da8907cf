"""Noise and trajectories that lead back to a given picture, on plain callables.

Method: DDIM inversion and null-text inversion, arXiv 2211.09794; negative-prompt inversion, arXiv 2305.16807;
direct inversion, arXiv 2310.01506; edit-friendly DDPM inversion, arXiv 2304.06140; FireFlow, arXiv 2412.07517. Written
from the papers; no code copied.

The papers write z with alpha-bar; here x = z sqrt(power), and D(x, sigma) is the model's denoised prediction, of
whatever kind (noise.py). The direction that a step takes is (x - D) / sigma under every noise law.

    n: steps. sigmas: n + 1 noise levels, falling, the last 0. states: [n + 1, C, h, w], states[n] = x0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from .noise import NoiseLaw, euler_step

# (x [1, C, h, w], sigma) -> D [1, C, h, w]
Denoise = Callable[[torch.Tensor, float], torch.Tensor]
# (x, sigma, embedding [1, T, C]) -> D, differentiable by the embedding
DenoiseWith = Callable[[torch.Tensor, float, torch.Tensor], torch.Tensor]
Tell = Callable[[], None]

INNER_STEPS = 10
LARGEST_RATE = 0.01


def _silent() -> None:
    pass


def inverse_step(denoise: Denoise, x: torch.Tensor, sigma: float, higher: float, law: NoiseLaw) -> torch.Tensor:
    """x at a higher noise level, in the direction that the model gives when told the higher one (2211.09794, 3.1).

    The model is asked at ``higher`` about z of the level below: x is rescaled to it.
    """
    asked = law.rescale(x, sigma, higher)
    direction = (asked - denoise(asked, higher)) / higher
    return x + (higher - sigma) * direction


def ddim_inversion(denoise: Denoise, x0: torch.Tensor, sigmas: Sequence[float], law: NoiseLaw,
                   tell: Tell = _silent) -> torch.Tensor:
    """The states [n + 1, C, h, w] from x0 [1, C, h, w] up to the first noise level."""
    x, states = x0, [x0]
    for sigma, higher in zip(reversed(sigmas[1:]), reversed(sigmas[:-1]), strict=True):
        x = inverse_step(denoise, x, sigma, higher, law)
        states.append(x)
        tell()
    return torch.cat(states[::-1])


def midpoint_inversion(denoise: Denoise, x0: torch.Tensor, sigmas: Sequence[float],
                       tell: Tell = _silent) -> torch.Tensor:
    """The states of a flow [n + 1, C, h, w] from x0 [1, C, h, w] up, of second order at one evaluation a step.

    FireFlow (2412.07517): the direction in the middle of a step is taken for that at the beginning of the next. The
    first of all is asked for in the middle of its step, for x0 itself has no noise and so no direction.
    """
    x, states, direction = x0, [x0], None
    for sigma, higher in zip(reversed(sigmas[1:]), reversed(sigmas[:-1]), strict=True):
        middle = (sigma + higher) / 2
        if direction is None:
            direction = (x - denoise(x, middle)) / middle
        half = x + (middle - sigma) * direction
        direction = (half - denoise(half, middle)) / middle
        x = x + (higher - sigma) * direction
        states.append(x)
        tell()
    return torch.cat(states[::-1])


def fixed_noise(x0: torch.Tensor, sigmas: Sequence[float], noise: torch.Tensor, law: NoiseLaw) -> torch.Tensor:
    """The states [n + 1, C, h, w] of x0 under one noise [1, C, h, w]; the model is not asked.

    Of every law they lie on a straight line to x0, so the prediction that holds a run on them is x0.
    """
    return torch.cat([law.mix(x0, noise, sigma) for sigma in sigmas[:-1]] + [x0])


def state_at(states: torch.Tensor, sigmas: Sequence[float], sigma: float) -> torch.Tensor:
    """x* [1, C, h, w] at any noise level: linear in sigma between the stored ones and beyond the first."""
    last = len(sigmas) - 2
    k = next((i for i in range(last) if sigma >= sigmas[i + 1]), last)
    share = (sigma - sigmas[k + 1]) / (sigmas[k] - sigmas[k + 1])
    return (share * states[k] + (1.0 - share) * states[k + 1])[None]


def held_prediction(states: torch.Tensor, sigmas: Sequence[float], sigma: float, next_sigma: float) -> torch.Tensor:
    """The prediction D' that leads Euler's step from x*(sigma) to x*(next): (x*_n - r x*) / (1 - r).

    Direct inversion (2310.01506) adds x*_n - x_n to the source after each step; as a prediction, and with the
    source on x*, that is this. It does not look at x, so errors shrink by r a step under any solver, and the
    last step gives x0.
    """
    r = next_sigma / sigma
    here, there = state_at(states, sigmas, sigma), state_at(states, sigmas, next_sigma)
    return (there - r * here) / (1.0 - r)


def edit_friendly(denoise: Denoise, x0: torch.Tensor, sigmas: Sequence[float], noise: torch.Tensor, law: NoiseLaw,
                  tell: Tell = _silent) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """States [n + 1, ...], predictions [n, ...] and noise maps [n, ...] of a DDPM run that ends in x0.

    noise: [n, C, h, w], independent for each level (2304.06140, Alg. 1). The last step has no noise to absorb
    what the model misses, so its prediction is set to x0.
    """
    states = torch.cat([law.mix(x0, level[None], sigma)
                        for sigma, level in zip(sigmas[:-1], noise, strict=True)] + [x0])
    predictions, maps = [], []
    for k, (sigma, next_sigma) in enumerate(zip(sigmas, sigmas[1:], strict=False)):
        x = states[k:k + 1]
        denoised = denoise(x, sigma)
        tell()
        _, fresh = law.ancestral_scales(sigma, next_sigma)
        mean = law.ancestral_mean(x, denoised, sigma, next_sigma)
        z = (states[k + 1:k + 2] - mean) / fresh if fresh else torch.zeros_like(x)
        if fresh:
            states[k + 1:k + 2] = mean + fresh * z  # keeps rounding from adding up
        predictions.append(denoised if fresh else x0)
        maps.append(z)
    return states, torch.cat(predictions), torch.cat(maps)


def guided(conditional: torch.Tensor, unconditional: torch.Tensor, cfg: float) -> torch.Tensor:
    """Classifier-free guidance on predictions; the same line as on eps."""
    return unconditional + cfg * (conditional - unconditional)


def null_text(conditional: Denoise, unconditional: DenoiseWith, states: torch.Tensor, sigmas: Sequence[float],
              embedding: torch.Tensor, cfg: float, law: NoiseLaw, tell: Tell = _silent) -> torch.Tensor:
    """The unconditional embedding [n, T, C] of each step that keeps a guided run on the states.

    2211.09794, Alg. 1: a fresh Adam a step, the embedding carried on. Needs autograd switched on.
    """
    x, found = states[:1], []
    for i, (sigma, next_sigma) in enumerate(zip(sigmas, sigmas[1:], strict=False)):
        with torch.no_grad():
            aim = conditional(x, sigma)
        embedding = _optimised(unconditional, aim, x, states[i + 1:i + 2], sigma, next_sigma, embedding, cfg, law, i)
        with torch.no_grad():
            x = euler_step(x, guided(aim, unconditional(x, sigma, embedding), cfg), sigma, next_sigma)
        found.append(embedding)
        tell()
    return torch.cat(found)


def _optimised(unconditional: DenoiseWith, aim: torch.Tensor, x: torch.Tensor, target: torch.Tensor, sigma: float,
               next_sigma: float, embedding: torch.Tensor, cfg: float, law: NoiseLaw, step: int) -> torch.Tensor:
    """The embedding after at most INNER_STEPS of Adam towards the stored next state."""
    embedding = embedding.detach().clone().requires_grad_()
    adam = torch.optim.Adam([embedding], lr=LARGEST_RATE * max(0.01, 1.0 - step / 100.0))
    for _ in range(INNER_STEPS):
        reached = euler_step(x, guided(aim, unconditional(x, sigma, embedding), cfg), sigma, next_sigma)
        loss = (reached - target).square().mean() / law.power(next_sigma)  # in z, as the paper has it
        adam.zero_grad()
        loss.backward()
        adam.step()
        if float(loss.detach()) < 1e-5 + step * 2e-5:
            break
    return embedding.detach()
