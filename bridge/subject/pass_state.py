"""What one pass of ConsiStory remembers: maps so far, masks of this noise level, who shares whose keys."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

import torch

from ...core.call import RowSpan
from ...core.correspondence import Link
from ...core.network import LayerAddress
from .groups import Sharing
from .levels import LevelMasks
from .placing import Correspondence


@dataclass(eq=False)
class MapMean:
    """The mean of the subjects' maps over all layers and noise levels before this one, [I, S, h, w].

    pending: the sum of the present noise level, which counts once that is over.
    """

    total: torch.Tensor | None = None
    count: int = 0
    pending: torch.Tensor | None = None
    pending_count: int = 0

    def add(self, sums: torch.Tensor) -> None:
        """A layer more at the present noise level: ``pending`` with its maps added."""
        self.pending, self.pending_count = sums, self.pending_count + 1

    def end_level(self) -> None:
        """The noise level is over: what it showed counts from now on."""
        if self.pending is not None:
            self.total = self.pending if self.total is None else self.total + self.pending
            self.count += self.pending_count
        self.pending, self.pending_count = None, 0

    @property
    def mean(self) -> torch.Tensor | None:
        return None if self.total is None else self.total / max(1, self.count)


@dataclass(eq=False)
class PassState:
    """What the parts of a pass share while it lasts; in the run's scratch.

    rows, masks, sharing: of the present model call and noise level, by grid where there are several. shared: sharing of
    the noise level's calls so far, by the ids of their rows.
    queries: of the plain forward, until the layer takes them. features: [I, C, h, w], read at the noise level
    nearest to the best one so far, features_off away; outputs: of attention, in their place, of the present level,
    outputs_off away; found: the correspondence that they gave. links: of a pass that uses what it finds. bank_level: of
    the bank, nearest to this noise level; missed: steps that found none. shared_levels, unshared: noise levels
    with masks, and pictures without one in them. history: the masks by noise level, for a readout.
    """

    maps: MapMean = field(default_factory=MapMean)
    sigma: float | None = None
    rows: tuple[RowSpan, ...] = ()
    masks: dict[tuple[int, int], LevelMasks] = field(default_factory=dict)
    sharing: dict[tuple[int, int], Sharing] = field(default_factory=dict)
    shared: dict[Hashable, dict[tuple[int, int], Sharing]] = field(default_factory=dict)
    queries: dict[LayerAddress, torch.Tensor] = field(default_factory=dict)
    features: torch.Tensor | None = None
    features_off: float = float("inf")
    outputs: torch.Tensor | None = None
    outputs_off: float = float("inf")
    found: Correspondence | None = None
    links: Link | None = None
    bank_level: int | None = None
    missed: int = 0
    shared_levels: int = 0
    unshared: int = 0
    history: list[torch.Tensor] = field(default_factory=list)
