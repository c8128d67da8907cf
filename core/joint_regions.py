"""Method: DenseDiffusion (arXiv 2308.12964) for layers in which text and image share one sequence. No code copied.

The paper's rule acts on image to text and on image to image, each a softmax of its own. In a joint softmax what is
constant on a block's keys no longer cancels: it moves attention between words and pixels. So three blocks are ruled
apart (image to text, text to image, image to image), each row by its own smallest and largest logit on the block:

    b_ij = a_i ((max_i - min_i) R_ij + margin F_ij + flatten (min_i - s_ij))
    s'_ij = s_ij + b_ij - k_i

and with "keep" k_i = LSE_block(s + b) - LSE_block(s), so that a pixel reads as much text, and as much image, as before,
only from its own words and pixels: the paper's softmax in each block. All of it has low rank, -a_i s_ij too (the
columns -a_i q_i and k_j); nothing of size (text + image)^2 is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch

from .attention import log_mass, row_extremes
from .call import Attend, AttentionCall, LowRankBias, RowSpan
from .masks import masks_on_grid
from .method import spans_of
from .network import LayerAddress
from .regions import RegionAttention, RegionRule, image_geometry, shared_regions, text_geometry
from .sequence import Block, Kind
from .text import PromptTag

Share = Literal["keep", "raise", "lower"]


@dataclass(frozen=True)
class JointRule(RegionRule):
    """How regions act in joint layers. The defaults are not the paper's.

    cross_strength, self_strength: of image to text and image to image. text_strength: of text to image, where a
    region's words read its pixels. share: what happens to the part of its attention that a pixel gives to the text
    (and to the image): "keep" it, let the rule "raise" it, or only "lower" the words of others.
    """

    self_strength: float = 0.0
    size_adaptation: float = 0.0
    flatten: float = 0.0
    margin: float = 4.0
    text_strength: float = 1.0
    share: Share = "keep"

    @property
    def weights(self) -> dict[tuple[Kind, Kind], float]:
        return {**super().weights, ("text", "image"): self.text_strength}


@dataclass(frozen=True, eq=False)
class _Columns:
    """R of one block and image as columns: left, foremost [Nq, C], right [Nk, C]; factor [Nq] scales a."""

    left: torch.Tensor
    foremost: torch.Tensor
    right: torch.Tensor
    factor: torch.Tensor


@dataclass(frozen=True, eq=False)
class JointRegionAttention(RegionAttention):
    """Regions bound to phrases in joint layers; its rule is a JointRule."""

    acts_in_joint_layers: ClassVar[bool] = True

    def selects(self, layer: LayerAddress) -> bool:
        return layer.reads("text", "image") and any(self.rule.weights.values())

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        spans, weight = spans_of(self.key, call.rows), self.schedule.weight(call.step.progress)
        bias = call.bias
        for kinds, strength in self.rule.weights.items():
            for block in call.blocks(*kinds) if strength else ():
                bias = self._block_bias(call, spans, block, strength * weight) + bias
        return attend(replace(call, bias=bias))

    def _block_bias(self, call: AttentionCall, spans: Sequence[RowSpan], block: Block, strength: float) -> LowRankBias:
        """The rule's bias on one block of the call's rows that are ours, zero elsewhere."""
        parts = {row: self._row_bias(call, span.tag, row, image, call.block_of(row, block), strength)
                 for span in spans if span.tag for row, image in enumerate(span.images, span.start)}
        columns = max(part.left.shape[-1] for part in parts.values())
        heads = max(part.right.shape[1] for part in parts.values())
        wide = torch.promote_types(call.q.dtype, torch.float32)
        left = torch.zeros(*call.q.shape[:3], columns, device=call.q.device, dtype=wide)
        right = torch.zeros(len(call.q), heads, call.k.shape[2], columns, device=call.q.device, dtype=wide)
        for row, part in parts.items():
            own = call.block_of(row, block)
            left[row, :, own.queries.slice, :part.left.shape[-1]] = part.left[0]
            right[row, :, own.keys.slice, :part.right.shape[-1]] = part.right[0]
        return LowRankBias(left, right)

    def _row_bias(self, call: AttentionCall, tag: PromptTag, row: int, image: int, block: Block,
                  strength: float) -> LowRankBias:
        """The bias of one image's block: left [1, H, Nq, C], right [1, 1 or H, Nk, C]."""
        columns = call.scratch.once((self, block, image % len(tag.rows), image % len(self.masks), id(tag),
                                     call.q.device), lambda: self._columns(call, block, tag, image))
        q, k = call.q[row:row + 1, :, block.queries.slice], call.k[row:row + 1, :, block.keys.slice]
        low, high = row_extremes(q, k)
        a = (columns.factor * strength).clamp(0.0, 1.0).to(low.dtype)
        pull = (high - low)[..., None] * columns.left.to(a.dtype) + self.rule.margin * columns.foremost.to(a.dtype)
        bias = LowRankBias(a[:, None] * pull, columns.right[None, None].to(a.dtype))
        if block.queries.kind == "text":
            return bias
        if self.rule.flatten:
            bias = _levelling(q, k, a * self.rule.flatten, low) + bias
        return self._shifted(bias, q, k, a * (high - low + self.rule.margin))

    def _shifted(self, bias: LowRankBias, q: torch.Tensor, k: torch.Tensor, most: torch.Tensor) -> LowRankBias:
        """The bias on a block minus k_i of the rule's share. most: what the bias gives a key of its own region."""
        assert isinstance(self.rule, JointRule)
        if self.rule.share == "raise":
            return bias
        shift = most if self.rule.share == "lower" else log_mass(q, k, bias) - log_mass(q, k)
        return LowRankBias(-shift[..., None], torch.ones_like(bias.right[..., :1])) + bias

    def _columns(self, call: AttentionCall, block: Block, tag: PromptTag, image: int) -> _Columns:
        """R of a block as columns, and what scales it at each query."""
        prompt = image % len(tag.rows)
        grids = masks_on_grid(self.masks, call.grid)
        pixels = self.pixel_members(tag, prompt, grids[image % len(grids)])
        if block.queries.kind == "text":
            bound = self.token_members(tag, prompt, block.queries.length)[:len(self.phrases)]
            left, right = shared_regions(bound, pixels[:len(self.phrases)])
            factor = (bound * torch.tensor(self.strengths, dtype=torch.float64)[:, None]).amax(0)
            found = _Columns(left, left, right, factor)
        else:
            made = (image_geometry(pixels) if block.keys.kind == "image" else text_geometry(
                pixels, self.token_members(tag, prompt, block.keys.length), len(self.phrases)))
            found = _Columns(made.left, made.foremost, made.right, self._factor(pixels))
        if not self._there(tag, prompt).any():  # the prompt is generated as if there were no region
            found = replace(found, factor=torch.zeros_like(found.factor))
        return _Columns(*(t.to(call.q.device) for t in (found.left, found.foremost, found.right, found.factor)))


def _levelling(q: torch.Tensor, k: torch.Tensor, a: torch.Tensor, low: torch.Tensor) -> LowRankBias:
    """a_i (min_i - s_ij) as columns. q: [1, H, Nq, D]; k: [1, H, Nk, D]; a: [Nq]; low: min_i, [1, H, Nq]."""
    q, k = q.to(low.dtype) * q.shape[-1] ** -0.5, k.to(low.dtype)
    left = a[:, None] * torch.cat((-q, low[..., None]), -1)
    return LowRankBias(left, torch.cat((k, torch.ones_like(k[..., :1])), -1))
