"""What one pass of ConsiStory remembers: maps so far, masks of this noise level, who sees whose keys."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

import torch

from ...core.call import RowSpan, Step
from ...core.correspondence import Link
from ...core.network import LayerAddress
from ...core.schedule import Schedule
from ...core.shared_keys import SharedKeys
from ...core.subject_masks import dropped, masks_from_maps
from ...core.text import Phrase, PromptTag

# The paper's share of plain queries falls by this much over its window, from 0.9 to 0.818.
BLEND_FALL = 1.0 - 0.81836735 / 0.9


@dataclass(frozen=True)
class SubjectOptions:
    """The node's numbers. The defaults are the paper's, its step counts as shares of the timesteps.

    variety: the paper's mask dropout. share, inject: when keys are shared and features injected;
    blend_end: until when queries are blended. separate: keys of a subject only where that subject is.
    """

    anchors: int = 2
    strength: float = 1.0
    two_pass: bool = True
    injection: float = 0.8
    variety: float = 0.5
    share: Schedule = field(default_factory=Schedule)
    inject: Schedule = field(default_factory=lambda: Schedule(0.1, 0.32))
    query_blend: float = 0.9
    blend_end: float = 0.12
    separate: bool = False
    same_noise: bool = False
    keep_bank: bool = False

    @property
    def sharing(self) -> bool:
        return self.strength > 0.0 and not self.share.empty

    @property
    def injecting(self) -> bool:
        return self.injection > 0.0 and not self.inject.empty

    def plain_queries(self, step: Step) -> float:
        """The share of the plain forward's queries at a step, 0 after the window."""
        if self.blend_end <= 0.0 or step.progress >= self.blend_end:
            return 0.0
        return self.query_blend * (1.0 - BLEND_FALL * step.progress / self.blend_end)


@dataclass
class MapMean:
    """The mean of the subjects' maps over all layers and noise levels before this one, [I, S, h, w]."""

    total: torch.Tensor | None = None
    count: int = 0
    fresh: torch.Tensor | None = None
    fresh_count: int = 0

    def add(self, images: range, maps: torch.Tensor, of: int) -> None:
        """Maps of one layer at the present noise level; images are consecutive, ``of`` is how many there are."""
        if self.fresh is None:
            self.fresh = maps.new_zeros(of, *maps.shape[1:])
        self.fresh[images.start:images.stop] += maps
        self.fresh_count += 1

    def fold(self) -> None:
        """The noise level is over: what it showed counts from now on."""
        if self.fresh is not None:
            self.total = self.fresh if self.total is None else self.total + self.fresh
            self.count += self.fresh_count
        self.fresh, self.fresh_count = None, 0

    @property
    def mean(self) -> torch.Tensor | None:
        return None if self.total is None else self.total / max(1, self.count)


@dataclass
class Kept:
    """Masks of one noise level on one grid. masks: bool [I, S, N]; positions: what is left of each
    anchor's after dropout, [K_a]; alone: images whose own mask is empty."""

    masks: torch.Tensor
    positions: list[torch.Tensor]
    alone: frozenset[int]

    def subjects(self, anchor: int) -> torch.Tensor:
        """Whose the anchor's kept pixels are: bool [K_a, S]."""
        return self.masks[anchor][:, self.positions[anchor]].T


@dataclass
class PassState:
    """State of one pass; belongs to the run's scratch."""

    maps: MapMean = field(default_factory=MapMean)
    sigma: float | None = None
    rows: tuple[RowSpan, ...] = ()
    kept: dict[tuple[int, int], Kept] = field(default_factory=dict)
    groups: dict[tuple[int, int], tuple[list[SharedKeys], tuple[int, ...]]] = field(default_factory=dict)
    queries: dict[LayerAddress, torch.Tensor] = field(default_factory=dict)
    features: torch.Tensor | None = None
    features_off: float = float("inf")
    links: tuple[Link, ...] | None = None
    shared_levels: int = 0
    lonely: int = 0
    history: list[torch.Tensor] = field(default_factory=list)


def make_kept(maps: torch.Tensor, grid: tuple[int, int], options: SubjectOptions, anchors: int, seed: int) -> Kept:
    """Masks, dropout and the anchors' positions on one grid. The only GPU sync per noise level."""
    masks = masks_from_maps(maps, grid, options.separate)
    left = dropped(masks, options.variety, seed).any(1)
    empty = (~masks.flatten(1).any(1)).nonzero().flatten().tolist()
    return Kept(masks, [left[a].nonzero().flatten() for a in range(anchors)], frozenset(empty))


def dropout_seed(seed: int, sigma: float, stride: int) -> int:
    """One draw for each noise level and grid; the same in both passes, in every queueing and on every Python.

    The numbers are mixed as xxHash's 64-bit rounds do. stride: latent pixels a side of one cell of the grid.
    """
    mixed = _PRIMES[2]
    for number in (seed, round(sigma * 1e6), stride):
        mixed = (mixed + number % (2 ** 61 - 1) * _PRIMES[1]) % 2 ** 64
        mixed = (mixed << 31 | mixed >> 33) % 2 ** 64 * _PRIMES[0] % 2 ** 64
    return (mixed + (3 ^ _PRIMES[2] ^ 3527539)) % 2 ** 63


_PRIMES = (11400714785074694791, 14029467366897019727, 2870177450012600261)


def stride_of(latent_grid: tuple[int, int], grid: tuple[int, int]) -> int:
    """Latent pixels a side of one cell of a grid; each halving rounds up."""
    return 2 ** math.ceil(math.log2(max(whole / part for whole, part in zip(latent_grid, grid, strict=True))))


def whole_spans(rows: Sequence[RowSpan], images: int) -> list[RowSpan]:
    """The conditionings of a call that hold every image of the set, ours or not."""
    return [span for span in rows if span.first == 0 and span.count == images]


def anchor_groups(kept: Kept, rows: Sequence[RowSpan], images: int,
                  apart: bool) -> tuple[list[SharedKeys], tuple[int, ...]]:
    """Images that see the same anchors, and the rows that see none.

    Every image sees the anchors other than itself, anchors see each other, and nobody sees the rest.
    An image without a mask of its own is drawn alone; an anchor without one gives nothing.
    """
    seen: dict[tuple[int, ...], list[int]] = {}
    for image in range(images):
        others = (a for a, positions in enumerate(kept.positions) if a != image and len(positions))
        seen.setdefault(() if image in kept.alone else tuple(others), []).append(image)
    spans, device = whole_spans(rows, images), kept.masks.device
    groups, grouped = [], set()
    for anchors, members in seen.items():
        if not anchors or not spans:
            continue
        counts = [len(kept.positions[a]) for a in anchors]
        sources = [[s.start + a for a, count in zip(anchors, counts, strict=True) for _ in range(count)] for s in spans]
        mine = [s.start + i for s in spans for i in members]
        grouped.update(mine)
        groups.append(SharedKeys(
            tuple(mine), len(members), torch.tensor(sources, device=device),
            torch.cat([kept.positions[a] for a in anchors]),
            torch.cat([kept.subjects(a) for a in anchors]) if apart else None,
            kept.masks[members].transpose(1, 2) if apart else None))
    return groups, lonely_rows(grouped, rows)


def lonely_rows(grouped: Set[int], rows: Sequence[RowSpan]) -> tuple[int, ...]:
    """Rows of a call that are in no group."""
    return tuple(row for row in range(rows[-1].stop) if row not in grouped)


def prompt_tokens(tag: PromptTag, phrases: Sequence[Phrase], images: int) -> list[list[tuple[int, ...]]]:
    """Positions of each phrase in each image's prompt, in every copy of it on the token axis."""
    found = [tag.find(phrase) for phrase in phrases]
    rows = [image % len(tag.rows) for image in range(images)]
    return [[tuple(start + p for start in tag.starts(row) for p in positions[row] or ()) for positions in found]
            for row in rows]
