"""A bank of anchors inside a run (ConsiStory, arXiv 2402.03286, anchors)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from ...core.adain import match_statistics
from ...core.call import AttentionCall, RowSpan, Step
from ...core.network import LayerAddress
from ...core.shared_keys import SharedKeys
from ..errors import DirectorError
from ..families.family import FamilyNetwork
from ..families.kernel import split_heads
from .bank import KEY, KINDS, VALUE, Kind, SubjectBank, input_name, output_name, subjects_name, token_name
from .bank_tokens import BankedTokens, anchored
from .groups import Sharing, unshared_rows
from .levels import LevelMasks, stride_of
from .placing import Placing

# How far from a kept noise level a step may lie and still read it, in shares of the timesteps.
TOLERANCE = 0.06


@dataclass(frozen=True, eq=False)
class BankUse:
    """The anchors of a bank for one run. projections: a layer's own, to keys and to values."""

    bank: SubjectBank
    projections: Callable[[LayerAddress], tuple[torch.nn.Module, torch.nn.Module]]

    def level(self, step: Step) -> int | None:
        """The kept noise level nearest to a step, None where all are too far."""
        return self.bank.nearest(step.progress, TOLERANCE)

    def pool(self, device: torch.device, apart: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit features of the bank's patches [K, C], and which of them each group of subjects may take [G, K]."""
        features = self.bank.tensors.get("features")
        if features is None:
            return torch.zeros(0, 1, device=device), torch.zeros(1, 0, dtype=torch.bool, device=device)
        subjects = self.bank.tensors["feature_subjects"].to(device)
        return features.to(device, torch.float32), subjects.T if apart else subjects.any(1)[None]

    def outputs(self, level: int | None, layer: LayerAddress, like: torch.Tensor) -> torch.Tensor | None:
        """What the anchors' layer gave at the pool's patches, [K, C]; None where the bank has none."""
        found = None if level is None else self.bank.tensors.get(output_name(level, layer))
        return None if found is None else found.to(like.device, like.dtype)


def require_fit(label: str, bank: SubjectBank, network: FamilyNetwork) -> None:
    """Raise DirectorError where what a layer read or gave is not as wide as this model's, or is of other patches.

    A file knows its layers by name only; which grid and width these have is known where the model is.
    """
    layers = network.subject
    names = (partial(token_name, KEY), partial(token_name, VALUE)) if layers.joint else (input_name,)
    if bank.tensors and not any(name(level, kind, layer) in bank.tensors for level in range(len(bank.progress))
                                for name in names for kind in KINDS for layer in layers.shares):
        raise DirectorError(label, "the bank holds nothing of this model's layers; make it again.")
    features = bank.tensors.get("features")
    if layers.joint and features is not None and features.shape[1] != network.width(next(iter(layers.matches))):
        raise DirectorError(label, "the bank's features do not fit this model, though it says so; make it again.")
    for layer in {*layers.shares, *layers.injects}:
        width = network.width(layer)
        stride = stride_of(layers.latent_grid, layers.shares[layer]) if layer in layers.shares else 0
        for level in range(len(bank.progress)):
            flags = bank.tensors.get(subjects_name(level, stride))
            read = [bank.tensors.get(name(level, kind, layer)) for name in names for kind in KINDS]
            wrong = [t for t in read if t is not None and flags is not None and len(t) != len(flags)]
            wrong += [t for t in (*read, bank.tensors.get(output_name(level, layer)))
                      if t is not None and width is not None and t.shape[1] != width]
            if wrong:
                raise DirectorError(label, f"the bank does not fit this model in {layer}, though it says so; make it "
                                           "again.")


@dataclass(frozen=True, eq=False)
class BankedKeys:
    """Keys and values of the kept inputs, by the layer's own projections.

    kinds: of each conditioning in the call; inside: bool [U G, N], where the group's subjects are.
    """

    use: BankUse
    level: int
    kinds: tuple[Kind, ...]
    inside: torch.Tensor

    def has(self, layer: LayerAddress) -> bool:
        """False where another node kept the bank's run from reading the layer at this noise level."""
        return all(input_name(self.level, kind, layer) in self.use.bank.tensors for kind in self.kinds)

    def __call__(self, call: AttentionCall, group: SharedKeys) -> tuple[torch.Tensor, torch.Tensor]:
        heads, bank = call.k.shape[1], self.use.bank
        kept = torch.stack([bank.tensors[input_name(self.level, kind, call.layer)] for kind in self.kinds])
        kept = kept.to(call.k.device, call.k.dtype)
        keys, values = (split_heads(project(kept), heads) for project in self.use.projections(call.layer))
        if bank.photographs:
            own = group.of_rows(call.k)
            keys = match_statistics(group.for_each(keys).flatten(0, 1), own.flatten(0, 1), self.inside)
        return keys, values


def bank_group(use: BankUse, at: int | None, level: LevelMasks, stride: int,
               spans: Sequence[tuple[RowSpan, Kind]], rows: Sequence[RowSpan], apart: bool, device: torch.device,
               placing: Placing | None = None) -> Sharing:
    """One group: the pictures in which the subject is found, which all read the whole bank.

    at: the bank's noise level. stride: of the grid of the masks. spans: the whole conditionings of a call, of
    which rows are all. device: of the layers. placing: where keys belong, None where they carry no position.
    """
    members = [i for i in range(len(level.masks)) if i not in level.unshared]
    subjects = None if at is None else use.bank.tensors.get(subjects_name(at, stride))
    kept: list[tuple[RowSpan, Kind]] = [found for found in spans if at is not None and use.bank.has(at, found[1])]
    if at is None or subjects is None or not len(subjects) or not kept or not members:
        return Sharing((), unshared_rows(set(), rows))
    ours = tuple(span.start + i for span, _ in kept for i in members)
    masks = level.masks[members]
    group = SharedKeys(ours, len(members), None, None, subjects if apart else None,
                       masks.transpose(1, 2) if apart else None)
    kinds: tuple[Kind, ...] = tuple(kind for _, kind in kept)
    inside = masks.any(1).repeat(len(kept), 1).to(device)
    if placing is None:
        return Sharing((group.to(device),), unshared_rows(set(ours), rows), BankedKeys(use, at, kinds, inside))
    numbers = subjects.int().argmax(1) * apart
    keys = anchored(use.bank, at, numbers, masks.device)
    group = replace(group, readers=placing.readers(members), places=placing.places(keys, members),
                    gains=placing.gains(keys, members), here=placing.here(members) if apart else None)
    return Sharing((group.to(device),), unshared_rows(set(ours), rows), BankedTokens(use.bank, at, kinds, inside))
