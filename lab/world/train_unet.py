"""Train the world's UNet and text encoder together on VAE latents of rendered scenes.

Epsilon prediction on Stable Diffusion's schedule, one caption in ten left empty for classifier-free
guidance. The weight of a noise level is min-SNR's (Hang et al. 2023, gamma 5) at low noise and
grows at high noise, where what goes where is decided and the epsilon loss hardly speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import torch

from .caption import caption
from .nets import build_unet, build_vae
from .render import render
from .scene import Scene, sample_scene
from .text import TextEncoder, Words
from .training import Log, MovingAverage, learning_rate, resume, save_state, save_training, seed_step

BATCH = 32
PEAK_LR = 6e-4
SAVE_EVERY = 250
EMPTY_CAPTIONS = 0.1
MIN_SNR_GAMMA = 5.0


def scene(seed: int, index: int) -> Scene:
    """Training scene ``index``; held-out scenes have negative indices."""
    return sample_scene(Random(f"{seed}/scene/{index}"))


@torch.inference_mode()
def encode_scenes(folder: Path, vae_weights: dict[str, torch.Tensor], count: int, seed: int,
                  device: torch.device) -> torch.Tensor:
    """Latents of the first ``count`` scenes, float16 [count, 4, 16, 16]; kept in ``folder``."""
    path = folder / f"latents-{count}.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    vae = build_vae()
    vae.load_state_dict(vae_weights)
    encoder = vae.taesd_encoder.to(device, memory_format=torch.channels_last)
    log = Log(folder / "training.log", "latents", count)
    out = []
    for start in range(0, count, 64):
        pictures = np.stack([render(scene(seed, i))[0] for i in range(start, min(start + 64, count))])
        x = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float().div_(255)
        with torch.autocast(device.type, torch.bfloat16):
            out.append(encoder(x.contiguous(memory_format=torch.channels_last)).to("cpu", torch.float16))
        if start % 6400 == 0:
            log.show(start)
    latents = torch.cat(out)
    save_state(path, latents)
    return latents


def alphas_cumprod() -> torch.Tensor:
    """Stable Diffusion's scaled-linear schedule, float32 [1000]."""
    betas = torch.linspace(0.00085 ** 0.5, 0.012 ** 0.5, 1000, dtype=torch.float64) ** 2
    return (1 - betas).cumprod(0).float()


def plain_attention(_backend, q, k, v, heads, *_args, **_kwargs):
    """Explicit attention: its backward is three times faster on a CPU than the fused kernels'."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    weights = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def loss_weight(snr: torch.Tensor) -> torch.Tensor:
    """Weight of the epsilon loss at signal-to-noise ratio ``snr``, any shape.

    min(1, 5 / snr) is min-SNR. sqrt(1 + 1 / snr) keeps the gradient of what cannot yet be seen in the
    noisy picture equal at every level: the epsilon error of a given error in the picture is sqrt(snr) of it.
    """
    return (MIN_SNR_GAMMA / snr).clamp(max=1.0) * (1 + 1 / snr).sqrt()


def denoising_loss(unet, context: torch.Tensor, latents: torch.Tensor, schedule: torch.Tensor) -> torch.Tensor:
    """Weighted epsilon loss of one batch of latents [B, 4, h, w]."""
    t = torch.randint(0, 1000, (len(latents),), device=latents.device)
    alpha = schedule[t][:, None, None, None]
    noise = torch.randn_like(latents)
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    options = {} if latents.is_cuda else {"optimized_attention_override": plain_attention}
    predicted = unet(noisy, t, context, transformer_options=options)
    weight = loss_weight((alpha / (1 - alpha)).flatten())
    return (weight * (predicted.float() - noise).square().mean((1, 2, 3))).mean()


def batch(latents: torch.Tensor, words: Words, step: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The latents [B, 4, h, w] and caption rows [B, 77] of one step; the same for the same step."""
    rng = Random(f"{seed}/unet/{step}")
    indices = [rng.randrange(len(latents)) for _ in range(BATCH)]
    texts = ["" if rng.random() < EMPTY_CAPTIONS else caption(scene(seed, i), rng) for i in indices]
    return latents[indices].float(), words.rows(texts)


def learning_rate_at(step: int, rounds: Sequence[int]) -> float:
    """Each round of so many steps is a warm-up and a cosine of its own."""
    for steps in rounds:
        if step < steps:
            return learning_rate(step, steps, PEAK_LR, 200)
        step -= steps
    raise ValueError("step lies after the last round")


def train_unet(folder: Path, latents: torch.Tensor, rounds: Sequence[int], seed: int,
               device: torch.device, compiled: bool = False) -> dict[str, torch.Tensor]:
    """Train (or go on training) UNet and text encoder; returns the averaged weights.

    ``compiled`` traces the UNet first: a few minutes at the start, steps a sixth shorter.
    """
    torch.manual_seed(seed)
    steps = sum(rounds)
    words = Words()
    net = torch.nn.ModuleDict({"unet": build_unet(), "text": TextEncoder(len(words.ids) + 1)}).to(device)
    optimiser = torch.optim.AdamW(net.parameters(), lr=PEAK_LR, weight_decay=0.01, betas=(0.9, 0.99),
                                  fused=True)
    unet = torch.compile(net["unet"]) if compiled else net["unet"]
    average = MovingAverage(net, 0.998)
    schedule = alphas_cumprod().to(device)
    log = Log(folder / "training.log", "unet", steps)
    path = folder / "unet.pt"
    first = resume(path, net, optimiser, average)
    for step in range(first, steps):
        seed_step(seed, step)
        x, rows = (part.to(device) for part in batch(latents, words, step, seed))
        for group in optimiser.param_groups:
            group["lr"] = learning_rate_at(step, rounds)
        with torch.autocast(device.type, torch.bfloat16):
            loss = denoising_loss(unet, net["text"](rows), x, schedule)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        average.update(net, step)
        if (step + 1) % 50 == 0:
            log.show(step + 1, loss=float(loss.detach()))
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            save_training(path, net, optimiser, average, step + 1)
    return average.values
