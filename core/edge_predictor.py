"""Method: Sketch-Guided Text-to-Image Diffusion, arXiv 2211.13752. Written from the paper; no code copied.

The latent guidance predictor: a small network that reads a model's block outputs at one pixel, or one token, and
says what the encoding of a spatial map (edges, depth, ...) of the finished picture is there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from .noise import EPS, FLOW, NoiseLaw

WIDTHS = (512, 256, 128, 64)
READ = 256  # what is left of all blocks of a token
SINES = 10
HUGE = 20.0  # times the median: a channel that hides the others


def noise_features(sigma: torch.Tensor, law: NoiseLaw = EPS) -> torch.Tensor:
    """The noise level as the predictor reads it: [B] to [B, 1 + SINES].

    tau = sqrt(1 - alpha_bar), or the time of a flow, then sin(2 pi tau 2^-l) for l = 0..9. The paper says
    "t and its positional encoding"; a scalar is all that is known while sampling.
    """
    tau = law.time(sigma)
    powers = 2.0 ** -torch.arange(SINES, device=sigma.device, dtype=sigma.dtype)
    return torch.cat((tau[:, None], torch.sin(2 * math.pi * tau[:, None] * powers)), 1)


class EdgePredictor(nn.Module):
    """Per pixel: in -> 512 -> 256 -> 128 -> 64 -> latent channels; Linear, ReLU, BatchNorm, the last plain.

    channels: those of each tap, in order. law: of the model whose levels it reads.

    The paper resizes all taps to the latent's grid and joins them (9280 channels for SD1.x) before the first
    layer. Resizing and that layer are both linear, so here the layer comes first, at each tap's own size, taps
    of one size are summed, and only the sums' 512 channels are resized: the same numbers in a twentieth of the
    memory.
    """

    def __init__(self, channels: Sequence[int], latent_channels: int = 4, widths: Sequence[int] = WIDTHS,
                 law: NoiseLaw = EPS) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.law = law
        sizes = (sum(self.channels) + 1 + SINES, *widths)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))
        self.norms = nn.ModuleList(nn.BatchNorm1d(width) for width in widths)
        self.last = nn.Linear(widths[-1], latent_channels)

    def forward(self, taps: Sequence[torch.Tensor], sigma: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Taps [B, C_k, h_k, w_k] and noise levels [B] to the encoding of the map [B, 4, h, w]."""
        x = self._first(taps, sigma, grid).permute(0, 2, 3, 1).flatten(0, 2)  # pixels of all images: one batch
        x = self.norms[0](F.relu(x))
        for layer, norm in zip(list(self.layers)[1:], list(self.norms)[1:], strict=True):
            x = norm(F.relu(layer(x)))
        return self.last(x).unflatten(0, (len(sigma), *grid)).permute(0, 3, 1, 2)

    def _first(self, taps: Sequence[torch.Tensor], sigma: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """The first layer [B, 512, h, w], before its ReLU."""
        first = self.layers[0]
        assert isinstance(first, nn.Linear)
        *weights, of_noise = first.weight.split((*self.channels, 1 + SINES), 1)
        total = F.linear(noise_features(sigma.to(of_noise.dtype), self.law), of_noise, first.bias)[:, :, None, None]
        by_size: dict[torch.Size, torch.Tensor] = {}
        for tap, weight in zip(taps, weights, strict=True):
            seen = (weight @ tap.to(weight.dtype).flatten(2)).unflatten(2, tap.shape[-2:])
            known = by_size.get(tap.shape[-2:])
            by_size[tap.shape[-2:]] = seen if known is None else known + seen
        for seen in by_size.values():
            total = total + resized(seen, grid)
        return total


class TokenPredictor(nn.Module):
    """Of a transformer, whose blocks all have one grid of tokens: an EdgePredictor on what one layer reads of them.

    phi = LN(h keep) at each block. keep leaves out the few channels that are huge at every token and hide the rest
    (DiTF, arXiv 2505.18584): those whose mean |h| in training is over ``HUGE`` times the median of the block's. A
    token's answer are its patch x patch latent pixels. sizes: mean |h| of each channel, over that many batches.
    """

    sizes: torch.Tensor
    batches: torch.Tensor

    def __init__(self, channels: Sequence[int], latent_channels: int, patch: int, law: NoiseLaw = FLOW) -> None:
        super().__init__()
        self.channels, self.patch, self.law = tuple(channels), patch, law
        self.project = nn.Linear(sum(self.channels), READ)
        self.read = EdgePredictor((READ,), latent_channels * patch ** 2, law=law)
        self.register_buffer("sizes", torch.zeros(sum(self.channels)))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    def forward(self, taps: Sequence[torch.Tensor], sigma: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Taps [B, C_k, h / patch, w / patch] and noise levels [B] to the encoding of the map [B, C, h, w]."""
        tokens = [tap.to(self.sizes.dtype).movedim(1, -1) for tap in taps]
        if self.training:
            self._measure(tokens)
        phi = [F.layer_norm(h * keep, h.shape[-1:]) for h, keep in zip(tokens, self.kept(), strict=True)]
        read = self.project(torch.cat(phi, -1)).movedim(-1, 1)
        answer = self.read([read], sigma, (int(read.shape[-2]), int(read.shape[-1])))
        return F.pixel_shuffle(answer, self.patch)[..., :grid[0], :grid[1]]

    def kept(self) -> list[torch.Tensor]:
        """Of each tap which channels are read, [C_k] of 0 and 1."""
        return [(size <= HUGE * size.median()).to(size) for size in self.sizes.split(self.channels)]

    @torch.no_grad()
    def _measure(self, tokens: Sequence[torch.Tensor]) -> None:
        """A batch more in the mean. tokens: [B, h, w, C_k]."""
        self.batches += 1
        self.sizes += (torch.cat([h.abs().mean((0, 1, 2)) for h in tokens]) - self.sizes) / self.batches


GuidancePredictor = EdgePredictor | TokenPredictor


def guidance_predictor(channels: Sequence[int], latent_channels: int, patch: int | None, law: NoiseLaw = EPS,
                       ) -> GuidancePredictor:
    """For taps of these channels. patch: latent pixels a side of one token; None for maps of several sizes."""
    if patch is None:
        return EdgePredictor(channels, latent_channels, law=law)
    return TokenPredictor(channels, latent_channels, patch, law)


def resized(x: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """[B, C, h', w'] bilinearly to [B, C, h, w]."""
    return x if x.shape[-2:] == grid else F.interpolate(x, size=grid, mode="bilinear", align_corners=False)
