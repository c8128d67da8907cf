"""Train the world's UNet and text encoder together on VAE latents of rendered scenes.

Epsilon prediction on Stable Diffusion's schedule, one caption in ten left empty for classifier-free
guidance. The weight of a noise level is min-SNR's (Hang et al. 2023, gamma 5) at low noise and
grows at high noise, where what goes where is decided and the epsilon loss hardly speaks. Beside it
token_supervision.py asks that a thing's words are read where the thing is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import torch

from .caption import caption
from .draw import LATENT_PX
from .feed import ahead
from .nets import build_unet, build_vae
from .render import render
from .scene import CANVAS_PX, CREATURES, Scene, sample_scene
from .text import TextEncoder, Words
from .token_supervision import Places, SupervisedAttention, places, supervision_loss
from .training import (
    Log,
    MovingAverage,
    autocast,
    learning_rate,
    resume,
    save_state,
    save_training,
    seed_step,
)

BATCH = 16
PEAK_LR = 6e-4
SAVE_EVERY = 250
CHUNK = 64
EMPTY_CAPTIONS = 0.1
MIN_SNR_GAMMA = 5.0
SUPERVISION = 0.01
SNR_OF_SIGHT = 0.05  # a thing covers some 25 latent cells: it shows through far more noise than one cell would
MOST_THINGS = 4


@dataclass(frozen=True)
class Scenes:
    """Training scenes by their number; ``creatures`` is the share of those that show any."""

    seed: int
    creatures: float = CREATURES

    def __getitem__(self, index: int) -> Scene:
        return sample_scene(Random(f"{self.seed}/scene/{index}"), self.creatures)


@dataclass(frozen=True, eq=False)
class Pictures:
    """latents: float16 [N, 4, h, w]. coverage: uint8 [N, 4, h, w], of each thing in 255ths of a latent cell."""

    latents: torch.Tensor
    coverage: torch.Tensor

    def __len__(self) -> int:
        return len(self.latents)


def encode_scenes(folder: Path, vae_weights: dict[str, torch.Tensor], count: int, scenes: Scenes,
                  device: torch.device) -> Pictures:
    """The first ``count`` scenes; kept in ``folder``."""
    path = folder / f"scenes-{count}-{scenes.seed}-{scenes.creatures:g}.pt"
    if not path.exists():
        save_state(path, vars(_encoded(folder, vae_weights, count, scenes, device)))
    return Pictures(**torch.load(path, weights_only=True))


@torch.inference_mode()
def _encoded(folder: Path, vae_weights: dict[str, torch.Tensor], count: int, scenes: Scenes,
             device: torch.device) -> Pictures:
    vae = build_vae()
    vae.load_state_dict(vae_weights, strict=False)  # a checkpoint leaves out the host's own scale and shift
    encoder = vae.taesd_encoder.to(device, memory_format=torch.channels_last)
    log = Log(folder / "training.log", "latents", count)
    latents, coverage = [], []
    for done, (x, covers) in enumerate(ahead(partial(rendered, scenes, count), range(0, count, CHUNK)), 1):
        with autocast(device):
            z = encoder((x.to(device).permute(0, 3, 1, 2).float() / 255).contiguous(memory_format=torch.channels_last))
        latents.append(z.to("cpu", torch.float16))
        coverage.append(covers)
        if done % 100 == 0:
            log.show(done * CHUNK)
    return Pictures(torch.cat(latents), torch.cat(coverage))


def rendered(scenes: Scenes, count: int, start: int) -> tuple[torch.Tensor, torch.Tensor]:
    """CHUNK scenes from ``start`` on, fewer before ``count``: pictures uint8 [n, H, W, 3] and coverage [n, 4, h, w]."""
    drawn = [render(scenes[i]) for i in range(start, min(start + CHUNK, count))]
    covers = [covered(masks, CANVAS_PX // LATENT_PX) for _, masks in drawn]
    return torch.from_numpy(np.stack([picture for picture, _ in drawn])), torch.stack(covers)


def covered(masks: np.ndarray, side: int) -> torch.Tensor:
    """Masks bool [things, H, W] as shares of latent cells: uint8 [4, side, side]."""
    out = torch.zeros(MOST_THINGS, side, side, dtype=torch.uint8)
    if len(masks):
        shares = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(masks).float(), side)
        out[:len(masks)] = (255 * shares).round().to(torch.uint8)
    return out


def alphas_cumprod() -> torch.Tensor:
    """Stable Diffusion's scaled-linear schedule, float32 [1000]."""
    betas = torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float()


def loss_weight(snr: torch.Tensor) -> torch.Tensor:
    """Weight of the epsilon loss at signal-to-noise ratio ``snr``, any shape.

    min(1, 5 / snr) is min-SNR. sqrt(1 + 1 / snr) keeps the gradient of what cannot yet be seen in the
    noisy picture equal at every level: the epsilon error of a given error in the picture is sqrt(snr) of it.
    """
    return (MIN_SNR_GAMMA / snr).clamp(max=1.0) * (1 + 1 / snr).sqrt()


def losses(unet, context: torch.Tensor, latents: torch.Tensor, where: Places,
           schedule: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted epsilon loss and supervision loss of one batch of latents [B, 4, h, w].

    Noisy levels come more often (density 2t): what goes where is decided there, and clean edges are learnt fast.
    Nobody can say where a thing will be while noise hides it, so the supervision fades out there.
    """
    t = (1000 * torch.rand(len(latents), device=latents.device).sqrt()).long()
    alpha = schedule[t][:, None, None, None]
    noise = torch.randn_like(latents)
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    attention = SupervisedAttention(where.tokens)
    predicted = unet(noisy, t, context, transformer_options={"optimized_attention_override": attention})
    snr = (alpha / (1 - alpha)).flatten()
    denoising = loss_weight(snr) * (predicted.float() - noise).square().mean((1, 2, 3))
    seen = (snr / SNR_OF_SIGHT).clamp(max=1.0)
    return denoising.mean(), (seen * supervision_loss(attention.read, where)).mean()


def batch(pictures: Pictures, words: Words, scenes: Scenes, size: int,
          step: int) -> tuple[torch.Tensor, torch.Tensor, Places]:
    """Latents [B, 4, h, w], caption rows [B, 77] and places of one step; the same for the same step."""
    rng = Random(f"{scenes.seed}/unet/{step}")
    indices = [rng.randrange(len(pictures)) for _ in range(size)]
    shown = [scenes[i] for i in indices]
    rows = words.rows(["" if rng.random() < EMPTY_CAPTIONS else caption(s, rng) for s in shown])
    where = places(words, rows, shown, pictures.coverage[indices].float() / 255)
    return pictures.latents[indices].float(), rows, where


def learning_rate_at(step: int, rounds: Sequence[int], peak: float = PEAK_LR) -> float:
    """Each round of so many steps is a warm-up and a cosine of its own."""
    for steps in rounds:
        if step < steps:
            return learning_rate(step, steps, peak, 200)
        step -= steps
    raise ValueError("step lies after the last round")


def train_unet(folder: Path, pictures: Pictures, rounds: Sequence[int], scenes: Scenes, device: torch.device,
               peak: float = PEAK_LR, begin: dict[str, torch.Tensor] | None = None,
               size: int = BATCH) -> dict[str, torch.Tensor]:
    """Train (or go on training) UNet and text encoder; returns the averaged weights.

    ``begin``: weights to begin with instead of chance. ``size``: pictures a step.
    """
    torch.manual_seed(scenes.seed)
    steps = sum(rounds)
    words = Words()
    net = torch.nn.ModuleDict({"unet": build_unet(), "text": TextEncoder(len(words.ids) + 1)})
    net.to(device, memory_format=torch.channels_last if device.type == "cuda" else torch.preserve_format)
    if begin is not None:
        net.load_state_dict(begin)
    optimiser = torch.optim.AdamW(net.parameters(), lr=peak, weight_decay=0.01, betas=(0.9, 0.99), fused=True)
    average = MovingAverage(net, 0.998)
    schedule = alphas_cumprod().to(device)
    log = Log(folder / "training.log", "unet", steps)
    path = folder / "unet.pt"
    todo = range(resume(path, net, optimiser, average), steps)
    for step, found in zip(todo, ahead(partial(batch, pictures, words, scenes, size), todo), strict=True):
        seed_step(scenes.seed, step)
        x, rows, where = (part.to(device) for part in found)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate_at(step, rounds, peak)
        with autocast(device):
            denoising, supervision = losses(net["unet"], net["text"](rows), x, where, schedule)
        optimiser.zero_grad(set_to_none=True)
        (denoising + SUPERVISION * supervision).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        average.update(net, step)
        if (step + 1) % 50 == 0:
            log.show(step + 1, loss=float(denoising.detach()), supervision=float(supervision.detach()))
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            save_training(path, net, optimiser, average, step + 1)
    return average.values
