"""Which block outputs a guidance predictor reads of a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Tap:
    """One block output. stage: the family's own word, as "input" or "double"; block: number in the stage."""

    stage: str
    block: int
    channels: int

    def __str__(self) -> str:
        return f"{self.stage} {self.block}"


@dataclass(frozen=True)
class Taps:
    """All that is read of one network, in order, each as maps [B, C, h, w].

    patch: latent pixels a side of one token, where all maps lie on the grid of tokens; None where each block has a
    grid of its own.
    """

    blocks: tuple[Tap, ...]
    patch: int | None = None

    @property
    def channels(self) -> tuple[int, ...]:
        return tuple(tap.channels for tap in self.blocks)

    def __str__(self) -> str:
        return "-".join(map(str, self.channels))


Found = dict[Tap, torch.Tensor]
