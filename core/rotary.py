"""Rotary positions (RoFormer, arXiv 2104.09864) on several axes, as transformers of images have them."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Rotary:
    """How a family turns queries and keys. axes: dimensions of the head for each axis of positions; theta: the base.

    Neighbouring dimensions (2i, 2i + 1) are a pair, turned by position / theta ** (2i / axis).
    An image's rows count along the second axis and its columns along the third: its first token stands at ``origin``,
    and ``spacing`` (y, x) is from one to the next.
    """

    axes: tuple[int, ...]
    theta: float
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    spacing: tuple[float, float] = (1.0, 1.0)

    def positions(self, cells: torch.Tensor) -> torch.Tensor:
        """Where cells (y, x) of the image's grid stand, fractions too: [..., 2] to [..., axes]."""
        origin = cells.new_tensor((*self.origin, *[0.0] * (len(self.axes) - 3)))
        return origin + self.moved(cells)

    def moved(self, cells: torch.Tensor) -> torch.Tensor:
        """How far a move by (y, x) cells goes along the axes: [..., 2] to [..., axes]."""
        along = cells * cells.new_tensor(self.spacing)
        return torch.nn.functional.pad(along, (1, len(self.axes) - 3))

    def turn(self, x: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """Queries or keys that stand elsewhere: R(p + delta) x0 of R(p) x0, for turns add up.

        x: [B, H, N, D]; delta: [B or 1, N or 1, axes]. Returns x's shape and dtype.
        """
        return self.turned(x, *(phase[:, None] for phase in self.phases(delta, x.dtype)))

    def phases(self, delta: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
        """What a turn by delta [..., axes] multiplies with, each number and then its pair's other: [..., D] each, in
        the precision that x of ``dtype`` is turned in."""
        wide = torch.promote_types(dtype, torch.float32)
        angles = torch.cat([delta[..., axis, None].to(wide) * self._speeds(width).to(delta.device, wide)
                            for axis, width in enumerate(self.axes)], -1)
        cosine, sine = angles.cos(), angles.sin()
        return torch.stack((cosine, cosine), -1).flatten(-2), torch.stack((-sine, sine), -1).flatten(-2)

    @staticmethod
    def turned(x: torch.Tensor, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """x [..., N, D] turned by ``phases`` that broadcast with it. Returns x's dtype."""
        wide = x.to(own.dtype)
        pairs = wide.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
        return torch.addcmul(wide * own, pairs, other).to(x.dtype)

    def _speeds(self, width: int) -> torch.Tensor:
        return self.theta ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)


def cells_of(grid: tuple[int, int], device: torch.device) -> torch.Tensor:
    """(y, x) of every cell of a grid, row by row: float32 [N, 2]."""
    height, width = grid
    return torch.cartesian_prod(torch.arange(height, device=device), torch.arange(width, device=device)).float()
