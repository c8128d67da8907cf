"""Train the world's TAESD on crops of rendered pictures, in two stages.

The first three latent channels are pulled towards the picture at one eighth of its size: a latent
that is nearly a small picture is easy to diffuse. The pull is firm in the first stage, which finds
the layout of the latent, and loose in the second, which leaves room for corners and patterns (the
first stage alone reached 28.9 dB and blurred both).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F

from .feed import ahead
from .nets import build_vae
from .render import render
from .scene import sample_scene
from .training import Log, MovingAverage, autocast, learning_rate, resume, save_training, seed_step

CROP_PX = 64
BATCH = 16
PEAK_LR = 1.2e-3
SAVE_EVERY = 500
LATENT_GAIN = 2.2


@dataclass(frozen=True)
class Stage:
    """One warm-up and cosine of the learning rate, and the weights of the latent terms in it."""

    steps: int
    pull: float
    spare_channel: float
    noise: float


STAGES = (Stage(2800, 0.05, 0.004, 0.12), Stage(2600, 0.006, 0.0004, 0.05))


def stages_of(steps: int) -> tuple[Stage, ...]:
    """STAGES, their steps shortened or lengthened alike to ``steps`` together."""
    whole = sum(stage.steps for stage in STAGES)
    return tuple(replace(stage, steps=round(stage.steps * steps / whole)) for stage in STAGES)


def stage_at(step: int, stages: Sequence[Stage] = STAGES) -> tuple[Stage, int]:
    """The stage that ``step`` belongs to, and its number of steps into it."""
    for stage in stages:
        if step < stage.steps:
            return stage, step
        step -= stage.steps
    raise ValueError("step lies after the last stage")


def crops(seed: int, count: int, step: int) -> torch.Tensor:
    """A step's crops of fresh pictures: [count, 3, CROP_PX, CROP_PX] in 0..1, two from a picture."""
    rng = Random(f"{seed}/vae/{step}")
    out = []
    while len(out) < count:
        picture, masks = render(sample_scene(rng))
        seen = masks.any(0)
        for _ in range(2):
            x, y = (rng.randrange(0, picture.shape[0] - CROP_PX + 1) for _ in range(2))
            if seen[y:y + CROP_PX, x:x + CROP_PX].mean() > 0.04:
                out.append(picture[y:y + CROP_PX, x:x + CROP_PX])
    batch = np.stack(out[:count]).astype(np.float32) / 255
    return torch.from_numpy(batch).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def edge_loss(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """L1 between the horizontal and vertical differences of two pictures: keeps edges crisp."""
    across = (a.diff(dim=-1) - b.diff(dim=-1)).abs().mean()
    return across + (a.diff(dim=-2) - b.diff(dim=-2)).abs().mean()


def loss_terms(net: torch.nn.Module, x: torch.Tensor, stage: Stage) -> tuple[torch.Tensor, torch.Tensor]:
    """Reconstruction loss and latent loss of a batch in 0..1."""
    z = net.taesd_encoder(x)
    noisy = z + torch.randn_like(z) * (stage.noise * torch.rand(len(z), 1, 1, 1, device=z.device))
    y = net.taesd_decoder(noisy).float()
    reconstruction = F.l1_loss(y, x) + F.mse_loss(y, x) + edge_loss(y, x)
    small = (F.avg_pool2d(x, 8) - 0.5) * LATENT_GAIN
    z = z.float()
    latent = stage.pull * F.mse_loss(z[:, :3], small) + stage.spare_channel * z[:, 3].square().mean()
    return reconstruction, latent


def train_vae(folder: Path, seed: int, device: torch.device, steps: int | None = None,
              batch: int = BATCH) -> dict[str, torch.Tensor]:
    """Train (or go on training) the VAE; returns the averaged weights.

    steps: of all stages together, those of STAGES by default. batch: crops a step.
    """
    torch.manual_seed(seed)
    stages = stages_of(steps) if steps else STAGES
    steps = sum(stage.steps for stage in stages)
    net = build_vae().to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(net.parameters(), lr=PEAK_LR, weight_decay=0.0, betas=(0.9, 0.99))
    average = MovingAverage(net, 0.998)
    log = Log(folder / "training.log", "vae", steps)
    path = folder / "vae.pt"
    todo = range(resume(path, net, optimiser, average), steps)
    for step, x in zip(todo, ahead(partial(crops, seed, batch), todo), strict=True):
        seed_step(seed, step)
        stage, local_step = stage_at(step, stages)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(local_step, stage.steps, PEAK_LR, 100)
        with autocast(device):
            reconstruction, latent = loss_terms(net, x.to(device), stage)
        optimiser.zero_grad(set_to_none=True)
        (reconstruction + latent).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        average.update(net, step)
        if (step + 1) % 100 == 0:
            log.show(step + 1, reconstruction=float(reconstruction.detach()), latent=float(latent.detach()))
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == steps:
            save_training(path, net, optimiser, average, step + 1)
    return average.values
