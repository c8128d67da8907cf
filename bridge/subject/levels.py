"""The subjects' masks at one noise level, and the paper's dropout of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

from ...core.subject_masks import dropped, masks_from_maps
from .options import SubjectOptions

_PRIMES = (11400714785074694791, 14029467366897019727, 2870177450012600261)


@dataclass(frozen=True, eq=False)
class LevelMasks:
    """Masks of one noise level on one grid, on the CPU: small, and who shares is for the processor to work out.

    masks: bool [I, S, N]. positions: what is left of each anchor's after dropout, [K_a]. unshared: images
    whose own mask is empty.
    """

    masks: torch.Tensor
    positions: list[torch.Tensor]
    unshared: frozenset[int]
    _kept: dict[torch.device, tuple[torch.Tensor, ...]] = field(default_factory=dict, init=False)

    def kept(self, x: torch.Tensor) -> torch.Tensor:
        """Of x [images, N, C] the anchors' tokens at the kept positions, one anchor after the other: [K, C]."""
        if x.device not in self._kept:
            anchors = torch.cat([torch.full_like(at, anchor) for anchor, at in enumerate(self.positions)])
            self._kept[x.device] = tuple(t.to(x.device) for t in (anchors, torch.cat(self.positions)))
        return x[self._kept[x.device]]

    def subjects(self, anchor: int) -> torch.Tensor:
        """Whose the anchor's kept pixels are: bool [K_a, S]."""
        return self.masks[anchor][:, self.positions[anchor]].T


def level_masks(maps: torch.Tensor, grid: tuple[int, int], options: SubjectOptions, anchors: int,
                seed: int) -> LevelMasks:
    """Masks, dropout and the anchors' positions on one grid. maps: [I, S, h, w], on the CPU."""
    masks = masks_from_maps(maps, grid, options.separate)
    left = dropped(masks, options.variety, seed).any(1)
    empty = (~masks.flatten(1).any(1)).nonzero().flatten().tolist()
    return LevelMasks(masks, [left[a].nonzero().flatten() for a in range(anchors)], frozenset(empty))


def dropout_seed(seed: int, sigma: float, stride: int) -> int:
    """One seed for each noise level and grid; the same in both passes, in every queueing and on every Python.

    The numbers are mixed as xxHash's 64-bit rounds do. stride: latent pixels a side of one cell of the grid.
    """
    mixed = _PRIMES[2]
    for number in (seed, round(sigma * 1e6), stride):
        mixed = (mixed + number % (2 ** 61 - 1) * _PRIMES[1]) % 2 ** 64
        mixed = (mixed << 31 | mixed >> 33) % 2 ** 64 * _PRIMES[0] % 2 ** 64
    return (mixed + (3 ^ _PRIMES[2] ^ 3527539)) % 2 ** 63


def stride_of(latent_grid: tuple[int, int], grid: tuple[int, int]) -> int:
    """Latent pixels a side of one cell of a grid; each halving rounds up."""
    return 2 ** math.ceil(math.log2(max(whole / part for whole, part in zip(latent_grid, grid, strict=True))))
