"""From a finished run to a bank, and to the node that saves it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F

from ...core.call import Scratch, Step
from ...core.correspondence import match_features
from ...core.network import LayerAddress
from ...core.rotary import cells_of
from ...core.subject_masks import masks_from_maps
from ..errors import DirectorError
from ..families.checkpoint import fingerprint
from ..run.store import RunStore
from .bank import KEY, VALUE, Kind, SubjectBank, input_name, output_name, places_name, subjects_name, token_name
from .levels import LevelMasks
from .placing import Placing
from .sampling_pass import ConsiStoryPass

PREVIEW_SCALE = 8
# Banks of the last runs that kept one.
BANKS: RunStore[SubjectBank] = RunStore(2)


@dataclass(eq=False)
class BankDraft:
    """A bank in the making; in the run's scratch. What one noise level gives waits on the device until it is over.

    apart: how far apart in the run the noise levels are that are kept. link_positions: of each anchor, the patches
    that later pictures may take from. step: the present noise level; open: it is one of those that are kept.
    bank: when it is done.
    """

    apart: float = 0.0

    link_positions: list[torch.Tensor] = field(default_factory=list)
    levels: list[Step] = field(default_factory=list)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    waiting: dict[str, torch.Tensor] = field(default_factory=dict)
    step: Step | None = None
    open: bool = False
    bank: SubjectBank | None = None

    @property
    def megabytes(self) -> float:
        return sum(t.numel() * t.element_size() for t in self.tensors.values()) / 1e6

    def begin_level(self, step: Step | None) -> None:
        """A noise level is over: put what it gave into memory as half precision. ``step``: the next one."""
        if self.waiting:
            for name, value in self.waiting.items():
                self.tensors[name] = value.to("cpu", value.dtype if value.dtype == torch.bool else torch.float16)
            self.waiting = {}
        elif self.open:
            self.levels.pop()
        near = bool(self.levels) and step is not None and abs(step.progress - self.levels[-1].progress) < self.apart
        self.step, self.open = step, step is not None and not near
        if self.open and step is not None:
            self.levels.append(step)

    def add_inputs(self, layer: LayerAddress, stride: int, kind: Kind, hidden: torch.Tensor,
                   level: LevelMasks) -> None:
        """What the self-attention of the anchors reads, [images, N, C], at the kept positions."""
        if self.open:
            at = len(self.levels) - 1
            self.waiting[input_name(at, kind, layer)] = level.kept(hidden)
            self.waiting[subjects_name(at, stride)] = torch.cat(
                [level.subjects(a) for a in range(len(level.positions))])

    def add_places(self, this: ConsiStoryPass, level: LevelMasks, grid: tuple[int, int]) -> None:
        """Where the kept positions of the anchors are, for keys that carry none."""
        at = len(self.levels) - 1
        if places_name(at) not in self.waiting:
            each = range(len(level.positions))
            keys = Placing(level, grid, this.options.separate).anchored(each)
            anchors = torch.cat([torch.full_like(level.positions[a], a) for a in each])
            self.waiting[places_name(at)] = torch.cat((anchors[:, None], keys.cells, keys.boxes), 1)
            self.waiting[subjects_name(at, this.stride(grid))] = torch.cat([level.subjects(a) for a in each])

    def add_tokens(self, layer: LayerAddress, kind: Kind, keys: torch.Tensor, values: torch.Tensor,
                   level: LevelMasks) -> None:
        """Keys and values of the anchors, [images, N, C], at the kept positions."""
        for name, tokens in ((KEY, keys), (VALUE, values)):
            self.waiting[token_name(name, len(self.levels) - 1, kind, layer)] = level.kept(tokens)

    def add_outputs(self, layer: LayerAddress, hidden: torch.Tensor) -> None:
        """What it gives after injection, [images, N, C], at the patches that later pictures may take from."""
        if self.open:
            self.waiting[output_name(len(self.levels) - 1, layer)] = torch.cat(
                [hidden[a, positions] for a, positions in enumerate(self.link_positions)])

    def add_features(self, this: ConsiStoryPass, features: torch.Tensor, maps: torch.Tensor) -> None:
        """The anchors' features at their subject's patches, and which patches these are.

        features: [I, C, h, w]; [I, N, C] where they are outputs of attention.
        """
        masks = masks_from_maps(maps, this.layers.link_grid, this.options.separate)[:this.anchors]
        patches = features[:this.anchors] if this.layers.joint else match_features(features[:this.anchors])
        self.link_positions = [mask.any(0).nonzero().flatten() for mask in masks]
        found = list(zip(patches, masks, self.link_positions, strict=True))
        self.tensors["features"] = torch.cat([patch[at] for patch, _, at in found]).to("cpu", torch.float16)
        self.tensors["feature_subjects"] = torch.cat([mask[:, at].T for _, mask, at in found]).cpu()
        if this.layers.joint:
            cells = cells_of(this.layers.link_grid, features.device)
            stand = [torch.cat((cells[at].new_full((len(at), 1), a), cells[at]), 1)
                     for a, at in enumerate(self.link_positions)]
            self.tensors["feature_places"] = torch.cat(stand).to("cpu", torch.float16)


def draft_of(this: ConsiStoryPass, scratch: Scratch) -> BankDraft:
    """The bank that a pass fills."""
    draft = scratch.of(this.state_key, BankDraft)
    draft.apart = this.layers.apart
    return draft


def make_bank(patcher: Any, this: ConsiStoryPass, scratch: Scratch, samples: torch.Tensor, scenes: tuple[str, ...],
              photographs: bool = False) -> SubjectBank:
    """The bank of a finished pass. samples: [B, C, h, w] in the model's own scale, the first being the anchors."""
    draft = draft_of(this, scratch)
    draft.begin_level(None)
    draft.tensors["preview"] = latent_preview(patcher.model, samples[:this.anchors])
    return SubjectBank(fingerprint(patcher), this.anchors, scenes[:this.anchors],
                       tuple(phrase.text for phrase in this.phrases), this.seed,
                       tuple(level.progress for level in draft.levels), photographs, dict(draft.tensors))


def latent_preview(model: Any, samples: torch.Tensor) -> torch.Tensor:
    """Rough pictures of latents [A, C, h, w] in the model's scale, by the host's colour factors: [A, 3, H, W]."""
    factors = getattr(model.latent_format, "latent_rgb_factors", None)
    plain = samples.detach().to("cpu", torch.float32)
    if factors is None or len(factors) != plain.shape[1]:
        rgb = plain[:, :1].repeat(1, 3, 1, 1)
    else:
        rgb = torch.einsum("achw,cr->arhw", plain, torch.tensor(factors))
    rgb = F.interpolate((rgb + 1) / 2, scale_factor=PREVIEW_SCALE, mode="bilinear")
    return rgb.clamp(0, 1).to(torch.float16)


def bank_of_samples(node: str, patcher: Any, latent: dict[str, Any] | None) -> SubjectBank:
    """The bank that the run with this result, a LATENT, kept. Raises DirectorError."""
    if latent is None:
        raise DirectorError(node, "neither samples nor a bank is wired; wire the sampler's result or a bank.")
    bank = BANKS.find(latent["samples"])
    if bank is None:
        raise DirectorError(node, "the anchors of the run that made these samples are gone; switch keep_bank on in "
                                  "Shared Subject and run again (with another seed if nothing else changed).")
    if bank.model != fingerprint(patcher):
        raise DirectorError(node, "the samples were generated with another model; wire the model that generated them.")
    return bank
