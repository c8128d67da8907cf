"""Reference pictures as the vision tower sees them in training."""

from __future__ import annotations

import torch

# Shares of what stands behind a subject: noise, as the paper has it, or one flat tone, as a user's
# picture of the tiny world has; the rest is the black that pads a picture to a square.
NOISE, FLAT = 0.6, 0.3
SMALLEST = 0.5  # share of the frame's side that a subject fills at least


def placed(crops: torch.Tensor) -> torch.Tensor:
    """Crops [n, 4, S, S] at a random size and place within their frame; no turn, no flip: a coat has a direction."""
    scale = 1 / torch.empty(len(crops)).uniform_(SMALLEST, 1.0)
    room = (scale - 1)[:, None] * torch.empty(len(crops), 2).uniform_(-1.0, 1.0)
    theta = torch.zeros(len(crops), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = scale
    theta[:, :, 2] = room
    grid = torch.nn.functional.affine_grid(theta, list(crops.shape), align_corners=False)
    return torch.nn.functional.grid_sample(crops, grid, align_corners=False)


def backgrounds(count: int, size: int) -> torch.Tensor:
    """What stands behind each subject: [n, 3, S, S] in 0..1."""
    kind = torch.rand(count, 1, 1, 1)
    noise = torch.rand(count, 3, size, size)
    flat = torch.rand(count, 3, 1, 1).expand(-1, -1, size, size)
    return torch.where(kind < NOISE, noise, torch.where(kind < NOISE + FLAT, flat, torch.zeros_like(noise)))


def augmented(crops: torch.Tensor) -> torch.Tensor:
    """Crops uint8 [n, S, S, 4] as pictures [n, S, S, 3] in 0..1, background replaced. Draws from torch's generator."""
    x = placed(crops.movedim(-1, 1).float() / 255)
    behind = backgrounds(len(x), x.shape[-1])
    return torch.lerp(behind, x[:, :3], x[:, 3:]).movedim(1, -1)
