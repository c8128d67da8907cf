"""The value on an ATTN_DIR_REGIONS wire."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..convert import mask_to_bhw
from ..errors import DirectorError, signed
from ..untrusted import as_text, within

# Twice what the widget gives is still one's own business; a million is a slip that ends in no picture.
MOST_STRENGTH = 100.0


@dataclass(frozen=True, eq=False)
class Region:
    """A phrase, where it goes, and how strongly.

    mask: [B, H, W] in 0..1, B layouts. number: from 1, what the editor calls it; 0 for one that was not drawn there.
    """

    phrase: str
    mask: torch.Tensor
    strength: float = 1.0
    number: int = 0

    @property
    def has_place(self) -> bool:
        """False where no layout has a pixel of it, as when a detector found nothing."""
        return bool((self.mask > 0.5).any())


RegionList = tuple[Region, ...]


def make_region(node: str, phrase: str, mask: torch.Tensor, strength: float, number: int = 0) -> Region:
    """A checked region. Raises DirectorError for a strength that is not a number, or below 0."""
    if not within(strength, 0, MOST_STRENGTH):
        raise DirectorError(node, f'region "{phrase}" has strength {as_text(strength)}; give a number from 0 to 2.')
    with signed(node):
        mask = mask_to_bhw(mask)
    if not torch.isfinite(mask).all():
        raise DirectorError(node, f'the mask of region "{phrase}" contains values that are not numbers; make it again.')
    return Region(phrase.strip(), mask, float(strength), number)


def numbers_of(regions: RegionList) -> list[int]:
    """What each region is called: its own number, and those that were not drawn follow the highest."""
    highest = max((region.number for region in regions), default=0)
    wired = iter(range(highest + 1, highest + 1 + len(regions)))
    return [region.number or next(wired) for region in regions]
