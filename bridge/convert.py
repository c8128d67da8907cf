"""The host's values in core's shapes, once, at the door."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .errors import DirectorError

# Reported for pictures that are equal up to rounding.
MOST_DB = 100.0


def mask_to_bhw(mask: torch.Tensor) -> torch.Tensor:
    """A MASK as [B, H, W] on the CPU, B at least 1; some nodes give [H, W] or [B, 1, H, W].

    A batch of no masks, as a detector gives that found nothing, is one mask of nothing. Raises ValueError for a tensor
    of other axes.
    """
    if not 2 <= mask.ndim <= 4:
        raise ValueError(f"a mask has 2 to 4 axes and this has {mask.ndim}; wire a MASK.")
    if mask.ndim == 2:
        mask = mask[None]
    elif mask.ndim == 4:
        mask = mask[:, 0]
    if not mask.numel():
        mask = torch.zeros(1, *(max(1, side) for side in mask.shape[-2:]))
    return mask.detach().to("cpu", torch.float32)


def require_pictures(node: str, name: str, images: torch.Tensor) -> None:
    """Raise DirectorError for what is no IMAGE [B, H, W, 3 or more] of numbers."""
    if images.ndim != 4 or images.shape[-1] < 3 or not images.numel():
        raise DirectorError(node, f"{name} is {tuple(images.shape)}, not a batch of colour pictures; wire an IMAGE.")
    if not torch.isfinite(images).all():
        raise DirectorError(node, f"{name} contains values that are not numbers; make the picture again.")


def stack_masks(node: str, masks: Sequence[torch.Tensor]) -> torch.Tensor:
    """Masks [B, H, W] as bool [I, R, H, W] at the largest size among them, cut at 0.5.

    Single masks are repeated beside batches. Raises DirectorError for batches of different sizes.
    """
    layouts = {mask.shape[0] for mask in masks} - {1}
    if len(layouts) > 1:
        raise DirectorError(node, f"masks come in batches of {' and '.join(map(str, sorted(layouts)))}; "
                                  "use single masks, or batches of one size.")
    count = layouts.pop() if layouts else 1
    size = (max(mask.shape[1] for mask in masks), max(mask.shape[2] for mask in masks))
    sized = [torch.nn.functional.interpolate(mask[:, None], size=size, mode="nearest")[:, 0].expand(count, -1, -1)
             for mask in masks]
    return torch.stack(sized, dim=1) > 0.5


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in 0..1, at most MOST_DB."""
    error = float((a.double() - b.double()).square().mean())
    return MOST_DB if error <= 10.0 ** (-MOST_DB / 10.0) else float(-10.0 * torch.tensor(error).log10())
