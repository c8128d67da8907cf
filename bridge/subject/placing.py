"""Where shared keys belong in each picture of a model whose keys carry positions (CharaConsist, arXiv 2507.11533).

Letters beside those of core: I images, S subjects that are kept apart (1 where they are not), N cells, K keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch

from ...core.correspondence import Link
from ...core.readers import Readers
from ...core.rotary import cells_of
from ...core.subject_masks import grown
from ...core.subject_places import SCALES, boxes, by_boxes
from .levels import LevelMasks


@dataclass(frozen=True, eq=False)
class Matches:
    """Which cell of each image shows the same part as each patch of the anchors: index [I, P], gate bool [I, P]. On the
    CPU, as masks are."""

    index: torch.Tensor
    gate: torch.Tensor


@dataclass(frozen=True, eq=False)
class Correspondence:
    """links: where the images' patches take from; matches: where the anchors' keys belong."""

    links: Link
    matches: Matches


@dataclass(frozen=True, eq=False)
class Anchored:
    """Where keys stand in their own pictures. cells: [K, 2]; boxes: [K, 4], of their subject there; subjects: [K], its
    number; patches: [K], their numbers among those that were matched, -1 for none."""

    cells: torch.Tensor
    boxes: torch.Tensor
    subjects: torch.Tensor
    patches: torch.Tensor


@dataclass(frozen=True, eq=False)
class Placing:
    """The subjects' places at one noise level, on one grid."""

    level: LevelMasks
    grid: tuple[int, int]
    apart: bool
    placed: Literal["matches", "boxes", "own"] = "matches"
    matches: Matches | None = None

    @cached_property
    def _cells(self) -> torch.Tensor:
        return cells_of(self.grid, self.level.masks.device)

    @cached_property
    def _masks(self) -> torch.Tensor:
        return self.level.masks if self.apart else self.level.masks.any(1, keepdim=True)

    @cached_property
    def _boxes(self) -> torch.Tensor:
        """[I, S, 4]."""
        return boxes(self._masks, self._cells)

    def readers(self, members: Sequence[int]) -> Readers:
        """The pixels of these images that read shared keys: those of any subject, and those beside them."""
        inside = self.here(members).any(2)
        counts = inside.sum(1).tolist()
        return Readers(inside, min(counts), max(counts))

    def here(self, members: Sequence[int]) -> torch.Tensor:
        """Whose keys each pixel reads: bool [G, N, S]; a pixel of a subject reads no other's."""
        masks = self.level.masks[list(members)]
        taken = masks.any(1, keepdim=True) & ~masks
        return (grown(masks.flatten(0, 1), self.grid).view_as(masks) & ~taken).transpose(1, 2)

    def anchored(self, anchors: Sequence[int]) -> Anchored:
        """The kept pixels of some anchors, one anchor after the other."""
        each = [self._anchored(anchor) for anchor in anchors]
        return Anchored(*(torch.cat([getattr(own, name) for own in each])
                          for name in ("cells", "boxes", "subjects", "patches")))

    def _anchored(self, anchor: int) -> Anchored:
        positions = self.level.positions[anchor]
        subjects = self._masks[anchor][:, positions].int().argmax(0)
        return Anchored(self._cells[positions], self._boxes[anchor][subjects], subjects,
                        anchor * len(self._cells) + positions)

    def places(self, keys: Anchored, members: Sequence[int]) -> torch.Tensor:
        """Where the keys belong in these images: [G, K, 2]."""
        return torch.stack([self._place(keys, image) for image in members])

    def gains(self, keys: Anchored, members: Sequence[int]) -> torch.Tensor:
        """How many pixels of each image a key stands for, by the boxes' areas: [G]. A subject that is larger there
        reads as much of the anchor as of itself."""
        own = keys.boxes[:, 2:].prod(1).mean()
        there = torch.stack([self._boxes[image][keys.subjects][:, 2:].prod(1).mean() for image in members])
        return (there / own).clamp(1.0, SCALES[1] ** 2)

    def _place(self, keys: Anchored, image: int) -> torch.Tensor:
        if self.placed == "own":
            return keys.cells
        by_box = by_boxes(keys.cells, keys.boxes, self._boxes[image][keys.subjects])
        if self.matches is None or self.placed == "boxes":
            return by_box
        patches = keys.patches.clamp(min=0)
        found = self.matches.gate[image][patches] & (keys.patches >= 0)
        return torch.where(found[:, None], self._cells[self.matches.index[image][patches]], by_box)
