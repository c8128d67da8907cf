"""Train one of the two autoencoders on crops of rendered scenes."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from .course import Budget, Course, Log, autocast
from .nets.vae import Vae
from .render import Renderer, SceneBatch, stack
from .scene import CANVAS_PX, Scenes

CROP_PX = 160
NOISE = 0.06  # on latents of about half a unit: what a model generates is never quite a latent of a picture
THINGS_COUNT = 2.0  # how much more the pixels of things weigh than the backdrop's


def losses(net: Vae, pictures: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Loss of crops [B, 3, h, w]. weight: float [B, 1, h, w] of the pixels, one on average."""
    latents = net.taesd_encoder(pictures)
    out = net.taesd_decoder(latents + NOISE * torch.randn_like(latents)).float()
    away = out - pictures
    edges = ((away.diff(dim=-1).abs() * weight[..., 1:]).mean()
             + (away.diff(dim=-2).abs() * weight[..., 1:, :]).mean())
    return ((away.abs() + 2 * away.square()) * weight).mean() + 0.6 * edges + 0.002 * latents.float().square().mean()


def crop(renderer: Renderer, scenes: SceneBatch, side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One random window of all the scenes, and the weight of its pixels."""
    rendered = renderer(scenes)
    x, y = (int(torch.randint(0, CANVAS_PX - side + 1, ())) for _ in range(2))
    seen = F.interpolate(rendered.cover.sum(1, keepdim=True), CANVAS_PX, mode="bilinear")
    weight = (1 + THINGS_COUNT * seen)[..., y:y + side, x:x + side]
    return rendered.pictures[..., y:y + side, x:x + side], weight / weight.mean()


def train_vae(folder: Path, name: str, net: Vae, renderer: Renderer, scenes: Scenes, budget: Budget, log: Log,
              batch: int, pool: int, side: int = CROP_PX) -> Vae:
    """Train (or go on training), then measure mean and deviation of the latents over ``pool`` / 8 scenes."""
    device = renderer.device
    net.to(device)
    if device.type == "cuda":
        net.to(memory_format=torch.channels_last)
    course = Course(folder, name, net, budget, log, scenes.seed, decay=0.0, betas=(0.9, 0.99))
    known = stack(scenes.some(0, pool)).to(device)
    for _ in course:
        index = torch.randint(0, pool, (batch,), device=device)
        pictures, weight = crop(renderer, SceneBatch(*(value[index] for value in vars(known).values())), side)
        with autocast(device):
            loss = losses(net, pictures, weight)
        course.learn(loss)
        course.tell(200, loss=loss)
    course.settle()
    measure(net, renderer, known[slice(0, max(2, pool // 8))])
    course.finish()
    unseen = stack(scenes.some(pool, pool + max(2, min(16, pool // 8))))
    log.say(f"{name}: {psnr(net, renderer, unseen):.2f} dB, mean {float(net.mean):.3f}, "
            f"deviation {float(net.std):.3f}")
    return net.eval()


@torch.no_grad()
def measure(net: Vae, renderer: Renderer, scenes: SceneBatch, batch: int = 64) -> None:
    """Set the mean and the deviation that standardise the latents."""
    with autocast(renderer.device):
        found = torch.cat([net.taesd_encoder(renderer(scenes[slice(start, start + batch)]).pictures).float()
                           for start in range(0, len(scenes), batch)])
    net.mean.copy_(found.mean())
    net.std.copy_(found.std())


@torch.no_grad()
def psnr(net: Vae, renderer: Renderer, scenes: SceneBatch) -> float:
    """Peak signal-to-noise ratio of a round trip, in decibels."""
    pictures = renderer(scenes).pictures
    with autocast(renderer.device):
        back = net.pictures(net.latents(pictures))
    return float(-10 * (back - pictures).square().mean().log10())
