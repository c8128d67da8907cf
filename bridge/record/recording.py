"""Heat maps of one run: while they are added up, and what is left of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from ...core.heat import resized
from ...core.text import Phrase

# In the node's own count, the mean of a run whose steps are not kept one by one.
MEAN = -1
# Maps so far, None before the first -> the same with those of a layer more.
Seen = Callable[[torch.Tensor | None], torch.Tensor]


@dataclass(eq=False)
class Sums:
    """Maps of some evaluations of the model, added up.

    maps: of each grid, [I, C, h, w]. layers: how many were seen by images that have the phrases, [I, C] of 0 and 1.
    """

    maps: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)
    layers: dict[torch.Tensor, int] = field(default_factory=dict)

    def add(self, grid: tuple[int, int], images: range, of: int, seen: Seen) -> None:
        """A layer's maps of some of ``of`` images."""
        known, part = self.maps.get(grid), slice(images.start, images.stop)
        if len(images) == of:
            self.maps[grid] = seen(known)
            return
        maps = seen(None if known is None else known[part])
        known = maps.new_zeros(of, *maps.shape[1:]) if known is None else known
        known[part] = maps
        self.maps[grid] = known

    def total(self, size: tuple[int, int]) -> torch.Tensor | float:
        """All maps at one size, on the CPU."""
        return sum((resized(maps, size).cpu() for maps in self.maps.values()), 0.0)

    @property
    def counts(self) -> torch.Tensor | float:
        return sum((has * float(count) for has, count in self.layers.items()), 0.0)


@dataclass(eq=False)
class Recording:
    """What one run's recorder keeps.

    phrases: those counted; the first ``shown`` were asked for. size: of the maps that are left. sigmas: of the run.
    expected: steps whose maps should come. by_step: each step kept on its own. sums: step, or MEAN, to its maps.
    """

    phrases: tuple[Phrase, ...] = ()
    shown: int = 0
    images: int = 0
    size: tuple[int, int] = (1, 1)
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
    images, phrases = recording.images, len(recording.phrases)
    found = {number: (torch.zeros(images, phrases, *recording.size) + sums.total(recording.size),
                      torch.zeros(images, phrases) + sums.counts) for number, sums in recording.sums.items()}
    counts = sum((has for _, has in found.values()), torch.zeros(images, phrases))
    mean = _mean(sum((maps for maps, _ in found.values()), torch.zeros(images, phrases, *recording.size)), counts)
    steps = {number: _mean(*sums).half() for number, sums in found.items() if number != MEAN}
    return Heat(recording.phrases, recording.shown, mean, counts > 0, steps, tuple(sorted(recording.seen)),
                len(recording.sigmas) - 1, len(recording.expected - recording.seen))


def _mean(maps: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Mean over the layers and evaluations that were added."""
    return maps / counts.clamp(min=1)[..., None, None]
