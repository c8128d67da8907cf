"""Method: FastComposer, arXiv 2305.10431. Written from the paper; no code copied.

The paper teaches each subject's word to attend to its own place, in training only. Here the same is
asked at test time: where another subject's word attends more, this subject's word is held back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import torch
import torch.nn.functional as F

from .call import Attend, AttentionCall, LowRankBias, RowSpan
from .heat import pixel_maps
from .masks import check_layouts, masks_on_grid
from .method import spans_of
from .network import LayerAddress, Layers, Network
from .schedule import Schedule
from .text import Phrase, columns

SHARPNESS = 4.0  # power of a subject's share of a pixel
FLOOR = -8.0  # a logit this low is as good as no attention
MEMORY = 0.8  # share of the earlier maps in the mean when a new one comes in


def shares(maps: torch.Tensor) -> torch.Tensor:
    """How much a pixel is each subject's, 1 for the one that attends there most: [B, S, N] to [B, S, N].

    Each map counts by its own mean first, so that a word with more attention does not win everywhere.
    """
    even = maps / maps.mean(-1, keepdim=True).clamp(min=1e-8)
    return even / even.amax(1, keepdim=True).clamp(min=1e-8)


def confinement(share: torch.Tensor, strength: float) -> torch.Tensor:
    """What is added to a subject's logits where it has this share: strength max(FLOOR, SHARPNESS log share)."""
    return strength * (SHARPNESS * share.clamp(min=1e-8).log()).clamp(min=FLOOR)


def masked_shares(share: torch.Tensor, masks: torch.Tensor, given: torch.Tensor) -> torch.Tensor:
    """Shares with masks put in: inside its mask a subject has all, outside none; no other enters a mask.

    share: [B, S, N]; masks: bool [B, S, N]; given: bool [S], which subjects have one.
    """
    ours = (masks & given[:, None]).to(share.dtype)
    taken = ours.amax(1, keepdim=True)
    return torch.where(given[:, None], ours, share * (1 - taken))


@dataclass(eq=False)
class LocaliseState:
    """What a run has found so far.

    maps: by the number of a span's first image, [n, S, N] at half the latent's size. biases: by grid, what was made
    for one noise level, and for which.
    """

    maps: dict[int, torch.Tensor] = field(default_factory=dict)
    biases: dict[tuple[int, int], tuple[tuple[object, ...], torch.Tensor]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LocaliseSubjects:
    """Confine each subject's words to its place.

    masks: bool [I, S, H, W], used where ``given`` [S] says so. mapped: the layers whose maps say where subjects
    are, None for all.
    """

    key: str
    phrases: tuple[Phrase, ...]
    strength: float
    schedule: Schedule
    masks: torch.Tensor
    given: torch.Tensor
    label: str = "IdentityInject"
    mapped: Layers | None = None

    def fitted(self, network: Network, latent_grid: tuple[int, int]) -> LocaliseSubjects:
        """The method for one network: maps of at most half the latent's height and width are read."""
        return replace(self, mapped=network.words(latent_grid[0] * latent_grid[1] // 4))

    def selects(self, layer: LayerAddress) -> bool:
        return layer.reads("image", "text") and (len(self.phrases) > 1 or self._masked)

    @cached_property
    def _masked(self) -> bool:
        return bool(self.given.any())

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return bool(spans_of(self.key, rows))

    def check_run(self, rows: Sequence[RowSpan], images: int) -> None:
        """Raises ValueError when the masks are a batch of another size than the images."""
        check_layouts(self.label, self.masks, images)

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        spans = spans_of(self.key, call.rows)
        tokens, last = call.scratch.once_of(("localise tokens", call.q.device, call.q.dtype),
                                            (self, call.keys, call.rows), lambda: self._tokens(call, spans))
        if self.mapped is None or call.layer in self.mapped:
            self._map(call, spans, last)
        left = self._left_of_step(call, spans)
        if left is None:
            return attend(call)
        return attend(replace(call, bias=LowRankBias(left, tokens) + call.bias))

    def _tokens(self, call: AttentionCall, spans: Sequence[RowSpan]) -> tuple[torch.Tensor, ...]:
        """Which columns are each subject's, and the last of them, [B, 1, Nk, S] of 0 and 1 each."""
        out = torch.zeros(call.q.shape[0], 1, call.k.shape[2], len(self.phrases))
        text, = call.keys.of("text")
        for span in spans:
            assert span.tag is not None
            for row, image in enumerate(span.images, span.start):
                for s, phrase in enumerate(self.phrases):
                    out[row, 0, list(columns(span.tag, image % len(span.tag.rows), phrase, text)), s] = 1
        places = out * torch.arange(1, call.k.shape[2] + 1)[:, None]
        last = (places == places.amax(2, keepdim=True)) * out
        wide = torch.promote_types(call.q.dtype, torch.float32)
        return tuple(t.to(call.q.device, wide) for t in (out, last))

    def _map(self, call: AttentionCall, spans: Sequence[RowSpan], last: torch.Tensor) -> None:
        """Note where each subject's last word gets attention in this layer, head mean."""
        seen = call.scratch.of(self.key, LocaliseState).maps
        size = (max(1, call.latent_grid[0] // 2), max(1, call.latent_grid[1] // 2))
        for span in spans:
            found = pixel_maps(call, last, slice(span.start, span.stop))
            maps = F.interpolate(found, size=size, mode="bilinear").flatten(2)
            before = seen.get(span.first)
            seen[span.first] = maps if before is None else torch.lerp(maps, before, MEMORY)

    def _left_of_step(self, call: AttentionCall, spans: Sequence[RowSpan]) -> torch.Tensor | None:
        """The bias of this grid, made once a step: the maps change little from layer to layer."""
        kept = call.scratch.of(self.key, LocaliseState).biases
        of = (call.step.sigma, call.q.shape[1], call.q.dtype, call.q.device, call.rows)
        if call.grid not in kept or kept[call.grid][0] != of:
            left = self._left(call, spans)
            if left is None:
                return None
            kept[call.grid] = (of, left)
        return kept[call.grid][1]

    def _left(self, call: AttentionCall, spans: Sequence[RowSpan]) -> torch.Tensor | None:
        """What is added at each pixel to each subject's columns: [B, H, Nq, S]; None before anything is known."""
        seen = call.scratch.of(self.key, LocaliseState).maps
        dtype = torch.promote_types(call.q.dtype, torch.float32)
        out = call.q.new_zeros(call.q.shape[0], 1, call.q.shape[2], len(self.phrases), dtype=dtype)
        size = (max(1, call.latent_grid[0] // 2), max(1, call.latent_grid[1] // 2))
        known = False
        for span in spans:
            maps = seen.get(span.first)
            if maps is None and not self._masked:
                continue
            known = True
            if maps is None:
                share = torch.ones(span.count, len(self.phrases), call.q.shape[2], device=call.q.device)
            else:
                share = shares(F.interpolate(maps.unflatten(-1, size), size=call.grid, mode="bilinear").flatten(2))
            share = masked_shares(share, self._masks(call, span), self.given.to(call.q.device))
            out[span.start:span.stop, 0] = confinement(share, self.strength).transpose(1, 2).to(dtype)
        return out.expand(-1, call.q.shape[1], -1, -1) if known else None

    def _masks(self, call: AttentionCall, span: RowSpan) -> torch.Tensor:
        """Each image's masks on the layer's grid: bool [rows, S, Nq]."""
        grids = call.scratch.once(("localise masks", self, call.grid, call.q.device), lambda: masks_on_grid(
            self.masks, call.grid).to(call.q.device))
        return grids[[image % len(grids) for image in span.images]]
