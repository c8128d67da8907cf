"""Anchors' keys and values of a bank, where text and image share the attention and keys carry positions."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...core.adain import match_statistics
from ...core.call import AttentionCall
from ...core.network import LayerAddress
from ...core.shared_keys import SharedKeys, at_places, without_positions
from ..families.kernel import split_heads
from .bank import KEY, VALUE, Kind, SubjectBank, places_name, token_name
from .placing import Anchored

_SIDE = 2 ** 16  # more cells than a side of any picture has


def anchored(bank: SubjectBank, level: int, subjects: torch.Tensor, device: torch.device) -> Anchored:
    """Where a noise level's keys stand in the anchors' pictures. subjects: [K], the number of each one's."""
    places = bank.tensors[places_name(level)].to(device, torch.float32)
    return Anchored(places[:, 1:3], places[:, 3:], subjects, _patches(bank, places[:, :3]))


def _patches(bank: SubjectBank, cells: torch.Tensor) -> torch.Tensor:
    """The features that were read at the same cells of the anchors, -1 for none. cells: (anchor, y, x), [K, 3]."""
    known = bank.tensors.get("feature_places")
    if known is None or not len(known):
        return torch.full((len(cells),), -1, device=cells.device)
    wanted, numbers = _numbers(cells), _numbers(known.to(cells.device, torch.float32))
    ordered, order = numbers.sort()
    at = torch.searchsorted(ordered, wanted).clamp(max=len(ordered) - 1)
    return torch.where(ordered[at] == wanted, order[at], -1)


def _numbers(cells: torch.Tensor) -> torch.Tensor:
    anchor, y, x = cells.long().unbind(1)
    return (anchor * _SIDE + y) * _SIDE + x


@dataclass(frozen=True, eq=False)
class BankedTokens:
    """The kept keys, turned to where they belong in each picture, and values.

    kinds: of each conditioning in the call; inside: bool [U G, N], where the group's subjects are.
    """

    bank: SubjectBank
    level: int
    kinds: tuple[Kind, ...]
    inside: torch.Tensor

    def has(self, layer: LayerAddress) -> bool:
        """False for a layer of which the bank keeps nothing, or kept nothing at this noise level."""
        return all(token_name(KEY, self.level, kind, layer) in self.bank.tensors for kind in self.kinds)

    def __call__(self, call: AttentionCall, group: SharedKeys) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = (self._kept(what, call) for what in (KEY, VALUE))
        if self.bank.photographs:
            own = without_positions(call.take(group.rows))
            keys = match_statistics(group.for_each(keys).flatten(0, 1), own, self.inside)
        return at_places(call, group, keys), values

    def _kept(self, what: str, call: AttentionCall) -> torch.Tensor:
        """[U, H, K, D]."""
        kept = torch.stack([self.bank.tensors[token_name(what, self.level, kind, call.layer)] for kind in self.kinds])
        return split_heads(kept.to(call.k.device, call.k.dtype), call.k.shape[1])
