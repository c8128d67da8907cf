"""What a noise level means: x = signal(sigma) x0 + noise(sigma) e, and what follows from it.

x: [B, C, h, w], a latent at noise level sigma. D: the prediction of x0 made from it, the denoised one. e: noise
of unit variance. What holds for every law, and so is written without one: Euler's step
x_n = r x + (1 - r) D with r = next / sigma.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class NoiseLaw:
    """How signal and noise are mixed at a level.

    power: the square of what x is divided by before the network reads it. The papers on diffusion write their
    formulas in that state, z = x / sqrt(power); of a flow it is x itself.
    """

    name: str
    signal: Callable[[float], float]
    noise: Callable[[float], float]
    power: Callable[[Any], Any]

    def mix(self, x0: torch.Tensor, noise: torch.Tensor, sigma: float) -> torch.Tensor:
        """x0 under noise: x."""
        return self.signal(sigma) * x0 + self.noise(sigma) * noise

    def noise_in(self, x: torch.Tensor, denoised: torch.Tensor, sigma: float) -> torch.Tensor:
        """The e that the prediction D leaves for x."""
        return (x - self.signal(sigma) * denoised) / self.noise(sigma)

    def rescale(self, x: torch.Tensor, sigma: float, to: float) -> torch.Tensor:
        """The x at another level from which the network reads the same z."""
        return x * (self.power(to) / self.power(sigma)) ** 0.5

    def time(self, sigma: Any) -> Any:
        """A level, or [B] of them, on a scale of 0 to 1: sqrt(1 - alpha-bar), or the time of a flow."""
        return sigma / self.power(sigma) ** 0.5

    def ancestral_scales(self, sigma: float, next_sigma: float) -> tuple[float, float]:
        """(share kept of what x has beside its signal, size of the fresh noise) of a DDPM step, eta 1.

        x_n = signal_n D + kept (x - signal D) + fresh z. With q = (noise_n / noise) (signal / signal_n), the
        posterior of x_n given x and x0 has mean signal_n x0 + noise_n q e and variance noise_n^2 (1 - q^2).
        """
        ratio = self.noise(next_sigma) / self.noise(sigma)
        q = ratio * (self.signal(sigma) / self.signal(next_sigma))
        return ratio * q, self.noise(next_sigma) * (1.0 - q * q) ** 0.5

    def ancestral_mean(self, x: torch.Tensor, denoised: torch.Tensor, sigma: float, next_sigma: float) -> torch.Tensor:
        """The mean of that step."""
        kept, _ = self.ancestral_scales(sigma, next_sigma)
        return self.signal(next_sigma) * denoised + kept * (x - self.signal(sigma) * denoised)


# Diffusion as the host scales it, whatever its networks predict (eps, v, EDM): sigma^2 = (1 - abar) / abar.
EPS = NoiseLaw("eps", lambda sigma: 1.0, lambda sigma: sigma, lambda sigma: 1.0 + sigma ** 2)
# Rectified flow: a straight line from the picture to noise, of which the network reads x as it is.
FLOW = NoiseLaw("flow", lambda sigma: 1.0 - sigma, lambda sigma: sigma, lambda sigma: 1.0 + 0.0 * sigma)


def euler_step(x: torch.Tensor, denoised: torch.Tensor, sigma: float, next_sigma: float) -> torch.Tensor:
    """x at the next level: r x + (1 - r) D with r = next / sigma (of every law; of diffusion, DDIM with eta 0)."""
    r = next_sigma / sigma
    return r * x + (1.0 - r) * denoised
