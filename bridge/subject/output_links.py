"""Method: CharaConsist (arXiv 2507.11533), correspondence by attention outputs, for joint layers.

Written from the paper; no code copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from ...core.call import Attend, AttentionCall, Scratch, Step
from ...core.correspondence import Link, alike, inject, of_others
from ...core.method import ModelCall
from ...core.network import LayerAddress
from ...core.subject_masks import masks_from_maps
from ...core.subject_places import by_matches
from .bank_fill import draft_of
from .links import link_records
from .pass_state import PassState
from .placing import Correspondence, Matches
from .sampling_pass import ConsiStoryPass, Part

# Where in a run outputs match parts: a fifth of it (CharaConsist, section 3).
MATCH_PROGRESS = 0.2


def find_correspondence(this: ConsiStoryPass, outputs: torch.Tensor, maps: torch.Tensor) -> Correspondence | None:
    """By unit vectors of attention outputs [I, N, C] and masks cut from the maps; None without a pool."""
    masks = masks_from_maps(maps, this.layers.link_grid, this.options.separate)
    groups = masks if this.options.separate else masks.any(1, keepdim=True)
    pool, valid = _pool(this, outputs, groups)
    if not len(pool):
        return None
    others = of_others(valid, len(outputs), this.anchors) if this.bank is None else valid[:, None]
    index, gate = zip(*(_matched(pool, valid, own, mask) for own, mask in zip(outputs, groups, strict=True)),
                      strict=True)
    return Correspondence(alike(outputs, pool, others, groups.transpose(0, 1)),
                          Matches(torch.stack(index).cpu(), torch.stack(gate).cpu()))


def _pool(this: ConsiStoryPass, outputs: torch.Tensor, groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The anchors' patches [P, C], and which of them are of each group of subjects, bool [S, P]."""
    if this.bank is not None:
        return this.bank.pool(outputs.device, this.options.separate)
    return outputs[:this.anchors].flatten(0, 1), groups[:this.anchors].transpose(0, 1).flatten(1)


def _matched(pool: torch.Tensor, valid: torch.Tensor, own: torch.Tensor,
             groups: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each patch of the pool the cell of one image, of the same subject: index and gate [P]."""
    index = torch.zeros(len(pool), dtype=torch.long, device=pool.device)
    gate = torch.zeros(len(pool), dtype=torch.bool, device=pool.device)
    for members, mask in zip(valid, groups, strict=True):
        here = members.nonzero().flatten()
        index[here], gate[here] = by_matches(pool[here], own, mask)
    return index, gate


@dataclass(frozen=True, eq=False)
class OutputLinks(Part):
    """Keeps the outputs by which parts of pictures are matched, and mixes in what the anchors' parts give."""

    def begin_call(self, call: ModelCall) -> None:
        """A new noise level: what the one before showed counts from now on."""
        this, state = self.sampling, self.sampling.state(call.scratch)
        if call.step.sigma != state.sigma and end_outputs(state) and not this.gathers and state.maps.mean is not None:
            assert state.features is not None
            state.found = find_correspondence(this, state.features, state.maps.mean)
            if this.keeps and state.found is not None:
                draft_of(this, call.scratch).add_features(this, state.features, state.maps.mean)

    def selects(self, layer: LayerAddress) -> bool:
        layers = self.sampling.layers
        return layer in layers.matches or layer in layers.injects

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        this, state, out = self.sampling, self.sampling.state(call.scratch), attend(call)
        ours = this.ours(call.rows)
        if not ours or not this.fits(call):
            return out
        if call.layer in this.layers.matches and self._wants(call.step, state):
            add_outputs(state, image_of(call, out[ours[0].start:ours[0].stop]), call.step)
        weight = this.injected(call.step, call.scratch) if call.layer in this.layers.injects else 0.0
        links = self._links(call.scratch)
        return self._mixed(call, out, links, weight) if links is not None and weight else out

    def records(self, scratch: Scratch) -> Mapping[str, Any]:
        return link_records(self.sampling, self._links(scratch))

    def _links(self, scratch: Scratch) -> Link | None:
        found = self.sampling.state(scratch).found
        return self.sampling.links or (found.links if found else None)

    def _wants(self, step: Step, state: PassState) -> bool:
        """In a pass that gathers, the level nearest to the best one; in any other, the first from there on."""
        this = self.sampling
        if this.gathers:
            return abs(step.progress - MATCH_PROGRESS) <= state.features_off
        return this.links is None and state.features is None and step.progress >= MATCH_PROGRESS

    def _mixed(self, call: AttentionCall, out: torch.Tensor, links: Link, weight: float) -> torch.Tensor:
        """A copy of what the layer gave, [B, H, N, D], with the anchors' patches mixed in where links are open."""
        this, mixed = self.sampling, out.clone()
        image, = call.queries.of("image")
        for span in this.ours(call.rows):
            own = image_of(call, out[span.start:span.stop])
            pool: torch.Tensor | None = own[:this.anchors].flatten(0, 1)
            if this.bank:
                pool = this.bank.outputs(this.state(call.scratch).bank_level, call.layer, own)
            if pool is not None:
                new = inject(own, pool, links, weight).unflatten(2, (out.shape[1], -1)).transpose(1, 2)
                mixed[span.start:span.stop, :, image.slice] = new
        return mixed


def image_of(call: AttentionCall, out: torch.Tensor) -> torch.Tensor:
    """The image tokens of a layer's output [I, H, L, D], heads joined: [I, N, C]."""
    image, = call.queries.of("image")
    return out[:, :, image.slice].transpose(1, 2).flatten(2)


def add_outputs(state: PassState, outputs: torch.Tensor, step: Step) -> None:
    """One layer's outputs at the present noise level, [I, N, C], whose mean is taken as unit vectors."""
    unit = F.normalize(outputs.to(torch.promote_types(outputs.dtype, torch.float32)), dim=-1)
    state.outputs = unit if state.outputs is None else state.outputs + unit
    state.outputs_off = abs(step.progress - MATCH_PROGRESS)


def end_outputs(state: PassState) -> bool:
    """The noise level is over: True where it left outputs to match by, as unit vectors in ``features``."""
    state.maps.end_level()
    if state.outputs is None:
        return False
    state.features, state.features_off = F.normalize(state.outputs, dim=-1), state.outputs_off
    state.outputs = None
    return True
