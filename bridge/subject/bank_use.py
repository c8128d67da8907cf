"""A bank of anchors inside a run: filling one, and drawing with one (ConsiStory, arXiv 2402.03286, anchors)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from ...core.call import AttentionCall, RowSpan, Step
from ...core.network import LayerAddress
from ...core.shared_keys import Banked, SharedKeys, match_statistics
from ..families.kernel import split_heads
from .bank import SubjectBank, input_name, output_name, subjects_name
from .pass_state import Kept

# Noise levels closer together than this share of the timesteps are kept once: at most 65 levels.
CLOSEST = 1.0 / 64
# How far from a kept noise level a step may lie and still read it, in shares of the timesteps.
TOLERANCE = 0.06


@dataclass
class BankKeeper:
    """Collects what the anchors' layers read. What one noise level gives waits on the device until it is over."""

    anchors: int
    link_positions: list[torch.Tensor] = field(default_factory=list)
    levels: list[Step] = field(default_factory=list)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    waiting: dict[str, torch.Tensor] = field(default_factory=dict)
    open: bool = False

    @property
    def megabytes(self) -> float:
        return sum(t.numel() * t.element_size() for t in self.tensors.values()) / 1e6

    def flush(self, step: Step | None = None) -> None:
        """A noise level is over: put what it gave into memory as half precision. ``step``: the next one."""
        if self.waiting:
            for name, value in self.waiting.items():
                self.tensors[name] = value.to("cpu", value.dtype if value.dtype == torch.bool else torch.float16)
            self.waiting = {}
        elif self.open:
            self.levels.pop()
        near = bool(self.levels) and step is not None and abs(step.progress - self.levels[-1].progress) < CLOSEST
        self.open = step is not None and not near
        if self.open and step is not None:
            self.levels.append(step)

    def inputs(self, layer: LayerAddress, grid: tuple[int, int], half: str, n: torch.Tensor, kept: Kept) -> None:
        """What the self-attention of the anchors reads, [images, N, C], at the kept positions."""
        if self.open:
            level = len(self.levels) - 1
            self.waiting[input_name(level, layer, half)] = torch.cat(
                [n[a, positions] for a, positions in enumerate(kept.positions)])
            self.waiting[subjects_name(level, grid)] = torch.cat([kept.subjects(a) for a in range(self.anchors)])

    def outputs(self, layer: LayerAddress, n: torch.Tensor) -> None:
        """What it gives after injection, [images, N, C], at the patches that later pictures may draw from."""
        if self.open:
            self.waiting[output_name(len(self.levels) - 1, layer)] = torch.cat(
                [n[a, positions] for a, positions in enumerate(self.link_positions)])


@dataclass
class BankUse:
    """The anchors of a bank for one pass. projections: a layer's own, to keys and to values.

    halves: of each conditioning in the call; inside: by pixels of the grid, where the group's subjects
    are, [U G, N].
    """

    bank: SubjectBank
    projections: Callable[[LayerAddress], tuple[torch.nn.Module, torch.nn.Module]]
    level: int | None = None
    missed: int = 0
    halves: list[str] = field(default_factory=list)
    inside: dict[int, torch.Tensor] = field(default_factory=dict)

    def begin(self, step: Step, wanted: bool) -> None:
        """Find the kept noise level nearest to this one; count it where it is wanted and there is none."""
        self.level = self.bank.nearest(step.progress, TOLERANCE)
        self.missed += wanted and self.level is None

    def has_half(self, half: str) -> bool:
        """A bank drawn at cfg 1 has no half for the negative."""
        return any(name.endswith(f".{half}") for name in self.bank.tensors)

    def groups(self, kept: Kept, spans: Sequence[RowSpan], halves: Sequence[str], members: Sequence[int],
               grid: tuple[int, int], apart: bool) -> list[SharedKeys]:
        """One group: the pictures whose subject is seen, which all see the whole bank."""
        if self.level is None or not spans or not members:
            return []
        subjects = self.bank.tensors.get(subjects_name(self.level, grid))
        if subjects is None or not len(subjects):
            return []
        device = kept.masks.device
        self.halves = list(halves)
        self.inside[kept.masks.shape[-1]] = kept.masks[list(members)].any(1).repeat(len(spans), 1)
        rows = tuple(s.start + i for s in spans for i in members)
        here = kept.masks[list(members)].transpose(1, 2)
        return [SharedKeys(rows, len(members), None, None, subjects.to(device) if apart else None,
                           here if apart else None)]

    def keys_for(self, call: AttentionCall) -> Banked:
        """Keys and values of the kept inputs, by the layer's own projections."""
        def banked(group: SharedKeys) -> tuple[torch.Tensor, torch.Tensor]:
            assert self.level is not None
            heads = call.k.shape[1]
            kept = torch.stack([self.bank.tensors[input_name(self.level, call.layer, half)] for half in self.halves])
            kept = kept.to(call.k.device, call.k.dtype)
            keys, values = (split_heads(project(kept), heads).repeat_interleave(group.copies, 0)
                            for project in self.projections(call.layer))
            if self.bank.photographs:
                keys = match_statistics(keys, call.k[call.index(group.rows)], self.inside[call.k.shape[2]])
            return keys, values

        return banked

    def pool(self, device: torch.device, apart: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Unit features of the bank's patches [K, C], and which of them each group of subjects may take [G, K]."""
        features = self.bank.tensors.get("features")
        if features is None:
            return torch.zeros(0, 1, device=device), torch.zeros(1, 0, dtype=torch.bool, device=device)
        subjects = self.bank.tensors["feature_subjects"].to(device)
        return features.to(device, torch.float32), subjects.T if apart else subjects.any(1)[None]

    def outputs(self, layer: LayerAddress, like: torch.Tensor) -> torch.Tensor | None:
        """What the anchors' layer gave at the pool's patches, [K, C]; None where the bank holds none."""
        if self.level is None:
            return None
        found = self.bank.tensors.get(output_name(self.level, layer))
        return None if found is None else found.to(like.device, like.dtype)
