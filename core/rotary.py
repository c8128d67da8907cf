"""Rotary positions (RoFormer, arXiv 2104.09864) on several axes, as transformers of images have them."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Rotary:
    """How a family turns queries and keys. axes: dimensions of the head for each axis of positions; theta: the base.

    Neighbouring dimensions (2i, 2i + 1) are a pair, turned by position / theta ** (2i / axis).
    """

    axes: tuple[int, ...]
    theta: float

    def turn(self, x: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
        """Queries or keys that stand elsewhere: R(p + delta) x0 of R(p) x0, for turns add up.

        x: [B, H, N, D]; delta: [B or 1, N or 1, axes]. Returns x's shape and dtype.
        """
        wide = torch.promote_types(x.dtype, torch.float32)
        angles = torch.cat([delta[..., axis, None].to(wide) * self._speeds(width).to(delta.device, wide)
                            for axis, width in enumerate(self.axes)], -1)[:, None]
        cosine, sine = angles.cos(), angles.sin()
        even, odd = x.to(wide).unflatten(-1, (-1, 2)).unbind(-1)
        return torch.stack((cosine * even - sine * odd, sine * even + cosine * odd), -1).flatten(-2).to(x.dtype)

    def _speeds(self, width: int) -> torch.Tensor:
        return self.theta ** -(torch.arange(0, width, 2, dtype=torch.float64) / width)
