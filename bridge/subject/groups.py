"""Which rows of a model call share whose keys."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Protocol

import torch

from ...core.call import AttentionCall, RowSpan
from ...core.network import LayerAddress
from ...core.shared_keys import SharedKeys
from .levels import LevelMasks
from .placing import Placing


class Banked(Protocol):
    """The keys and values of a bank for a group of a call, [U G, H, K, D] each."""

    def has(self, layer: LayerAddress) -> bool: ...

    def __call__(self, call: AttentionCall, group: SharedKeys) -> tuple[torch.Tensor, torch.Tensor]: ...


@dataclass(frozen=True, eq=False)
class Sharing:
    """Who shares on one grid in one model call.

    groups: rows that read the same keys of others; unshared: rows of no group. banked: where these keys come
    from, None where they are pixels of the call.
    """

    groups: Sequence[SharedKeys]
    unshared: tuple[int, ...]
    banked: Banked | None = None

    def serves(self, layer: LayerAddress) -> bool:
        """True where some rows share in the layer."""
        return bool(self.groups) and (self.banked is None or self.banked.has(layer))


def whole_spans(rows: Sequence[RowSpan], images: int) -> list[RowSpan]:
    """The conditionings of a call that hold every image of the set, ours or not."""
    return [span for span in rows if span.first == 0 and span.count == images]


def unshared_rows(grouped: Set[int], rows: Sequence[RowSpan]) -> tuple[int, ...]:
    """Rows of a call that are in no group."""
    return tuple(row for row in range(rows[-1].stop) if row not in grouped)


def anchor_groups(level: LevelMasks, rows: Sequence[RowSpan], images: int, apart: bool,
                  device: torch.device, placing: Placing | None = None) -> Sharing:
    """Images that see the same anchors, and the rows that see none.

    Every image sees the anchors other than itself, anchors see each other, and nobody sees the rest.
    An image without a mask of its own is generated alone; an anchor without one gives nothing. device: of the layers.
    placing: where keys belong, None where they carry no position.
    """
    spans = whole_spans(rows, images)
    groups = [_group(level, anchors, members, spans, apart, placing).to(device)
              for anchors, members in _seen(level, images).items() if anchors and spans]
    return Sharing(groups, unshared_rows({row for group in groups for row in group.rows}, rows))


def _seen(level: LevelMasks, images: int) -> dict[tuple[int, ...], list[int]]:
    """Anchors -> the images that see exactly these."""
    seen: dict[tuple[int, ...], list[int]] = {}
    for image in range(images):
        others = (a for a, positions in enumerate(level.positions) if a != image and len(positions))
        seen.setdefault(() if image in level.unshared else tuple(others), []).append(image)
    return seen


def _group(level: LevelMasks, anchors: tuple[int, ...], members: list[int], spans: Sequence[RowSpan],
           apart: bool, placing: Placing | None) -> SharedKeys:
    counts = [len(level.positions[a]) for a in anchors]
    sources = [[s.start + a for a, count in zip(anchors, counts, strict=True) for _ in range(count)] for s in spans]
    return SharedKeys(
        tuple(s.start + i for s in spans for i in members), len(members),
        torch.tensor(sources),
        torch.cat([level.positions[a] for a in anchors]),
        torch.cat([level.subjects(a) for a in anchors]) if apart else None,
        (placing.here(members) if placing else level.masks[members].transpose(1, 2)) if apart else None,
        placing.readers(members) if placing else None,
        placing.places(placing.anchored(anchors), members) if placing else None,
        placing.gains(placing.anchored(anchors), members) if placing else None)
