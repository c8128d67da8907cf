"""TAESD: the host's small autoencoder, a picture in 0..1 to a latent of an eighth of its size."""

from __future__ import annotations

import torch
from torch import nn

WIDTH = 64


def conv(channels: int, out: int, stride: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=bias)


class Clamp(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x / 3) * 3


class Block(nn.Module):
    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.conv = nn.Sequential(conv(width, width), nn.ReLU(), conv(width, width), nn.ReLU(), conv(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.conv(x) + x)


def down() -> list[nn.Module]:
    return [conv(WIDTH, WIDTH, stride=2, bias=False), Block(), Block(), Block()]


def up() -> list[nn.Module]:
    return [Block(), Block(), Block(), nn.Upsample(scale_factor=2), conv(WIDTH, WIDTH, bias=False)]


class Vae(nn.Module):
    """mean, std: of the encoder's output over the world; ``latents`` and ``pictures`` work on standardised latents."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.taesd_encoder = nn.Sequential(conv(3, WIDTH), Block(), *down(), *down(), *down(), conv(WIDTH, channels))
        self.taesd_decoder = nn.Sequential(Clamp(), conv(channels, WIDTH), nn.ReLU(), *up(), *up(), *up(), Block(),
                                           conv(WIDTH, 3))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    def latents(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures [B, 3, 8h, 8w] in 0..1 to standardised latents [B, C, h, w]."""
        return (self.taesd_encoder(pictures).float() - self.mean) / self.std

    def pictures(self, latents: torch.Tensor) -> torch.Tensor:
        """Standardised latents to pictures, clamped to 0..1."""
        return self.taesd_decoder(latents * self.std + self.mean).float().clamp(0, 1)
