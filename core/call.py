"""Everything a method may see of one call of one attention layer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

import torch

from .layers import LayerAddress
from .tokens import PromptTag


@dataclass(frozen=True)
class RowSpan:
    """Consecutive rows of a model call that belong to one conditioning.

    start, stop: half-open range of rows. Row ``start + i`` is image ``first + i`` of the batch and
    reads prompt ``image mod P`` of the tag. tag: the words of the conditioning, None where it is not ours
    (the negative, another pack's conditioning).
    """

    start: int
    stop: int
    tag: PromptTag | None
    first: int = 0

    @property
    def images(self) -> range:
        """The number in the batch of each row's image."""
        return range(self.first, self.first + self.count)

    @property
    def count(self) -> int:
        return self.stop - self.start


@dataclass(frozen=True)
class Step:
    """Where in the run a model call is. sigma: noise level; progress: 0 (noisiest) .. 1."""

    sigma: float
    progress: float


@dataclass
class Scratch:
    """What the methods of one sampling run remember. Born and buried with the run.

    recording: somebody will look at this run afterwards, so keep what can be shown.
    """

    recording: bool = False
    values: dict[Hashable, Any] = field(default_factory=dict)

    def once(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value kept under ``key``, made on first use."""
        if key not in self.values:
            self.values[key] = make()
        return self.values[key]


@dataclass(frozen=True)
class LowRankBias:
    """An additive bias on the logits as a product of columns: bias[i, j] = sum_c left[i, c] right[j, c].

    left: [B, H, Nq, C]; right: [B or 1, H or 1, Nk, C].
    """

    left: torch.Tensor
    right: torch.Tensor

    def __add__(self, other: LowRankBias | None) -> LowRankBias:
        if other is None:
            return self
        rows, heads = self.left.shape[:2]
        rights = [b.right.expand(rows, heads, -1, -1) for b in (self, other)]
        return LowRankBias(torch.cat((self.left, other.left), -1), torch.cat(rights, -1))


@dataclass(frozen=True)
class AttentionCall:
    """One call of one attention layer.

    q: [B, H, Nq, D]; k, v: [B, H, Nk, D]. softmax scale is D ** -0.5 for the D of q.
    grid: (h, w) of the pixels; latent_grid: (h, w) of the whole latent. bias: added to the logits.
    picked: which rows of the model call these are, [B], where a method asks for some; None for all.
    """

    q: torch.Tensor
    k: torch.Tensor
    v: torch.Tensor
    layer: LayerAddress
    grid: tuple[int, int]
    latent_grid: tuple[int, int]
    rows: tuple[RowSpan, ...]
    step: Step
    scratch: Scratch
    bias: LowRankBias | None = None
    picked: torch.Tensor | None = None


Attend = Callable[[AttentionCall], torch.Tensor]
