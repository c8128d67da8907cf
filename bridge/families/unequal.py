"""Prompts of unequal length in one batch, where text and image share one attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...core.rotary import Rotary
from ...core.sequence import Axis, Padding


@dataclass(frozen=True)
class Unequal:
    """Rows whose texts are of unequal length, in one model call.

    own: text tokens of each row; read: how many of the padded ones it reads, learned padding too. rotary, turns: how
    far along the first axis of positions each row's image tokens must turn, to stand as behind their own text.
    """

    own: tuple[int, ...]
    read: tuple[int, ...]
    rotary: Rotary | None = None
    turns: tuple[int, ...] = ()

    def padding(self, axis: Axis) -> tuple[Padding, ...] | None:
        """Of an attention whose keys hold the text, None for one that holds none."""
        for text in axis.of("text"):
            behind = next((s.start for s in axis.segments if s.start >= text.stop), axis.length)
            return tuple(Padding(own, range(text.start + read, behind), turn) for own, read, turn in
                         zip(self.own, self.read, self.turns or [0] * len(self.own), strict=True))
        return None

    def turned(self, x: torch.Tensor, axis: Axis) -> torch.Tensor:
        """Queries or keys [B, H, N, D] with each row's image tokens where they would stand without padding."""
        if self.rotary is None or not any(self.turns):
            return x
        delta = torch.zeros(len(x), axis.length, len(self.rotary.axes))
        for image in axis.of("image"):
            delta[:, image.slice, 0] = torch.tensor(self.turns, dtype=delta.dtype)[:, None]
        return self.rotary.turn(x, delta.to(x.device))
