"""Generate in plain torch, for a first look on a machine without the host. Numbers are made through the host."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from .caption import Caption
from .course import autocast
from .data import LAYOUTS
from .nets.vae import Vae
from .storage import SHIFT
from .train_models import schedule
from .words import words


@torch.no_grad()
def generate(model: str, net: nn.ModuleDict, vae: Vae, captions: Sequence[Caption], seed: int, steps: int,
             cfg: float = 4.0) -> torch.Tensor:
    """Pictures [B, 3, 256, 256] in 0..1 of the captions; each starts from the noise of its own number."""
    device = next(net.parameters()).device
    noise = [torch.randn(vae.channels, 32, 32, generator=torch.Generator().manual_seed(seed + i))
             for i in range(len(captions))]
    rows = torch.from_numpy(words(LAYOUTS[model]).encode([*captions, *([None] * len(captions))])[0]).long().to(device)
    x = torch.stack(noise).to(device)
    way = flow if model == "transformer" else ddim
    with autocast(device):
        return vae.pictures(way(net["model"], x, net["text"](rows), steps, cfg))


def guided(net: nn.Module, x: torch.Tensor, time: float, context: torch.Tensor, cfg: float) -> torch.Tensor:
    """Classifier-free guidance; the second half of ``context`` is the empty caption's."""
    out, _ = net(torch.cat([x, x]), torch.full((2 * len(x),), time, device=x.device), context)
    named, empty = out.float().chunk(2)
    return empty + cfg * (named - empty)


def flow(net: nn.Module, x: torch.Tensor, context: torch.Tensor, steps: int, cfg: float) -> torch.Tensor:
    """Euler steps from noise to latents, levels shifted as the host's are."""
    levels = torch.linspace(1, 0, steps + 1)
    levels = SHIFT * levels / (1 + (SHIFT - 1) * levels)
    for now, after in zip(levels[:-1].tolist(), levels[1:].tolist(), strict=True):
        x = x + (after - now) * guided(net, x, now, context, cfg)
    return x


def ddim(net: nn.Module, x: torch.Tensor, context: torch.Tensor, steps: int, cfg: float) -> torch.Tensor:
    """DDIM on Stable Diffusion's schedule, evenly spaced."""
    alphas = torch.cat([torch.ones(1), schedule()])  # the level after the last step is clean
    levels = torch.linspace(1000, 0, steps + 1).round().long().tolist()
    for now, after in zip(levels[:-1], levels[1:], strict=True):
        noise = guided(net, x, float(now - 1), context, cfg)
        here, there = float(alphas[now]), float(alphas[after])
        clean = (x - (1 - here) ** 0.5 * noise) / here ** 0.5
        x = there ** 0.5 * clean + (1 - there) ** 0.5 * noise
    return x
