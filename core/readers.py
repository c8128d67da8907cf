"""Method: CharaConsist (arXiv 2507.11533), who reads shared keys. Written from the paper; no code copied."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from .sequence import Axis


@dataclass(frozen=True, eq=False)
class Readers:
    """Which pixels of a group's images read the shared keys; all other tokens attend as if there were none.

    inside: bool [G, N]; least, most: how many of them an image has.
    """

    inside: torch.Tensor
    least: int
    most: int
    _parted: dict[Axis, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict, init=False)

    def parted(self, axis: Axis) -> tuple[torch.Tensor, torch.Tensor]:
        """(the readers [G, most], all others [G, L - least]) along an axis of L tokens.

        An image that has fewer names its last one again: what is computed twice is the same.
        """
        if axis not in self._parted:
            image, = axis.of("image")
            inside = F.pad(self.inside, (image.start, axis.length - image.stop))
            self._parted[axis] = _first(inside, self.most), _first(~inside, axis.length - self.least)
        return self._parted[axis]


def _first(wanted: torch.Tensor, most: int) -> torch.Tensor:
    """The tokens of each row of bool [G, L], in order, the last one repeated up to ``most``."""
    order = wanted.int().argsort(dim=1, descending=True, stable=True)
    places = torch.arange(most, device=wanted.device).minimum(wanted.sum(1, keepdim=True) - 1)
    return order.gather(1, places.clamp(min=0))
