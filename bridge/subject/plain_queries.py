"""The queries of a forward without shared keys (ConsiStory, arXiv 2402.03286, query blending)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...core.call import Attend, AttentionCall, RowSpan
from ...core.network import LayerAddress, SubjectLayers
from ...core.schedule import Schedule
from .pass_state import PassState


@dataclass(frozen=True, eq=False)
class PlainQueries:
    """Takes the pass's place in a forward without it, and remembers the decoder's queries of that one."""

    key: str
    label: str
    schedule: Schedule
    layers: SubjectLayers
    state: PassState

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        """Made for these rows."""
        return True

    def selects(self, layer: LayerAddress) -> bool:
        return layer in self.layers.shares

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        self.state.queries[call.layer] = call.q
        return attend(call)
