"""Train the UNet and the transformer, each with its text encoder, on latents of rendered scenes.

Both learn, beside denoising, that the words of a thing are read where the thing is (after TokenCompose, Wang et al.
2023, arXiv 2312.03626, written from its idea): large models learn it from hundreds of millions of captions.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .course import Budget, Course, Log, autocast, compile_blocks
from .data import LAYOUTS, Batch, TrainingSet
from .words import PARTS

SUPERVISION = 0.01
HIDDEN = re.compile(r"attn|mlp|\.linear[12]\.|\.ff\.|SelfAttention\.[qkvo]\.|Dense")
CORNERS = ((0, 0), (8, 0), (0, 8))  # of reference pictures, in tokens: the first one's, and where a second one may be
EPS = 1e-4
MIN_SNR_GAMMA = 5.0
SHIFT = 2.2  # of the transformer's noise levels in training
SNR_OF_SIGHT = 0.05  # a thing covers many latent cells: it shows through far more noise than one cell would


def reading_loss(reads: list[torch.Tensor], batch: Batch) -> torch.Tensor:
    """Binary cross-entropy between reading and masks, inside and outside counted alike: [B].

    reads: float [B, N, PARTS] of each supervised layer. Parts that no token names do not count.
    """
    named = batch.tokens.amax(1)
    total = named.new_zeros(len(named))
    masks: dict[int, torch.Tensor] = {}
    for read in reads:
        side = round(read.shape[1] ** 0.5)
        if side not in masks:
            masks[side] = F.adaptive_avg_pool2d(batch.masks, side).flatten(2).transpose(1, 2)
        mask, share = masks[side], read.clamp(0, 1)
        inside = -(mask * (share + EPS).log()).sum(1) / (mask.sum(1) + 1e-3)
        outside = -((1 - mask) * (1 - share + EPS).log()).sum(1) / ((1 - mask).sum(1) + 1e-3)
        total = total + ((inside + outside) * named).sum(1) / PARTS
    return total / max(1, len(reads))


def flow_losses(net: nn.Module, batch: Batch,
                corner: tuple[int, int] = (0, 0)) -> tuple[torch.Tensor, torch.Tensor]:
    """Rectified flow: from noise to latents on a straight line, the velocity the target; and the reading loss.

    corner: where the grid of the batch's reference pictures begins, if it has any.
    """
    clean = batch.latents
    u = torch.sigmoid(torch.randn(len(clean), device=clean.device))
    sigma = SHIFT * u / (1 + (SHIFT - 1) * u)
    noise = torch.randn_like(clean)
    share = sigma[:, None, None, None]
    velocity, reads = net["model"]((1 - share) * clean + share * noise, sigma, net["text"](batch.rows), batch.tokens,
                                   batch.reference, corner)
    seen = ((1 - sigma) / sigma / 0.25).clamp(max=1.0)
    return F.mse_loss(velocity.float(), noise - clean), (seen * reading_loss(reads, batch)).mean()


def schedule() -> torch.Tensor:
    """Stable Diffusion's scaled-linear schedule: products of alphas, float32 [1000]."""
    betas = torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float()


def noise_losses(net: nn.Module, batch: Batch, alphas: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Epsilon prediction on Stable Diffusion's schedule; and the reading loss.

    Noisy levels come more often (density 2t). min(1, 5 / snr) is min-SNR (Hang et al. 2023); sqrt(1 + 1 / snr) keeps
    the gradient of what cannot be seen in the noisy latents equal at every level.
    """
    clean = batch.latents
    step = (1000 * torch.rand(len(clean), device=clean.device).sqrt()).long().clamp(max=999)
    alpha = alphas[step][:, None, None, None]
    noise = torch.randn_like(clean)
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    predicted, reads = net["model"](noisy, step, net["text"](batch.rows), batch.tokens)
    snr = (alpha / (1 - alpha)).flatten()
    weight = (MIN_SNR_GAMMA / snr).clamp(max=1.0) * (1 + 1 / snr).sqrt()
    denoising = (weight * (predicted.float() - noise).square().mean((1, 2, 3))).mean()
    return denoising, ((snr / SNR_OF_SIGHT).clamp(max=1.0) * reading_loss(reads, batch)).mean()


def begin_with(net: nn.Module, weights: dict[str, torch.Tensor], log: Log) -> None:
    """Take over what fits of other weights, by name and shape; the rest begins by chance."""
    own = net.state_dict()
    fits = {key: value for key, value in weights.items() if key in own and own[key].shape == value.shape}
    net.load_state_dict(own | {key: value.float() for key, value in fits.items()})
    log.say(f"begun with {len(fits)} of {len(own)} tensors")


def hidden_matrices(net: nn.Module) -> list[nn.Parameter]:
    """The weights of attention and feed-forward layers, those of the text encoder among them."""
    return [value for name, value in net.named_parameters() if value.ndim == 2 and HIDDEN.search(name)]


def warm_up(name: str, net: nn.ModuleDict, batch: int, device: torch.device) -> str:
    """A few steps at full size on random data, to fill the compiler's cache; returns where the last one's time went."""
    net.to(device, memory_format=torch.channels_last if name == "unet" else torch.preserve_format)
    compile_blocks(net["model"].blocks(), device)
    for reference in (False, True) if name == "transformer" else (False,):
        practise(name, net, batch, device, reference)
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=kinds) as found:
        practise(name, net, batch, device, False)
    return found.key_averages().table(sort_by=f"self_{'device' if len(kinds) > 1 else 'cpu'}_time_total", row_limit=30)


def practise(name: str, net: nn.ModuleDict, batch: int, device: torch.device, reference: bool) -> None:
    """One step forward and back on random data."""
    layout, channels = LAYOUTS[name], net["model"].config.channels

    def noise(side: int) -> torch.Tensor:
        return torch.randn(batch, channels, side, side, device=device)

    lesson = Batch(noise(32), torch.zeros(batch, layout.length, dtype=torch.int64, device=device),
                   torch.zeros(batch, layout.length, PARTS, device=device),
                   torch.rand(batch, PARTS, 32, 32, device=device), noise(16) if reference else None)
    with autocast(device):
        denoising, reading = (flow_losses(net, lesson) if name == "transformer"
                              else noise_losses(net, lesson, schedule().to(device)))
    (denoising + SUPERVISION * reading).backward()


def train_model(folder: Path, name: str, net: nn.ModuleDict, data: TrainingSet, budget: Budget, log: Log,
                batch: int, seed: int, begin: dict[str, torch.Tensor] | None = None) -> dict[str, Any]:
    """Train (or go on training) ``net`` ("model" and "text"); returns the averaged weights."""
    device = data.latents.device
    last = name == "unet" and device.type == "cuda"
    net.to(device, memory_format=torch.channels_last if last else torch.preserve_format)
    if begin is not None:
        begin_with(net, begin, log)
    # The UNet has hundreds of small matrices: to make each one's step orthogonal would take longer than the step.
    hidden = hidden_matrices(net) if name == "transformer" else []
    course = Course(folder, name, net, budget, log, seed, hidden=hidden)
    compile_blocks(net["model"].blocks(), device)
    alphas = schedule().to(device)
    for step in course:
        lesson = data.batch(batch, referenced=name == "transformer" and step % 2 == 1)
        with autocast(device):
            denoising, reading = (flow_losses(net, lesson, CORNERS[step // 2 % len(CORNERS)])
                                  if name == "transformer" else noise_losses(net, lesson, alphas))
        course.learn(denoising + SUPERVISION * reading)
        course.tell(loss=denoising, reading=reading)
    return course.finish()
