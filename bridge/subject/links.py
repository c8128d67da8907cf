"""Method: ConsiStory (arXiv 2402.03286), feature injection. Written from the paper; no code copied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ...core.call import Scratch
from ...core.correspondence import DIFT_PROGRESS, Link, inject, link, match_features, of_others
from ...core.method import ModelCall
from ...core.network import LayerAddress
from ...core.subject_masks import masks_from_maps
from ..errors import DirectorError
from .pass_state import PassState
from .sampling_pass import ConsiStoryPass, Part


def find_links(this: ConsiStoryPass, features: torch.Tensor, maps: torch.Tensor) -> Link | None:
    """The correspondence of all images, by features [I, C, h, w] and masks cut from the maps; None without a pool."""
    masks = masks_from_maps(maps, this.layers.link_grid, this.options.separate)
    groups = masks if this.options.separate else masks.any(1, keepdim=True)
    patches = match_features(features)
    if this.bank is not None:
        pool, valid = this.bank.pool(patches.device, this.options.separate)
        if len(pool) and pool.shape[1] != patches.shape[2]:
            raise DirectorError(this.label, "the bank was made at a size at which this model reads features elsewhere; "
                                            "use a latent_image of about that size.")
        return link(patches, pool, valid[:, None], groups.transpose(0, 1)) if len(pool) else None
    valid = of_others(groups[:this.anchors].transpose(0, 1).flatten(1), this.images, this.anchors)
    return link(patches, patches[:this.anchors].flatten(0, 1), valid, groups.transpose(0, 1))


def link_records(this: ConsiStoryPass, links: Link | None) -> Mapping[str, Any]:
    """subject_links: [B, N], which of the anchors' patches (anchor times N plus patch) each patch takes from.

    subject_links_open: bool [B, N], where it does; subject_links_grid: (h, w) of these patches.
    """
    if links is None or this.bank:
        return {}
    return {"subject_links": links.index, "subject_links_open": links.gate, "subject_links_grid": this.layers.link_grid}


@dataclass(frozen=True, eq=False)
class FeatureReader(Part):
    """Keeps the features by which parts of pictures are matched; in a pass by itself it matches them at once."""

    def features_wanted(self, call: ModelCall) -> str:
        this = self.sampling
        better = this.gathers and _off(call) <= this.state(call.scratch).features_off
        return this.layers.features if this.ours(call.rows) and (better or self._matches(call)) else ""

    def read_features(self, features: torch.Tensor, call: ModelCall) -> None:
        this, state = self.sampling, self.sampling.state(call.scratch)
        span = this.ours(call.rows)[0]
        state.features, state.features_off = features[span.start:span.stop].clone(), _off(call)
        if self._matches(call) and state.masks and state.maps.mean is not None:
            state.links = find_links(this, state.features, state.maps.mean)

    def _matches(self, call: ModelCall) -> bool:
        return not self.sampling.options.two_pass and self.sampling.injects_at(call.step, call.scratch)


def _off(call: ModelCall) -> float:
    """How far a call is from where features match best."""
    return abs(call.step.progress - DIFT_PROGRESS)


@dataclass(frozen=True, eq=False)
class Injector(Part):
    """Mixes in what the corresponding patches of the anchors give."""

    def edits_outputs(self, layer: LayerAddress) -> bool:
        return layer in self.sampling.layers.injects

    def edit_outputs(self, layer: LayerAddress, hidden: torch.Tensor, call: ModelCall) -> torch.Tensor:
        state = self.sampling.state(call.scratch)
        links = self.sampling.links if self.sampling.options.two_pass else state.links
        if links is None or hidden.shape[1] != links.index.shape[1] or not self.sampling.injects(call, hidden):
            return hidden
        return self._mixed(hidden, layer, links, state, call)

    def records(self, scratch: Scratch) -> Mapping[str, Any]:
        return link_records(self.sampling, self.sampling.links or self.sampling.state(scratch).links)

    def _mixed(self, hidden: torch.Tensor, layer: LayerAddress, links: Link, state: PassState,
               call: ModelCall) -> torch.Tensor:
        """A copy of what the layer gave, [B, N, C], with the anchors' patches mixed in where links are open."""
        this, parts, at = self.sampling, [], 0
        banked = this.bank.outputs(state.bank_level, layer, hidden) if this.bank else None
        if this.bank and banked is None:
            return hidden
        for span in this.ours(call.rows):
            own = hidden[span.start:span.stop]
            pool = own[:this.anchors].flatten(0, 1) if banked is None else banked
            parts += [hidden[at:span.start], inject(own, pool, links, this.options.injection)]
            at = span.stop
        return torch.cat([*(part for part in parts if len(part)), hidden[at:]])
