"""Method: DenseDiffusion (arXiv 2308.12964) for layers in which text and image share one sequence. No code copied.

The paper's rule acts on image to text and on image to image, each a softmax of its own. In a joint softmax what is
constant on a block's keys no longer cancels: it moves attention between words and pixels. So three blocks are ruled
apart (image to text, text to image, image to image), each row by its own smallest and largest logit on the block:

    b_ij = a_i ((max_i - min_i) R_ij + margin F_ij + flatten (min_i - s_ij))
    s'_ij = s_ij + b_ij - k_i

and with "keep" k_i = LSE_block(s + b) - LSE_block(s), so that a pixel reads as much text, and as much image, as before,
only from its own words and pixels: the paper's softmax in each block. Nothing of size (text + image)^2 is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from .network import LayerAddress
from .range_rule import RangeRule, Share
from .region_columns import Columns, Geometry, shared_regions
from .regions import RegionAttention, RegionRule
from .sequence import Block, Kind
from .text import PromptTag


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
class JointRegionAttention(RegionAttention):
    """Regions bound to phrases in joint layers; its rule is a JointRule."""

    acts_in_joint_layers: ClassVar[bool] = True

    def selects(self, layer: LayerAddress) -> bool:
        return layer.reads("text", "image") and any(self.rule.weights.values())

    def _rule(self, geometry: Geometry, strength: float, of_text: bool) -> RangeRule:
        """Words that read pixels are neither levelled nor held to a share."""
        assert isinstance(self.rule, JointRule)
        rule = super()._rule(geometry, strength, of_text)
        return replace(rule, flatten=0.0) if of_text else replace(rule, share=self.rule.share)

    def _row_geometry(self, block: Block, tag: PromptTag, image: int, pixels: torch.Tensor) -> Columns:
        if block.queries.kind == "image":
            return super()._row_geometry(block, tag, image, pixels)
        prompt, regions = image % len(tag.rows), len(self.phrases)
        bound = self.token_members(tag, prompt, block.queries.length)[:regions]
        left, right = shared_regions(bound, self.pixel_members(tag, prompt, pixels)[:regions])
        return Columns(left, left, right, (bound * torch.tensor(self.strengths, dtype=torch.float64)[:, None]).amax(0))
