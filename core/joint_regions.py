"""Method: DenseDiffusion (arXiv 2308.12964) for layers in which text and image share one sequence. No code copied.

The paper's rule acts on image to text and on image to image, each a softmax of its own. In a joint softmax a
constant on the text's keys no longer cancels: it moves attention between words and pixels. So three blocks are
ruled apart (image to text, text to image, image to image), and with ``keep`` the text's logits are lowered until a
pixel reads as much text as before, only from its own words:

    s'_ij = s_ij + b_ij - k_i on text keys, k_i = LSE_text(s + b) - LSE_text(s)

All of it has low rank; nothing of size (text + image)^2 is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch

from .attention import log_mass, row_range
from .call import Attend, AttentionCall, LowRankBias, RowSpan
from .masks import masks_on_grid
from .method import spans_of
from .network import LayerAddress
from .regions import RegionAttention, RegionRule, image_geometry, shared_regions, text_geometry
from .sequence import Block, Kind
from .text import PromptTag


@dataclass(frozen=True)
class JointRule(RegionRule):
    """How regions act in joint layers. cross_strength, self_strength: of image to text and image to image, as in
    RegionRule.

    text_strength: of text to image: a region's words read its pixels. share: what happens to the part of a pixel's
    attention that goes to text: "keep" it, or let the rule "raise" it.
    """

    self_strength: float = 0.0
    size_adaptation: float = 0.0
    flatten: float = 0.0
    margin: float = 4.0
    text_strength: float = 1.0
    share: Literal["keep", "raise"] = "keep"


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
        return layer.reads("text", "image") and any(self._weights().values())

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        spans, weight = spans_of(self.key, call.rows), self.schedule.weight(call.step.progress)
        bias = call.bias
        for (queries, keys), strength in self._weights().items():
            for block in call.blocks(queries, keys) if strength else ():
                bias = self._block_bias(call, spans, block, strength * weight) + bias
        return attend(replace(call, bias=bias))

    def _weights(self) -> dict[tuple[Kind, Kind], float]:
        assert isinstance(self.rule, JointRule)
        return {("image", "text"): self.rule.cross_strength, ("text", "image"): self.rule.text_strength,
                ("image", "image"): self.rule.self_strength}

    def _block_bias(self, call: AttentionCall, spans: Sequence[RowSpan], block: Block, strength: float) -> LowRankBias:
        """The rule's bias on one block of the call's rows that are ours, zero elsewhere."""
        assert isinstance(self.rule, JointRule)
        kept = self.rule.share == "keep" and block.keys.kind == "text"
        parts = [self._row_bias(call, span.tag, row, image, block, strength, kept)
                 for span in spans if span.tag for row, image in enumerate(span.images, span.start)]
        rows = [row for span in spans for row in range(span.start, span.stop)]
        columns = max(left.shape[-1] for left, _ in parts)
        wide = torch.promote_types(call.q.dtype, torch.float32)
        left = torch.zeros(*call.q.shape[:3], columns, device=call.q.device, dtype=wide)
        right = torch.zeros(len(call.q), 1, call.k.shape[2], columns, device=call.q.device, dtype=wide)
        for row, (own, keys) in zip(rows, parts, strict=True):
            left[row, :, block.queries.slice, :own.shape[-1]] = own
            right[row, 0, block.keys.slice, :keys.shape[-1]] = keys
        return LowRankBias(left, right)

    def _row_bias(self, call: AttentionCall, tag: PromptTag, row: int, image: int, block: Block, strength: float,
                  kept: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """(left [H, Nq, C], right [Nk, C]) of one image's block."""
        columns = call.scratch.once((self, block, image % len(tag.rows), image % len(self.masks), id(tag),
                                     call.q.device), lambda: self._columns(call, block, tag, image))
        q, k = call.q[row, :, block.queries.slice], call.k[row, :, block.keys.slice]
        reach = row_range(q[None], k[None])[0]
        a = (columns.factor * strength).clamp(0.0, 1.0).to(reach.dtype)
        left = a[:, None] * (reach[..., None] * columns.left.to(reach.dtype)
                             + self.rule.margin * columns.foremost.to(reach.dtype))
        right = columns.right.to(reach.dtype)
        if not kept:
            return left, right
        ruled = LowRankBias(left[None], right[None, None])
        shift = (log_mass(q[None], k[None], ruled) - log_mass(q[None], k[None]))[0, ..., None]
        return torch.cat((left, -shift), -1), torch.cat((right, torch.ones_like(right[:, :1])), -1)

    def _columns(self, call: AttentionCall, block: Block, tag: PromptTag, image: int) -> _Columns:
        """R of a block as columns, and what scales it at each query."""
        text = next(segment for segment in (block.queries, block.keys, *call.keys.of("text")) if segment.kind == "text")
        prompt = image % len(tag.rows)
        grids = masks_on_grid(self.masks, call.latent_grid, call.grid)
        pixels = self.pixel_members(tag, prompt, grids[image % len(grids)])
        tokens = self.token_members(tag, prompt, text.length)
        if block.queries.kind == "text":
            bound = tokens[:len(self.phrases)]
            left, right = shared_regions(bound, pixels[:len(self.phrases)])
            factor = (bound * torch.tensor(self.strengths, dtype=torch.float64)[:, None]).amax(0)
            found = _Columns(left, left, right, factor)
        else:
            made = (image_geometry(pixels) if block.keys.kind == "image"
                    else text_geometry(pixels, tokens, len(self.phrases)))
            found = _Columns(made.left, made.foremost, made.right, self._factor(pixels))
        if not self._there(tag, prompt).any():  # the prompt is generated as if there were no region
            found = replace(found, factor=torch.zeros_like(found.factor))
        return _Columns(*(t.to(call.q.device) for t in (found.left, found.foremost, found.right, found.factor)))
