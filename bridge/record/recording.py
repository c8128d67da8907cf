"""Heat maps of one run: while they are added up, and what is left of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ...core.text import Phrase

# In the node's own count, the mean of a run whose steps are not kept one by one.
MEAN = -1


@dataclass(eq=False)
class Sums:
    """Maps of some evaluations of the model, added up. maps: [I, C, h, w]; counts: layers, [I, C]."""

    maps: torch.Tensor
    counts: torch.Tensor


@dataclass(eq=False)
class Recording:
    """What one run's recorder keeps.

    phrases: those counted; the first ``shown`` were asked for. sigmas: of the run. expected: steps whose
    maps should come. by_step: each step kept on its own. sums: step, or MEAN, to its maps.
    """

    phrases: tuple[Phrase, ...] = ()
    shown: int = 0
    images: int = 0
    sigmas: tuple[float, ...] = ()
    expected: frozenset[int] = frozenset()
    by_step: bool = True
    sums: dict[int, Sums] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)
    last_sigma: float = float("inf")


@dataclass(frozen=True, eq=False)
class Heat:
    """Maps of one recorder. mean: probability, head and layer mean, [I, C, h, w] in float32.

    phrases: of the C columns; the first ``shown`` were asked for. has: bool [I, C], False where an image's
    prompt lacks the phrase. steps: each recorded step's own maps in half precision, empty where only
    their mean was kept. seen: steps that were recorded, of ``total``; skipped: those a cache left out.
    """

    phrases: tuple[Phrase, ...]
    shown: int
    mean: torch.Tensor
    has: torch.Tensor
    steps: Mapping[int, torch.Tensor]
    seen: tuple[int, ...]
    total: int
    skipped: int

    @property
    def nbytes(self) -> int:
        return sum(t.nbytes for t in (self.mean, self.has, *self.steps.values()))


def heat_of(recording: Recording) -> Heat:
    sums = list(recording.sums.values()) or [Sums(torch.zeros(recording.images, len(recording.phrases), 1, 1),
                                                  torch.zeros(recording.images, len(recording.phrases)))]
    counts = sum((s.counts for s in sums[1:]), sums[0].counts)
    mean = _mean(Sums(sum((s.maps for s in sums[1:]), sums[0].maps), counts))
    steps = {number: _mean(s).half() for number, s in recording.sums.items() if number != MEAN}
    return Heat(recording.phrases, recording.shown, mean, counts > 0, steps, tuple(sorted(recording.seen)),
                len(recording.sigmas) - 1, len(recording.expected - recording.seen))


def _mean(sums: Sums) -> torch.Tensor:
    """Mean over the layers and evaluations that were added, on the CPU."""
    return sums.maps.to("cpu") / sums.counts.clamp(min=1)[..., None, None]
