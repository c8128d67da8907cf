"""Method: FastComposer, arXiv 2305.10431. Written from the paper; no code copied.

The paper teaches each subject's word to attend to its own place, in training only. Here the same is
asked at test time: where another subject's word attends more, this subject's word is held back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F

from .call import Attend, AttentionCall, LowRankBias, RowSpan
from .columns import column_probabilities
from .masks import masks_on_grid
from .method import owned
from .network import LayerAddress
from .schedule import Schedule
from .text import Phrase, PhraseNotFound, PromptTag

SHARPNESS = 4.0  # power of a subject's share of a pixel
FLOOR = -8.0  # a logit this low is as good as no attention
MEMORY = 0.8  # how much of what was seen before stays when a new map comes in


def shares(maps: torch.Tensor) -> torch.Tensor:
    """How much a pixel is each subject's, 1 for the one that attends there most: [B, S, N] to [B, S, N].

    Each map counts by its own mean first, so that a word which is heard more does not win everywhere.
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


@dataclass(frozen=True, eq=False)
class LocaliseSubjects:
    """Confine each subject's words to its place. masks: bool [I, S, H, W], used where ``given`` [S] says so."""

    key: str
    phrases: tuple[Phrase, ...]
    strength: float
    schedule: Schedule
    masks: torch.Tensor
    given: torch.Tensor
    label: str = "IdentityInject"

    def selects(self, layer: LayerAddress) -> bool:
        return layer.kind == "cross" and (len(self.phrases) > 1 or bool(self.given.any()))

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return bool(owned(self.key, rows))

    def check_run(self, rows: Sequence[RowSpan], images: int) -> None:
        """Raises ValueError when the masks are a batch of another size than the images."""
        if self.masks.shape[0] not in (1, images):
            raise ValueError(f"{self.label}: the subjects' masks hold {self.masks.shape[0]} layouts and the run "
                             f"{images} images; give one layout, or one an image")

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        spans = owned(self.key, call.rows)
        tokens = call.scratch.once(("localise tokens", self, call.k.shape[2], _identity(call.rows), call.q.device),
                                   lambda: self._tokens(call, spans))
        if 4 * call.q.shape[2] <= call.latent_grid[0] * call.latent_grid[1]:
            self._look(call, spans, tokens)
        left = self._left_of_step(call, spans)
        if left is None:
            return attend(call)
        return attend(replace(call, bias=LowRankBias(left, tokens.to(left.dtype)) + call.bias))

    def _tokens(self, call: AttentionCall, spans: Sequence[RowSpan]) -> torch.Tensor:
        """Which columns are each subject's: [B, 1, Nk, S] of 0 and 1."""
        out = torch.zeros(call.q.shape[0], 1, call.k.shape[2], len(self.phrases))
        for span in spans:
            assert span.tag is not None
            for row, image in enumerate(span.images, span.start):
                for s, phrase in enumerate(self.phrases):
                    out[row, 0, columns_of(span.tag, image % len(span.tag.rows), phrase, call.k.shape[2]), s] = 1
        return out.to(call.q.device)

    def _look(self, call: AttentionCall, spans: Sequence[RowSpan], tokens: torch.Tensor) -> None:
        """Note where each subject's last word attends in this layer, head mean."""
        seen = call.scratch.once(("localise maps", self.key), dict)
        size = (max(1, call.latent_grid[0] // 2), max(1, call.latent_grid[1] // 2))
        for span in spans:
            ours = slice(span.start, span.stop)
            steps = torch.arange(1, call.k.shape[2] + 1, device=call.q.device)
            last = (tokens[ours, 0] * steps[:, None]).argmax(1)
            bias = call.bias and LowRankBias(call.bias.left[ours], call.bias.right.expand(
                call.q.shape[0], -1, -1, -1)[ours])
            found = column_probabilities(call.q[ours], call.k[ours], last, bias).mean(1).transpose(1, 2)
            found = found * tokens[ours, 0].amax(1)[..., None]  # a row may lack a subject
            maps = F.interpolate(found.unflatten(-1, call.grid), size=size, mode="bilinear").flatten(2)
            before = seen.get(span.first)
            seen[span.first] = maps if before is None else torch.lerp(maps, before, MEMORY)

    def _left_of_step(self, call: AttentionCall, spans: Sequence[RowSpan]) -> torch.Tensor | None:
        """The bias of this grid, made once a step: the maps change little from layer to layer."""
        kept = call.scratch.once(("localise bias", self.key), dict)
        of = (call.step.sigma, call.q.shape[1], call.q.dtype, call.q.device, _identity(call.rows))
        if kept.get(call.grid, (None,))[0] != of:
            left = self._left(call, spans)
            if left is None:
                return None
            kept[call.grid] = (of, left)
        return kept[call.grid][1]

    def _left(self, call: AttentionCall, spans: Sequence[RowSpan]) -> torch.Tensor | None:
        """What is added at each pixel to each subject's columns: [B, H, Nq, S]; None before anything is known."""
        seen = call.scratch.once(("localise maps", self.key), dict)
        dtype = torch.promote_types(call.q.dtype, torch.float32)
        out = call.q.new_zeros(call.q.shape[0], 1, call.q.shape[2], len(self.phrases), dtype=dtype)
        size = (max(1, call.latent_grid[0] // 2), max(1, call.latent_grid[1] // 2))
        known = False
        for span in spans:
            maps = seen.get(span.first)
            if maps is None and not bool(self.given.any()):
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
            self.masks, call.latent_grid, call.grid).to(call.q.device))
        return grids[[image % len(grids) for image in span.images]]


def columns_of(tag: PromptTag, row: int, phrase: Phrase, keys: int) -> list[int]:
    """Columns of a phrase on a key axis of ``keys`` tokens, in every repetition; [] where the row lacks it."""
    try:
        found = phrase.find(tag.rows[row])
    except PhraseNotFound:
        return []
    own = len(tag.rows[row].pieces)
    return [start + p for start in range(0, keys - own + 1, own) for p in found]


def _identity(rows: Sequence[RowSpan]) -> tuple[object, ...]:
    return tuple((s.start, s.stop, s.first, id(s.tag)) for s in rows)
