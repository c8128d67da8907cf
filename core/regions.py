"""Method: DenseDiffusion (arXiv 2308.12964). Written from the paper; no code copied.

The paper moves each logit towards the extremes of its row: s' = s + a R (max - s) - a (1 - R)(s - min).
A softmax ignores what is constant in a row, so that is s' = (1 - a) s + a (max - min) R, and R, "pixel
and key share a region", has low rank. Nothing of size Nq x Nk is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F

from .attention import row_range
from .call import Attend, AttentionCall, LowRankBias, RowSpan, Scratch
from .masks import (
    check_layouts,
    covering_area,
    covering_strength,
    masks_on_grid,
    membership_patterns,
    with_background,
)
from .method import spans_of
from .network import LayerAddress
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
        spans = spans_of(self.key, call.rows)
        weight = self.schedule.weight(call.step.progress)
        for kinds, strength in self.rule.weights.items():
            for block in call.blocks(*kinds) if strength else ():
                call = self._directed(call, spans, block, strength * weight)
        return attend(call)

    def _directed(self, call: AttentionCall, spans: Sequence[RowSpan], block: Block, strength: float) -> AttentionCall:
        """The call with the rule's bias on one of its blocks.

        Levelling (1 - a) s scales whole queries, so it is exact where the block is all that they read.
        """
        geometry = self._geometry(call, spans, block)
        a = (geometry.factor * strength).clamp(0.0, 1.0)
        reach = self.reach(call, spans, block, a.dtype)
        left = reach[..., None] * geometry.left + self.rule.margin * geometry.foremost
        bias = LowRankBias(a[..., None] * left, geometry.right)
        scale = (1.0 - self.rule.flatten * a)[..., None].to(call.q.dtype)
        return replace(call, q=call.q * scale, bias=bias + call.bias)

    def reach(self, call: AttentionCall, spans: Sequence[RowSpan], block: Block, dtype: torch.dtype) -> torch.Tensor:
        """Range of the logits of each query of our rows over the block, [B, H, Nq]; 0 for other rows."""
        out = torch.zeros(call.q.shape[:3], device=call.q.device, dtype=dtype)
        for span in spans:
            ours = slice(span.start, span.stop)
            queries, keys = block.queries.slice, block.keys.slice
            out[ours, :, queries] = row_range(call.q[ours, :, queries], call.k[ours, :, keys]).to(dtype)
        return out

    def _geometry(self, call: AttentionCall, spans: Sequence[RowSpan], block: Block) -> _Geometry:
        dtype = torch.promote_types(call.q.dtype, torch.float32)
        cache_key = (self, block, call.k.shape[2], call.q.device, dtype, call.row_ids)
        return call.scratch.once(cache_key, lambda: self._make_geometry(call, spans, block).to(call.q.device, dtype))

    def _make_geometry(self, call: AttentionCall, spans: Sequence[RowSpan], block: Block) -> _Geometry:
        """One image's geometry per row; rows that are not ours get zeros."""
        assert block.queries.grid is not None
        grids = masks_on_grid(self.masks, block.queries.grid)
        parts: list[_Geometry | None] = [None] * call.q.shape[0]
        for span in spans:
            assert span.tag is not None
            for row, image in enumerate(span.images, span.start):
                parts[row] = self._row_geometry(block, span.tag, image, grids[image % len(grids)])
        return _stack(parts, block, call.q.shape[2], call.k.shape[2])

    def _row_geometry(self, block: Block, tag: PromptTag, image: int, pixels: torch.Tensor) -> _Geometry | None:
        """One image's geometry; None where its prompt lacks the phrase of every region."""
        prompt = image % len(tag.rows)
        if not self._there(tag, prompt).any():
            return None
        pixels = self.pixel_members(tag, prompt, pixels)
        if block.keys.kind == "image":
            part = image_geometry(pixels)
        else:
            part = text_geometry(pixels, self.token_members(tag, prompt, block.keys.length), len(self.phrases))
        return replace(part, factor=self._factor(pixels))

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


@dataclass(frozen=True)
class _Geometry:
    """R as columns: R[i, j] = sum_c left[i, c] right[j, c]; factor: what scales a at each pixel.

    foremost: as left, for the keys that get the margin too: "everywhere" only in the background.
    One image: left, foremost [Nq, C], right [Nk, C], factor [Nq]. Stacked: [B, 1, Nq, C], [B, 1, Nk, C],
    [B, 1, Nq].
    """

    left: torch.Tensor
    foremost: torch.Tensor
    right: torch.Tensor
    factor: torch.Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> _Geometry:
        return _Geometry(*(t.to(device, dtype) for t in (self.left, self.foremost, self.right, self.factor)))


def image_geometry(pixels: torch.Tensor) -> _Geometry:
    """R of image to image: some region holds both pixels. pixels: bool [R, N].

    The columns are the distinct sets of regions that pixels lie in, so overlaps are exact.
    """
    left, right = shared_regions(pixels, pixels)
    return _Geometry(left, left, right, torch.zeros(pixels.shape[1]))


def text_geometry(pixels: torch.Tensor, tokens: torch.Tensor, regions: int) -> _Geometry:
    """R of image to text: the token belongs to a region that covers the pixel.

    pixels: bool [R, N], the first ``regions`` of them the user's; tokens: bool [R', T], where rows past R cover
    the whole canvas.
    """
    whole = torch.ones(len(tokens) - len(pixels), pixels.shape[1], dtype=torch.bool)
    behind = whole & ~pixels[:regions].any(0)
    left, right = shared_regions(torch.cat((pixels, whole)), tokens)
    foremost, _ = shared_regions(torch.cat((pixels, behind)), tokens)
    return _Geometry(left, foremost, right, torch.zeros(pixels.shape[1]))


def shared_regions(queries: torch.Tensor, keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """R[i, j], "some region holds both i and j", as columns: left [Nq, C] right^T [C, Nk], of 0 and 1.

    queries: bool [R, Nq]; keys: bool [R, Nk]. One column for each distinct set of regions that keys belong to.
    """
    patterns, right = membership_patterns(keys)
    return (patterns.float() @ queries.float() > 0).float().T, right


def _stack(parts: Sequence[_Geometry | None], block: Block, queries: int, keys: int) -> _Geometry:
    """Geometries of a block on the whole axes of a call, zero outside of the block."""
    columns = max((part.left.shape[1] for part in parts if part is not None), default=1)
    left, foremost = (torch.zeros(len(parts), 1, queries, columns) for _ in range(2))
    right = torch.zeros(len(parts), 1, keys, columns)
    factor = torch.zeros(len(parts), 1, queries, dtype=torch.float64)
    for row, part in enumerate(parts):
        if part is not None:
            left[row, 0, block.queries.slice, :part.left.shape[1]] = part.left
            foremost[row, 0, block.queries.slice, :part.left.shape[1]] = part.foremost
            right[row, 0, block.keys.slice, :part.right.shape[1]] = part.right
            factor[row, 0, block.queries.slice] = part.factor
    return _Geometry(left, foremost, right, factor)
