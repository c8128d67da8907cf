"""Ways to ask a transformer for a layout. Each takes a world and a layout and says what to sample with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from storybook.caption import article
from storybook.cast import PLACES
from torch.nn.functional import scaled_dot_product_attention
from world.draw import Conditioning, World

if TYPE_CHECKING:
    from attention_director.bridge.regions.presets import JointOptions, RegionOptions

    from .storybook_layout import Layout

NODE = "bench"
BASE_RATIO = 0.2  # of the hard mask's output that comes from attention without it


@dataclass(frozen=True, eq=False)
class Asked:
    """A model, a positive, and a negative where it is not the empty prompt."""

    model: Any
    positive: Conditioning
    negative: Conditioning | None = None


Method = Callable[[World, "Layout"], Asked]


def _encode(world: World, text: str) -> Conditioning:
    from attention_director.bridge.text.prompt import encode

    with torch.inference_mode():
        return encode(world.clip, text, NODE)


def _region_captions(layout: Layout) -> list[str]:
    """What a region is told on its own, place and all."""
    return [f"{article(phrase)} {phrase} {PLACES[layout.scene.place]}" for phrase in layout.phrases]


def unpatched(world: World, layout: Layout) -> Asked:
    """The prompt alone."""
    return Asked(world.model, _encode(world, layout.caption))


def host_mask(world: World, layout: Layout) -> Asked:
    """ConditioningSetMask a region, combined with the whole prompt."""
    from nodes import ConditioningSetMask

    positive = _encode(world, layout.caption)
    for caption, mask in zip(_region_captions(layout), layout.masks, strict=True):
        drawn = torch.from_numpy(mask).float()
        positive = positive + ConditioningSetMask().append(_encode(world, caption), drawn, "default", 1.0)[0]
    return Asked(world.model, positive)


class HardJointMask:
    """Regional-Prompting-FLUX's rule (arXiv 2411.02395), written from its description.

    The text is [whole prompt, region 1, region 2, ...]. A region's text and pixels see each other and themselves alone;
    the rest is the whole prompt's. base_ratio of every pixel's output is what it reads of the whole prompt and of all
    pixels. groups: int64 [T + N], the region of each token, 0 for the whole prompt and the pixels of no region.
    """

    def __init__(self, masks: torch.Tensor, text: int, base_ratio: float = BASE_RATIO) -> None:
        self.masks, self.text, self.base_ratio = masks.float(), text, base_ratio

    def pairs(self, tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(seen in the masked attention, seen in the base one), bool [1, T + N, T + N]; the text tokens' number."""
        regions = len(self.masks)
        length = self.text * (regions + 1)
        side = round((tokens - length) ** 0.5)
        inside = torch.nn.functional.adaptive_avg_pool2d(self.masks[None], side)[0].flatten(1) > 0.5
        pixels = torch.zeros((regions + 1, side * side), dtype=torch.bool)
        pixels[1:], pixels[0] = inside, ~inside.any(0)
        words = torch.eye(regions + 1, dtype=torch.bool).repeat_interleave(self.text, 1)
        member = torch.cat((words, pixels), 1).float()
        base = torch.cat((torch.arange(length) < self.text, torch.ones(side * side, dtype=torch.bool)))
        return (member.T @ member > 0)[None], base.expand(tokens, -1)[None], torch.tensor(length)

    def __call__(self, func: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *args: Any,
                 transformer_options: dict[str, Any], **kwargs: Any) -> torch.Tensor:
        """q, k, v: [B, H, T + N, D], as the host hands them to an override. Returns [B, T + N, H * D]."""
        masked, base, length = self.pairs(q.shape[2])
        which = transformer_options["cond_or_uncond"]
        named = torch.tensor(which).repeat_interleave(len(q) // len(which)).eq(0)[:, None, None, None]
        plainly = scaled_dot_product_attention(q, k, v, base[:, None])
        apart = scaled_dot_product_attention(q, k, v, torch.where(named, masked[:, None], base[:, None]))
        ratio = torch.where(torch.arange(q.shape[2]) < length, 0.0, self.base_ratio)[:, None]
        return torch.where(named, ratio * plainly + (1 - ratio) * apart, plainly).transpose(1, 2).flatten(2)


def hard_mask(world: World, layout: Layout) -> Asked:
    """Hard joint masks over prompts that were encoded one by one, in every block and step."""
    encoded = [_encode(world, text)[0][0] for text in (layout.caption, *_region_captions(layout))]
    empty = world.negative[0][0]
    model = world.model.clone()
    model.model_options["transformer_options"] = model.model_options["transformer_options"] | {
        "optimized_attention_override": HardJointMask(torch.from_numpy(layout.masks), encoded[0].shape[1])}
    return Asked(model, [[torch.cat(encoded, 1), {}]], [[torch.cat([empty] * len(encoded), 1), {}]])


def ours(change: Callable[[RegionOptions, RegionOptions], RegionOptions] = lambda strong, _paper: strong) -> Method:
    """RegionPrompt with the options that ``change`` makes of the presets strong and paper."""
    def method(world: World, layout: Layout) -> Asked:
        from attention_director.bridge.regions.build import build
        from attention_director.bridge.regions.presets import PAPER, STRONG
        from attention_director.bridge.regions.region import make_region

        regions = tuple(make_region(NODE, phrase, torch.from_numpy(mask).float()[None], 1.0)
                        for phrase, mask in zip(layout.phrases, layout.masks, strict=True))
        side = layout.masks.shape[-1]
        with torch.inference_mode():
            directed = build(NODE, "1", world.model, world.clip, layout.caption, regions, 1.0, change(STRONG, PAPER),
                             side, side)
        return Asked(directed.model, directed.positive)

    return method


def changed(window: tuple[float, float] | None = None, **rule: Any) -> Method:
    """Strong with another window or other numbers of its rule."""
    def change(strong: RegionOptions, _paper: RegionOptions) -> RegionOptions:
        joint: JointOptions = replace(strong.joint, rule=replace(strong.joint.rule, **rule))
        if window:
            joint = replace(joint, schedule=replace(joint.schedule, start=window[0], end=window[1]))
        return replace(strong, joint=joint)

    return ours(change)


VARIANTS: dict[str, Method] = {
    "unpatched": unpatched,
    "host-mask": host_mask,
    "hard-mask": hard_mask,
    "ours": ours(),
    "ours-paper": ours(lambda _strong, paper: paper),
    "ours-raise": changed(share="raise"),
    "ours-without-margin": changed(margin=0.0),
    "ours-without-padding": changed(padding=False),
}
MAIN = ("unpatched", "hard-mask", "ours")  # the others are measured on fewer layouts
