"""Method: DenseDiffusion (arXiv 2308.12964). Written from the paper; no code copied.

The paper moves each logit towards the extremes of its row: s' = s + a R (max - s) - a (1 - R)(s - min).
That is s' = (1 - a) s + a min + a (max - min) R, a RangeRule, and R, "pixel and key share a region", has low rank.
Nothing of size Nq x Nk is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
import torch.nn.functional as F

from .call import Attend, AttentionCall, RowSpan, Scratch, Step
from .masks import (
    check_layouts,
    covering_area,
    covering_strength,
    masks_on_grid,
    with_background,
)
from .method import spans_of
from .network import LayerAddress
from .range_rule import RangeRule
from .region_columns import Columns, Geometry, image_columns, stack, text_columns
from .schedule import Schedule
from .sequence import Block, Kind
from .text import Phrase, PromptTag


@dataclass(frozen=True)
class RegionRule:
    """How regions act. The defaults are the paper's.

    cross_strength, self_strength: w^c and w^s, in image-to-text and image-to-image attention. size_adaptation: how
    much a large region is spared. flatten: 1 moves logits to the row's extremes and so levels those inside a
    region; 0 keeps their order. margin: logits by which a region's own keys pass the row's range;
    words that act everywhere have it only where no region is.
    everywhere: words of no region count as a region of the whole canvas. background: pixels of no
    region are one region. padding: begin, end and padding tokens belong to it.
    """

    cross_strength: float = 1.0
    self_strength: float = 0.3
    size_adaptation: float = 1.0
    flatten: float = 1.0
    margin: float = 0.0
    everywhere: bool = True
    background: bool = True
    padding: bool = False

    @property
    def weights(self) -> dict[tuple[Kind, Kind], float]:
        """The strength of each block: (what reads, what is read)."""
        return {("image", "text"): self.cross_strength, ("image", "image"): self.self_strength}


@dataclass(frozen=True)
class TokenShares:
    """Which tokens of one prompt belong to which region.

    words: positions of each region's phrase, () where this prompt lacks it or the phrase is empty.
    rest: the words of no region. padding: the begin, end and padding tokens.
    """

    words: tuple[tuple[int, ...], ...]
    rest: tuple[int, ...]
    padding: tuple[int, ...]


def share_tokens(tag: PromptTag, row: int, phrases: Sequence[Phrase]) -> TokenShares:
    """Deal out the tokens of prompt ``row`` of a tag."""
    layout = tag.rows[row]
    words = tuple(tag.find(phrase)[row] or () for phrase in phrases)
    bound = {position for span in words for position in span}
    rest = tuple(p for p in layout.own() if p not in bound)
    return TokenShares(words, rest, layout.other())


@dataclass(frozen=True, eq=False)
class RegionAttention:
    """Regions of the canvas bound to phrases of the prompt; a Method.

    phrases: one per region. masks: bool [I, R, H, W], one layout (I = 1) or one per image.
    strengths: one per region, multiplies the rule at the pixels it covers. uncovered: the same at the
    pixels of no region. left_out: regions that were given but have no place. unbound: what the
    editor calls the regions that were given but whose words no prompt has.
    """

    key: str
    phrases: tuple[Phrase, ...]
    masks: torch.Tensor
    strengths: tuple[float, ...]
    rule: RegionRule
    schedule: Schedule
    label: str = "RegionPrompt"
    uncovered: float = 1.0
    left_out: int = 0
    unbound: tuple[int, ...] = ()

    why_no_area: ClassVar[str] = "the regions already say what goes where"

    def sum_up(self, scratch: Scratch) -> str:
        without = f", {self.left_out} left out (empty mask)" if self.left_out else ""
        return f"{len(self.phrases)} region{'s' * (len(self.phrases) != 1)}{without}"

    def warn(self) -> str:
        names, many = ", ".join(map(str, self.unbound)), len(self.unbound) > 1
        left_out = f"region{'s' * many} {names} {'have' if many else 'has'} no words in this prompt and "
        return f"{left_out}{'were' if many else 'was'} left out" if names else ""

    def records(self, scratch: Scratch) -> dict[str, tuple[tuple[Phrase, ...], torch.Tensor]]:
        """What a readout measures by: the phrases, and where they belong, [I, R, 128, 128] in 0..1."""
        regions = F.adaptive_avg_pool2d(self.masks.float(), (128, 128))
        return {"regions": (self.phrases, regions.half())}

    def selects(self, layer: LayerAddress) -> bool:
        joint = layer.reads("text", "image")  # JointRegionAttention's
        return not joint and any(layer.reads(*block) and w > 0.0 for block, w in self.rule.weights.items())

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return bool(spans_of(self.key, rows))

    def check_run(self, rows: Sequence[RowSpan], images: int) -> None:
        """Raises ValueError when the masks are a batch of another size than the images."""
        check_layouts(self.label, self.masks, images)

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        made = call.scratch.once_of("rules", (self,), RulesMade)
        return attend(replace(call, rules=made.of(call, lambda: self.rules(call))))

    def rules(self, call: AttentionCall) -> tuple[RangeRule, ...]:
        """What the method does to the logits of a call, block by block."""
        weight = self.schedule.weight(call.step.progress)
        return tuple(self._rule(geometry, strength * weight, kinds[0] == "text")
                     for kinds, strength in self.rule.weights.items() for block in call.blocks(*kinds) if strength
                     for geometry in self._geometry(call, block))

    def _rule(self, geometry: Geometry, strength: float, of_text: bool) -> RangeRule:
        """The rule on one block; of_text: its queries are words."""
        amount = (geometry.factor * strength).clamp(0.0, 1.0)
        return RangeRule(geometry.rows, geometry.queries, geometry.keys, amount, geometry.left, geometry.foremost,
                         geometry.right, self.rule.margin, self.rule.flatten)

    def _geometry(self, call: AttentionCall, block: Block) -> tuple[Geometry, ...]:
        """Made once a run: of all rows that are ours, or of each where their texts are of unequal length."""
        dtype = torch.promote_types(call.q.dtype, torch.float32)
        return call.scratch.once_of(("geometry", call.q.device, dtype), (self, block, call.rows, call.padding or self),
                                    lambda: tuple(made.to(call.q.device, dtype) for made in self._make(call, block)))

    def _make(self, call: AttentionCall, block: Block) -> tuple[Geometry, ...]:
        spans = spans_of(self.key, call.rows)
        grids = masks_on_grid(self.masks, call.grid)
        parts = {row: self._row_geometry(call.block_of(row, block), span.tag, image, grids[image % len(grids)])
                 for span in spans if span.tag for row, image in enumerate(span.images, span.start)}
        if call.padding is None:
            return (stack(parts, block),)
        return tuple(stack({row: part}, call.block_of(row, block)) for row, part in parts.items())

    def _row_geometry(self, block: Block, tag: PromptTag, image: int, pixels: torch.Tensor) -> Columns:
        """One image's R on a block."""
        prompt = image % len(tag.rows)
        there = self._there(tag, prompt).any()
        pixels = self.pixel_members(tag, prompt, pixels)
        factor = self._factor(pixels)
        if not there:  # the prompt is generated as if there were no region
            factor = torch.zeros_like(factor)
        if block.keys.kind == "image":
            return image_columns(pixels, factor)
        return text_columns(pixels, self.token_members(tag, prompt, block.keys.length), len(self.phrases), factor)

    def _there(self, tag: PromptTag, prompt: int) -> torch.Tensor:
        """Which regions a prompt has words for: bool [R]; a region without words of its own is always there."""
        return torch.tensor([tag.find(phrase)[prompt] is not None for phrase in self.phrases])

    def pixel_members(self, tag: PromptTag, prompt: int, pixels: torch.Tensor) -> torch.Tensor:
        """Which pixels belong to which region that the prompt has words for, bool [R, N] to [R or R + 1, N].

        Where the rule has a background, it is one more region.
        """
        there = pixels & self._there(tag, prompt)[:, None]
        return with_background(there[None])[0] if self.rule.background else there

    def _factor(self, pixels: torch.Tensor) -> torch.Tensor:
        """(1 - size_adaptation S_i) times the strength at each pixel: [N]."""
        strengths = torch.tensor(self.strengths, dtype=torch.float64)
        own = covering_strength(pixels[:len(strengths)], strengths, self.uncovered)
        return (1.0 - self.rule.size_adaptation * covering_area(pixels)).clamp(min=0.0) * own

    def token_members(self, tag: PromptTag, row: int, keys: int) -> torch.Tensor:
        """Which of ``keys`` text tokens belong to which region, for a prompt of the tag: bool [R', T].

        R' is the regions, then the background where the rule has one, then "everywhere" where it has,
        which also takes the words that another node appended, whose meaning is not known.
        """
        shares = share_tokens(tag, row, self.phrases)
        groups = list(shares.words)
        if self.rule.background:
            groups.append(shares.padding if self.rule.padding else ())
        if self.rule.everywhere:
            groups.append((*shares.rest, *range(tag.width, tag.width + tag.appended)))
        members = torch.zeros(len(groups), keys, dtype=torch.bool)
        for n, positions in enumerate(groups):
            members[n, list(tag.spread(row, positions, keys))] = True
        if self.rule.background and self.rule.padding:
            members[len(shares.words), :tag.front(row)] = True
        return members


@dataclass(eq=False)
class RulesMade:
    """The rules of one step, by the identity of whatever says where in a call they act."""

    step: Step | None = None
    rules: dict[Hashable, tuple[tuple[object, ...], tuple[RangeRule, ...]]] = field(default_factory=dict)

    def of(self, call: AttentionCall, make: Callable[[], tuple[RangeRule, ...]]) -> tuple[RangeRule, ...]:
        if self.step is not call.step:
            self.step, self.rules = call.step, {}
        places = (call.queries, call.keys, call.rows, call.padding)
        key = (*map(id, places), call.q.device, call.q.dtype)
        found = self.rules.get(key)
        if found is None:
            found = self.rules[key] = places, make()
        return found[1]
