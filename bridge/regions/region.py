"""The value on an ATTN_DIR_REGIONS wire."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..convert import mask_to_bhw
from ..errors import DirectorError


@dataclass(frozen=True, eq=False)
class Region:
    """A phrase, where it goes, and how strongly. mask: [B, H, W] in 0..1, B layouts."""

    phrase: str
    mask: torch.Tensor
    strength: float = 1.0


RegionList = tuple[Region, ...]


def make_region(node: str, phrase: str, mask: torch.Tensor, strength: float) -> Region:
    """A checked region. Raises DirectorError for a strength that is no number, or below 0."""
    if not math.isfinite(strength) or strength < 0:
        raise DirectorError(node, f'region "{phrase}" has strength {strength}; give a number from 0 to 2.')
    mask = mask_to_bhw(mask)
    if not torch.isfinite(mask).all():
        raise DirectorError(node, f'the mask of region "{phrase}" holds values that are no numbers; make it again.')
    return Region(phrase.strip(), mask, float(strength))


def stack_masks(node: str, regions: RegionList) -> torch.Tensor:
    """All masks as bool [I, R, H, W] at the largest size among them, cut at 0.5.

    Single masks are repeated beside batches. Raises DirectorError for batches of different sizes.
    """
    layouts = {r.mask.shape[0] for r in regions} - {1}
    if len(layouts) > 1:
        raise DirectorError(node, f"masks come in batches of {' and '.join(map(str, sorted(layouts)))}; "
                                  "use single masks, or batches of one size.")
    count = layouts.pop() if layouts else 1
    size = (max(r.mask.shape[1] for r in regions), max(r.mask.shape[2] for r in regions))
    masks = [torch.nn.functional.interpolate(r.mask[:, None], size=size, mode="nearest")[:, 0].expand(count, -1, -1)
             for r in regions]
    return torch.stack(masks, dim=1) > 0.5
