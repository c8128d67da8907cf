"""Method: ConsiStory (arXiv 2402.03286), one pass of the sampler. Written from the paper; no code copied.

Stands in the chain for the node's method while its run lasts, innermost, so that what other methods do
to queries, keys and biases has happened when keys are shared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from ...core.call import Attend, AttentionCall, RowSpan, Scratch, Step
from ...core.correspondence import DIFT_TIMESTEP, Link, inject, link, match_features
from ...core.method import ModelCall, spans_of
from ...core.network import LayerAddress, SubjectLayers
from ...core.schedule import Schedule
from ...core.shared_keys import attend_shared, blend_queries
from ...core.subject_masks import masks_from_maps, subject_maps
from ..run.run import TIMESTEPS
from .bank_use import BankKeeper, BankUse
from .pass_state import (
    PassState,
    SubjectOptions,
    anchor_groups,
    dropout_seed,
    lonely_rows,
    make_kept,
    stride_of,
    whole_spans,
)
from .plain_queries import PlainQueries

# Noise levels whose masks a readout can show.
LONGEST_HISTORY = 64
DIFT_PROGRESS = 1.0 - DIFT_TIMESTEP / TIMESTEPS


@dataclass(frozen=True, eq=False)
class SubjectPass:
    """One pass. columns, members: of subject_columns; links: correspondence from the pass before.

    gathers: this pass is to find the features for a correspondence. use: the bank's anchors, instead of
    the first images. keep: fills a bank. fixed: maps [I, S, h, w] to cut the masks from, instead of those
    of the noise levels before.
    """

    key: str
    label: str
    images: int
    options: SubjectOptions
    layers: SubjectLayers
    columns: torch.Tensor
    members: torch.Tensor
    seed: int
    state: PassState
    gathers: bool
    links: tuple[Link, ...] | None = None
    use: BankUse | None = None
    keep: BankKeeper | None = None
    fixed: torch.Tensor | None = None
    recording: bool = False

    @property
    def anchors(self) -> int:
        """How many of the first images the others look at."""
        return 0 if self.use else min(self.options.anchors, self.images)

    @property
    def schedule(self) -> Schedule:
        """All of the run up to the last window: maps are read from the first step on."""
        ends = [self.options.share.end if self.options.sharing else 0.0,
                self.options.inject.end if self.options.injecting else 0.0]
        return Schedule(0.0, 1.0 if self.gathers or self.keep else max(ends))

    def sum_up(self, scratch: Scratch) -> str:
        anchors = f"a bank of {self.use.bank.anchors}" if self.use else f"{self.anchors} anchors"
        text = f"{self.images} scenes, {anchors}"
        if self.state.lonely:
            text += (f"; {self.state.lonely} of {self.state.shared_levels * self.images} picture steps were drawn "
                     "alone, their subject was nowhere to be seen")
        if self.use and self.use.missed:
            text += f"; {self.use.missed} steps lay too far from the bank's"
        if self.keep:
            text += f"; bank of {self.keep.megabytes:.1f} MB"
        return text

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        """Every conditioning of the whole set: the negative's rows are the same pictures."""
        return bool(whole_spans(rows, self.images))

    def selects(self, layer: LayerAddress) -> bool:
        return layer in self.layers.maps or layer in self.layers.shares

    def records(self, scratch: Scratch) -> Mapping[str, Any]:
        """What a readout shows of the run.

        subject_masks: bool [B, h, w], at the end; subject_masks_by_step: of each noise level, [T, B, h, w].
        subject_links: [B, N], which of the anchors' patches (anchor times N plus patch) each patch drew from,
        subject_links_open: bool [B, N], where it did; subject_links_grid: (h, w) of these patches.
        """
        maps = self.state.maps.mean
        if maps is None:
            return {}
        grid = self.layers.shared_grids[0]
        found: dict[str, Any] = {"subject_masks": masks_from_maps(maps, grid).any(1).unflatten(-1, grid)}
        if self.state.history:
            found["subject_masks_by_step"] = torch.stack(self.state.history)
        links = self.links or self.state.links
        if links and not self.use:
            found["subject_links"] = torch.stack([drawn.index for drawn in links])
            found["subject_links_open"] = torch.stack([drawn.gate for drawn in links])
            found["subject_links_grid"] = self.layers.link_grid
        return found

    def begin_call(self, call: ModelCall) -> None:
        """Masks when the noise level is new, groups when the rows are."""
        self._begin(call.step, call.rows)

    def forwards(self, call: ModelCall) -> Sequence[PlainQueries]:
        """A forward without us, whose queries keep the layout of a picture generated alone."""
        share = self.options.plain_queries(call.step)
        if share == 0.0 or not any(groups for groups, _ in self.state.groups.values()):
            return ()
        return (PlainQueries(self.key, self.label, self.schedule, self.layers, self.state),)

    def reads_inputs(self, layer: LayerAddress) -> bool:
        return self.keep is not None and layer in self.layers.shares

    def edits_outputs(self, layer: LayerAddress) -> bool:
        return layer in self.layers.injects

    def features_wanted(self, call: ModelCall) -> str:
        off = abs(call.step.progress - DIFT_PROGRESS)
        one_pass = not self.options.two_pass and self._injects_now(call.step)
        if not self._ours() or not (one_pass or (self.gathers and off <= self.state.features_off)):
            return ""
        self.state.features_off = off
        return self.layers.features

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        if call.q.shape[0] != call.rows[-1].stop or call.latent_grid != self.layers.latent_grid:
            return attend(call)
        if call.layer in self.layers.maps:
            if call.grid != self.layers.map_grid:
                return attend(call)
            for span in self._ours(call.rows):
                maps = subject_maps(call, span, self.columns, self.members)
                self.state.maps.add(span.images, maps, self.images)
            return attend(call)
        groups, alone = self.state.groups.get(call.grid, ([], ()))
        if not groups or call.grid != self.layers.shares[call.layer]:
            return attend(call)
        return self._share(call, attend, groups, alone)

    def _share(self, call, attend, groups, alone) -> torch.Tensor:
        plain = self.state.queries.pop(call.layer, None)
        if plain is not None:
            call = replace(call, q=blend_queries(call.q, plain, self.options.plain_queries(call.step)))
        banked = self.use.keys_for(call) if self.use else None
        return attend_shared(call, attend, groups, alone, self.options.strength, banked)

    def _half_of(self, row: int) -> str:
        """Which half of a bank a row of this call reads."""
        return "cond" if any(s.start <= row < s.stop for s in self._ours()) else "uncond"

    def _ours(self, rows: Sequence[RowSpan] | None = None) -> list[RowSpan]:
        """Whole conditionings of our prompt, in this call."""
        return whole_spans(spans_of(self.key, self.state.rows if rows is None else rows), self.images)

    def _injects_now(self, step: Step) -> bool:
        """In its window, and where the paper shares: not in the first step, which has no maps yet."""
        begun = self.fixed is not None or self.state.maps.total is not None
        return begun and self.options.injecting and self.options.inject.active(step.progress)

    def _begin(self, step: Step, rows: tuple[RowSpan, ...]) -> None:
        """Before a model call: masks when the noise level is new, groups when the rows are."""
        state = self.state
        new = step.sigma != state.sigma
        if new:
            state.maps.fold()
            state.sigma, state.kept = step.sigma, {}
            if self.keep:
                self.keep.flush(step)
            if self.use:
                self.use.begin(step, self.options.sharing and self.options.share.active(step.progress))
            self._make_masks(step)
        if new or rows != state.rows:
            state.rows, state.groups, state.queries = rows, {}, {}
            if self.options.sharing and self.options.share.active(step.progress):
                state.groups = {grid: self._groups(grid) for grid in state.kept}

    def _make_masks(self, step: Step) -> None:
        maps = self.fixed if self.fixed is not None else self.state.maps.mean
        sharing = self.options.sharing and self.options.share.active(step.progress)
        if maps is None or not (sharing or self.keep):
            return
        state = self.state
        state.kept = {grid: make_kept(maps, grid, self.options, self.anchors, self._dropout_seed(step, grid))
                      for grid in self.layers.shared_grids}
        finest = state.kept[max(state.kept)]
        state.shared_levels += 1
        state.lonely += len(finest.alone)
        if self.recording and len(state.history) < LONGEST_HISTORY:
            state.history.append(finest.masks.any(1).unflatten(-1, max(state.kept)).cpu())

    def _dropout_seed(self, step: Step, grid: tuple[int, int]) -> int:
        return dropout_seed(self.seed, step.sigma, stride_of(self.layers.latent_grid, grid))

    def _groups(self, grid: tuple[int, int]):
        kept = self.state.kept[grid]
        if self.use is None:
            return anchor_groups(kept, self.state.rows, self.images, self.options.separate)
        found = [(s, self._half_of(s.start)) for s in whole_spans(self.state.rows, self.images)]
        found = [(s, half) for s, half in found if self.use.has_half(half)]
        spans, halves = [s for s, _ in found], [half for _, half in found]
        members = [i for i in range(self.images) if i not in kept.alone]
        groups = self.use.groups(kept, spans, halves, members, grid, self.options.separate)
        grouped = {s.start + i for s in spans for i in members} if groups else set()
        return groups, lonely_rows(grouped, self.state.rows)

    def read_features(self, features: torch.Tensor, call: ModelCall) -> None:
        """The features for correspondence pass by."""
        span = self._ours()[0]
        self.state.features = features[span.start:span.stop].clone()
        if not self.options.two_pass and self.state.kept:
            maps = self.state.maps.mean
            assert maps is not None
            self.state.links = self.find_links(maps)

    def find_links(self, maps: torch.Tensor) -> tuple[Link, ...] | None:
        """The correspondence of each image, by the features found and masks cut from these maps."""
        if self.state.features is None:
            return None
        masks = masks_from_maps(maps, self.layers.link_grid, self.options.separate)
        groups = masks if self.options.separate else masks.any(1, keepdim=True)
        patches = match_features(self.state.features)
        if self.use is not None:
            pool, valid = self.use.pool(patches.device, self.options.separate)
            return tuple(link(patches[i], pool, valid, groups[i]) for i in range(self.images)) if len(pool) else None
        links = []
        for image in range(self.images):
            valid = groups[:self.anchors].clone()
            if image < self.anchors:
                valid[image] = False
            links.append(link(patches[image], patches[:self.anchors].flatten(0, 1),
                              valid.transpose(0, 1).flatten(1), groups[image]))
        return tuple(links)

    def edit_outputs(self, layer: LayerAddress, hidden: torch.Tensor, call: ModelCall) -> torch.Tensor:
        """Mix in what the corresponding patches of the anchors give."""
        if not self._ours() or not self._injects_now(call.step) or len(hidden) != self.state.rows[-1].stop:
            return hidden
        links = self.links if self.options.two_pass else self.state.links
        open_ = links is not None and hidden.shape[1] == len(links[0].index)
        out = self._mixed(hidden, layer, links) if open_ else hidden
        if self.keep and self.keep.link_positions and self.state.kept:
            self.keep.outputs(layer, out[self._ours()[0].start:])
        return out

    def _mixed(self, n: torch.Tensor, layer: LayerAddress, links: Sequence[Link]) -> torch.Tensor:
        """A copy of what the layer gave, [B, N, C], with the anchors' patches mixed in where links are open."""
        out = n.clone()
        for span in self._ours():
            pool = n[span.start:span.start + self.anchors].flatten(0, 1)
            if self.use:
                pool = self.use.outputs(layer, n)
            if pool is not None:
                for image, row in enumerate(range(span.start, span.stop)):
                    out[row] = inject(n[row], pool, links[image], self.options.injection)
        return out

    def read_inputs(self, layer: LayerAddress, hidden: torch.Tensor, call: ModelCall) -> None:
        """What the self-attention of the anchors is about to read, for the bank."""
        grid = self.layers.shares[layer]
        cells = math.prod(grid) if grid in self.state.kept else 0
        if self.keep and hidden.shape[:2] == (self.state.rows[-1].stop, cells):
            for span in whole_spans(self.state.rows, self.images):
                self.keep.inputs(layer, grid, self._half_of(span.start), hidden[span.start:], self.state.kept[grid])
