"""A pass that fills a bank where text and image share the attention (ConsiStory, arXiv 2402.03286, anchors)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...core.call import Attend, AttentionCall
from ...core.network import LayerAddress
from ...core.shared_keys import without_positions
from ..families.kernel import join_heads
from .bank_writer import BankKeeper
from .levels import LevelMasks
from .output_links import image_of


@dataclass(frozen=True, eq=False)
class TokenWriter(BankKeeper):
    """Keeps the anchors' keys, without their positions, their values, and what injection has made of the outputs."""

    def selects(self, layer: LayerAddress) -> bool:
        layers = self.sampling.layers
        return layers.banks(layer) and (layer in layers.shares or layer in layers.injects)

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        this, out = self.sampling, attend(call)
        level, draft = this.state(call.scratch).masks.get(call.grid), self.draft(call.scratch)
        if level is None or not draft.open or not this.fits(call):
            return out
        if call.layer in this.layers.shares:
            self._keep_tokens(call, level)
        ours, injects = this.ours(call.rows), call.layer in this.layers.injects
        if draft.link_positions and ours and injects and this.injected(call.step, call.scratch):
            draft.add_outputs(call.layer, image_of(call, out[ours[0].start:ours[0].stop]))
        return out

    def _keep_tokens(self, call: AttentionCall, level: LevelMasks) -> None:
        this, draft, keys = self.sampling, self.draft(call.scratch), without_positions(call)
        draft.add_places(this, level, call.grid)
        for span, kind in this.kinds(call.rows):
            kept = slice(span.start, span.stop)
            draft.add_tokens(call.layer, kind, join_heads(keys[kept]), image_of(call, call.v[kept]), level)
