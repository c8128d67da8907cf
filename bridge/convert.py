"""The host's values in core's shapes, once, at the door."""

from __future__ import annotations

import torch


def mask_to_bhw(mask: torch.Tensor) -> torch.Tensor:
    """A MASK as [B, H, W] on the CPU; some nodes give [H, W] or [B, 1, H, W]."""
    if mask.ndim == 2:
        mask = mask[None]
    elif mask.ndim == 4:
        mask = mask[:, 0]
    return mask.detach().to("cpu", torch.float32)
