"""Method: pictures of subjects as tokens of the one sequence of a transformer, each seen by its own words and place.

Models trained with reference pictures read their clean tokens behind those of the picture that is made, every token
every other: so two people become one. Here, for subject r with the tokens R_r of its pictures, its words P_r, its
weight w_r and its soft place L_r (0..1 at each pixel), what is added to the logits is

    words of P_r to R_r             0, all other words -inf
    pixel i to R_r                  ln w_r + localise max(-8, 4 ln L_r(i))
    R_r to R_r, to P_r, to pixels   0, to everything else -inf

That a subject's words keep to their place is what FastComposer (arXiv 2305.10431) trains for; L_r and its floor are
those of core/localise.py, from the words' maps so far or from a mask. Two columns a subject, no mask of N x N.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch

from .call import Attend, AttentionCall, LowRankBias, RowSpan, Scratch
from .localise import confinement, masked_shares, shares
from .masks import check_layouts, masks_on_grid
from .method import spans_of
from .network import LayerAddress
from .schedule import Schedule
from .text import Phrase
from .word_places import marks, places_so_far, settled

NEVER = -100.0  # a logit as good as minus infinity, and exact in half precision


@dataclass(eq=False)
class ReferenceState:
    """What was made last, and of what: after the first noise level the bias is one for all layers of a level."""

    of: tuple[object, ...] = ()
    bias: LowRankBias | None = None


@dataclass(frozen=True, eq=False)
class ReferenceAttention:
    """Confine subjects' reference pictures to their words and places.

    references: for each subject the numbers of its pictures among the call's references. weights: above 0, of each
    subject. localise: 0..1, how strongly pixels keep to their own subject. masks: bool [I, S, H, W], used where
    ``given`` [S] says so. A call without these references is left alone.
    """

    key: str
    phrases: tuple[Phrase, ...]
    references: tuple[tuple[int, ...], ...]
    weights: tuple[float, ...]
    localise: float
    masks: torch.Tensor
    given: torch.Tensor
    label: str = "IdentityInject"
    schedule: Schedule = field(default_factory=Schedule)

    acts_in_joint_layers: ClassVar[bool] = True

    @property
    def confines(self) -> bool:
        """True where pixels keep to their own subject."""
        return self.localise > 0 and (len(self.phrases) > 1 or bool(self.given.any()))

    @property
    def needs_places(self) -> bool:
        return self.confines

    def sum_up(self, scratch: Scratch) -> str:
        count = len(self.phrases)
        said = [f"{count} subject{'s' * (count != 1)}"]
        if scratch.has(self.key, ReferenceState) is None:
            said.append("none of their pictures reached the model; wire this node's positive to the sampler as it is")
        if not self.localise and bool(self.given.any()):
            said.append("their masks do nothing while localise is 0")
        return "; ".join(said)

    def selects(self, layer: LayerAddress) -> bool:
        return layer.reads("image", "text") and layer.reads("text", "image")

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return bool(spans_of(self.key, rows))

    def check_run(self, rows: Sequence[RowSpan], images: int) -> None:
        """Raises ValueError when the masks are a batch of another size than the images."""
        check_layouts(self.label, self.masks, images)

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        ours = {number for numbers in self.references for number in numbers}
        if not any(segment.number in ours for segment in call.keys.of("reference")):
            return attend(call)
        state = call.scratch.of(self.key, ReferenceState)
        of = (call.step.sigma, call.keys, call.row_ids, call.q.shape[1], call.q.dtype, call.q.device)
        moving = self.confines and not settled(call.scratch, self.key)
        if state.bias is None or state.of != of or moving:
            state.of, state.bias = of, self._bias(call)
        return attend(replace(call, bias=state.bias + call.bias))

    def _bias(self, call: AttentionCall) -> LowRankBias:
        """The rule as columns, S of what reads R_r and S of what R_r reads: [B, H, N, 2 S] and [B, 1, N, 2 S]."""
        words = marks(call, self.key, self.phrases)[:, 0]
        own = self._reference_tokens(call).to(words)
        pixels = torch.zeros_like(words[:1, :, :1])
        for image in call.keys.of("image"):
            pixels[:, image.slice] = 1.0
        related = (words + own + pixels).clamp(max=1.0)
        reading = NEVER * (1.0 - related)
        left = torch.cat((reading, NEVER * own.expand(len(words), -1, -1)), -1)
        right = torch.cat((own.expand(len(words), -1, -1), 1.0 - related), -1)
        theirs = torch.ones(len(words), dtype=torch.bool, device=words.device)
        for span in spans_of(self.key, call.rows):
            rows = slice(span.start, span.stop)
            theirs[rows] = False
            for image in call.queries.of("image"):
                left[rows, image.slice, :len(self.phrases)] = self._pixels(call, span, words[rows])
        left[theirs] = 0.0
        return LowRankBias(left[:, None].expand(-1, call.q.shape[1], -1, -1), right[:, None])

    def _reference_tokens(self, call: AttentionCall) -> torch.Tensor:
        """Whose each token is: [1, N, S] of 0 and 1."""
        out = torch.zeros(1, call.keys.length, len(self.phrases))
        for segment in call.keys.of("reference"):
            for s, numbers in enumerate(self.references):
                out[:, segment.slice, s] = float(segment.number in numbers)
        return out.to(call.q.device)

    def _pixels(self, call: AttentionCall, span: RowSpan, words: torch.Tensor) -> torch.Tensor:
        """What the pixels of a span's rows read of each subject's references more or less: [n, pixels, S].

        words: [n, N, S], where each row's words are; a subject that a row's prompt lacks is read by nobody.
        """
        weights = words.new_tensor([math.log(weight) for weight in self.weights])
        out = weights.expand(span.count, math.prod(call.grid), -1)
        if self.confines:
            share = self._shares(call, span)
            out = out if share is None else out + confinement(share, self.localise).transpose(1, 2).to(out)
        return torch.where(words.amax(1, keepdim=True) > 0, out, NEVER)

    def _shares(self, call: AttentionCall, span: RowSpan) -> torch.Tensor | None:
        """L_r at each pixel of a span's rows: [n, S, pixels]; None where nothing is known yet."""
        maps = places_so_far(call.scratch, self.key, call.step.sigma, span, call.grid)
        if maps is None and not bool(self.given.any()):
            return None
        wide = torch.promote_types(call.q.dtype, torch.float32)
        share = (torch.ones(span.count, len(self.phrases), math.prod(call.grid), dtype=wide) if maps is None
                 else shares(maps.flatten(2))).to(call.q.device)
        masks = masks_on_grid(self.masks, call.grid).to(call.q.device)
        return masked_shares(share, masks[[image % len(masks) for image in span.images]], self.given.to(share.device))
