"""Method: ConsiStory (arXiv 2402.03286), masks by noise level. Written from the paper; no code copied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ...core.call import Scratch, Step, ids_of
from ...core.method import ModelCall
from ...core.subject_masks import masks_from_maps
from .bank_use import bank_group
from .groups import Sharing, anchor_groups
from .levels import LevelMasks, dropout_seed, level_masks
from .pass_state import PassState
from .placing import Placing
from .sampling_pass import Part

# Noise levels whose masks a readout can show.
LONGEST_HISTORY = 64


@dataclass(frozen=True, eq=False)
class LevelStart(Part):
    """Before a model call: cuts masks when the noise level is new, forms groups when the rows are."""

    def begin_call(self, call: ModelCall) -> None:
        state = self.sampling.state(call.scratch)
        new = call.step.sigma != state.sigma
        if new:
            self._begin_level(state, call)
        if new or call.rows is not state.rows:
            state.rows, state.queries, known = call.rows, {}, ids_of(call.rows)
            if known not in state.shared:
                grids = state.masks if self.sampling.shares_at(call.step) else ()
                state.shared[known] = {grid: self._sharing(state, grid) for grid in grids}
            state.sharing = state.shared[known]

    def sum_up(self, scratch: Scratch) -> str:
        this, state = self.sampling, self.sampling.state(scratch)
        anchors = f"a bank of {this.bank.bank.anchors}" if this.bank else f"{this.anchors} anchors"
        text = f"{this.images} scene{'s' * (this.images != 1)}, {anchors}"
        if state.unshared:
            text += (f"; in {state.unshared} of {state.shared_levels * this.images} picture steps nothing was shared, "
                     "because the subject was not found")
        if state.missed:
            text += f"; {state.missed} {'steps were' if state.missed > 1 else 'step was'} too far from the bank's"
        return text

    def records(self, scratch: Scratch) -> Mapping[str, Any]:
        """subject_masks: bool [B, h, w], at the end; subject_masks_by_step: of each noise level, [T, B, h, w]."""
        state, grid = self.sampling.state(scratch), self.sampling.layers.shared_grids[0]
        maps = state.maps.mean
        if maps is None:
            return {}
        found = {"subject_masks": masks_from_maps(maps, grid).any(1).unflatten(-1, grid)}
        return found | ({"subject_masks_by_step": torch.stack(state.history)} if state.history else {})

    def _begin_level(self, state: PassState, call: ModelCall) -> None:
        this, step = self.sampling, call.step
        state.maps.end_level()
        state.sigma, state.masks, state.shared = step.sigma, {}, {}
        shares = this.shares_at(step)
        if this.bank:
            state.bank_level = this.bank.level(step)
            state.missed += shares and state.bank_level is None
        maps = self._maps(state)
        if maps is None or not (shares or this.keeps):
            return
        maps = maps.cpu()  # the only wait for a GPU in a noise level
        state.masks = {grid: self._masks(maps, grid, step) for grid in this.layers.shared_grids}
        finest = max(state.masks)
        state.shared_levels += 1
        state.unshared += len(state.masks[finest].unshared)
        if call.scratch.recording and len(state.history) < LONGEST_HISTORY:
            state.history.append(state.masks[finest].masks.any(1).unflatten(-1, finest))

    def _maps(self, state: PassState) -> torch.Tensor | None:
        return state.maps.mean if self.sampling.maps is None else self.sampling.maps

    def _masks(self, maps: torch.Tensor, grid: tuple[int, int], step: Step) -> LevelMasks:
        this = self.sampling
        seed = dropout_seed(this.seed, step.sigma, this.stride(grid))
        return level_masks(maps, grid, this.options, this.anchors, seed)

    def _sharing(self, state: PassState, grid: tuple[int, int]) -> Sharing:
        this, level, maps = self.sampling, state.masks[grid], self._maps(state)
        assert maps is not None
        apart, matches = this.options.separate, this.matches or (state.found.matches if state.found else None)
        placing = Placing(level, grid, apart, this.options.placed, matches) if this.layers.joint else None
        if this.bank is None:
            return anchor_groups(level, state.rows, this.images, apart, maps.device, placing)
        spans = this.kinds(state.rows)
        return bank_group(this.bank, state.bank_level, level, this.stride(grid), spans, state.rows, apart, maps.device,
                          placing)
