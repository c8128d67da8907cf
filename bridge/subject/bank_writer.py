"""A pass that fills a bank (ConsiStory, arXiv 2402.03286, anchors)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ...core.call import Scratch
from ...core.method import ModelCall
from ...core.network import LayerAddress
from ..run.hooks import File
from ..run.run import Run
from .bank_fill import BANKS, BankDraft, draft_of
from .sampling_pass import Part


@dataclass(frozen=True, eq=False)
class BankKeeper(Part):
    """The part of a pass that fills a bank."""

    def begin_call(self, call: ModelCall) -> None:
        draft = self.draft(call.scratch)
        if call.step != draft.step:
            draft.begin_level(call.step)

    def end_run(self, run: Run) -> File | None:
        """Keep the bank for the node that saves it."""
        bank = self.draft(run.scratch).bank
        return None if bank is None else lambda samples: BANKS.keep(samples, bank)

    def sum_up(self, scratch: Scratch) -> str:
        return f"bank of {self.draft(scratch).megabytes:.1f} MB"

    def draft(self, scratch: Scratch) -> BankDraft:
        return draft_of(self.sampling, scratch)


@dataclass(frozen=True, eq=False)
class BankWriter(BankKeeper):
    """Keeps what the anchors' layers read and, last in the chain, what injection has made of their outputs."""

    def reads_inputs(self, layer: LayerAddress) -> bool:
        return layer in self.sampling.layers.shares

    def read_inputs(self, layer: LayerAddress, hidden: torch.Tensor, call: ModelCall) -> None:
        """What the self-attention of the anchors is about to read."""
        this, grid = self.sampling, self.sampling.layers.shares[layer]
        level = this.state(call.scratch).masks.get(grid)
        if level is None or hidden.shape[:2] != (call.rows[-1].stop, math.prod(grid)):
            return
        for span, kind in this.kinds(call.rows):
            self.draft(call.scratch).add_inputs(layer, this.stride(grid), kind, hidden[span.start:], level)

    def edits_outputs(self, layer: LayerAddress) -> bool:
        return layer in self.sampling.layers.injects

    def edit_outputs(self, layer: LayerAddress, hidden: torch.Tensor, call: ModelCall) -> torch.Tensor:
        """Changes nothing."""
        this, draft = self.sampling, self.draft(call.scratch)
        if draft.link_positions and this.state(call.scratch).masks and this.injects(call, hidden):
            draft.add_outputs(layer, hidden[this.ours(call.rows)[0].start:])
        return hidden
