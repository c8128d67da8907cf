"""Where an attention layer sits in a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["self", "cross"]


@dataclass(frozen=True)
class LayerAddress:
    """One attention layer.

    stage: "input", "middle" or "output"; block: number within the stage; depth: transformer within
    the block; kind: "self" (pixels attend to pixels) or "cross" (pixels attend to words).
    """

    stage: str
    block: int
    depth: int
    kind: Kind

    def __str__(self) -> str:
        return f"{self.stage} {self.block}.{self.depth} {self.kind}"
