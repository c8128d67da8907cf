"""Ways to ask for a layout. Each takes a world and a layout and gives a model and a positive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from world.caption import article
from world.draw import LATENT_PX, Conditioning, World
from world.scene import CANVAS_PX

if TYPE_CHECKING:
    from .layout import Layout

Asked = tuple[Any, Conditioning]
Method = Callable[[World, "Layout"], Asked]

NODE = "bench"
HIDDEN = -1e4  # a finite floor: a row with no visible token must not become NaN


def _encode(world: World, text: str) -> Conditioning:
    from attention_director.bridge.text.prompt import encode

    with torch.inference_mode():
        return encode(world.clip, text, NODE)


def _region_captions(layout: Layout) -> list[str]:
    """What a region is told on its own, background and all, so that a crop knows it too."""
    return [f"{article(phrase)} on a {layout.scene.background} background" for phrase in layout.phrases]


def unpatched(world: World, layout: Layout) -> Asked:
    """The prompt alone."""
    return world.model, _encode(world, layout.caption)


def host_mask(world: World, layout: Layout) -> Asked:
    """ConditioningSetMask a region, combined with the whole prompt."""
    from nodes import ConditioningSetMask

    positive = _encode(world, layout.caption)
    for caption, box in zip(_region_captions(layout), layout.boxes, strict=True):
        mask = torch.from_numpy(box).float()
        positive = positive + ConditioningSetMask().append(_encode(world, caption), mask, "default", 1.0)[0]
    return world.model, positive


def host_area(world: World, layout: Layout) -> Asked:
    """ConditioningSetArea a region, combined with the whole prompt.

    The node's widgets begin at 64 pixels, half of this canvas; its function takes any number.
    """
    from nodes import ConditioningSetArea

    positive = _encode(world, layout.caption)
    for caption, thing in zip(_region_captions(layout), layout.scene.things, strict=True):
        side = LATENT_PX * max(2, round(2 * thing.radius / LATENT_PX))
        x, y = (LATENT_PX * min(max(0, round((v - side / 2) / LATENT_PX)), (CANVAS_PX - side) // LATENT_PX)
                for v in (thing.x, thing.y))
        positive = positive + ConditioningSetArea().append(_encode(world, caption), side, side, x, y, 1.0)[0]
    return world.model, positive


class HardMask:
    """Replacement of cross-attention where tokens are seen only by the pixels of their region.

    The context is [whole prompt, region 1, region 2, ...], 77 tokens each. The whole prompt is seen
    by the pixels of no region, or by all with ``base_everywhere``. boxes: bool [R, H, W].
    """

    def __init__(self, boxes: torch.Tensor, base_everywhere: bool) -> None:
        self.boxes = boxes[None]
        self.base_everywhere = base_everywhere

    def bias(self, grid: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
        """0 where a pixel sees a token, HIDDEN elsewhere: [N, 77 * (1 + R)]."""
        from attention_director.core.masks import masks_on_grid

        inside = masks_on_grid(self.boxes, grid)[0]
        base = torch.ones_like(inside[:1]) if self.base_everywhere else ~inside.any(0, keepdim=True)
        seen = torch.cat((base, inside)).T.repeat_interleave(77, dim=1)
        return torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, HIDDEN)

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        """q [B, N, H*D], k and v [B, T, H*D]; rows of the negative see everything."""
        heads, grid = options["n_heads"], tuple(options["activations_shape"][2:])
        bias = self.bias(grid, q.dtype).to(q.device)
        rows = q.shape[0] // len(options["cond_or_uncond"])
        each = torch.stack([bias if which == 0 else torch.zeros_like(bias) for which in options["cond_or_uncond"]])
        mask = each.repeat_interleave(rows, dim=0)[:, None, :, :k.shape[1]]
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2)


def hard_mask(world: World, layout: Layout, base_everywhere: bool = False) -> Asked:
    """Regional prompts with masks of 0 and minus infinity, in every cross-attention layer and step."""
    from attention_director.bridge.families.unet import UNetNetwork

    encoded = [_encode(world, text) for text in (layout.caption, *_region_captions(layout))]
    patch = HardMask(torch.from_numpy(layout.boxes), base_everywhere)
    model = world.model.clone()
    for which, address in UNetNetwork(model.model.diffusion_model, (0, 0)).slots:
        if which == "attn2":
            model.set_model_attn2_replace(patch, *address)
    return model, [[torch.cat([e[0][0] for e in encoded], dim=1), dict(encoded[0][0][1])]]


def ours(change: Callable[[Any, Any], Any]) -> Method:
    """RegionPrompt with the options that ``change`` makes of the presets strong and paper."""
    def method(world: World, layout: Layout) -> Asked:
        from attention_director.bridge.regions.build import build
        from attention_director.bridge.regions.presets import PAPER, STRONG
        from attention_director.bridge.regions.region import make_region

        regions = tuple(make_region(NODE, phrase, torch.from_numpy(box).float()[None], 1.0)
                        for phrase, box in zip(layout.phrases, layout.boxes, strict=True))
        with torch.inference_mode():
            directed = build(NODE, "1", world.model, world.clip, layout.caption, regions, 1.0, change(STRONG, PAPER),
                             CANVAS_PX, CANVAS_PX)
        return directed.model, directed.positive

    return method


def _paper(**rule: Any) -> Method:
    return ours(lambda _strong, paper: replace(paper, rule=replace(paper.rule, **rule)))


def without_range(world: World, layout: Layout) -> Asked:
    """The paper's rule with 1 in the place of the range of a query's logits."""
    from attention_director.bridge.run.run import CHAIN_KEY
    from attention_director.core.method import Chain
    from attention_director.core.regions import RegionAttention

    class OneAsRange(RegionAttention):
        def rules(self, call: Any) -> Any:
            return tuple(replace(rule, left=torch.zeros_like(rule.left), foremost=rule.left, margin=1.0)
                         for rule in super().rules(call))

    model, positive = _paper()(world, layout)
    options = model.model_options["transformer_options"]
    options[CHAIN_KEY] = Chain(tuple(OneAsRange(**vars(method)) for method in options[CHAIN_KEY].methods))
    return model, positive


VARIANTS: dict[str, Method] = {
    "unpatched": unpatched,
    "host-mask": host_mask,
    "host-area": host_area,
    "hard-mask": hard_mask,
    "hard-mask-base": lambda world, layout: hard_mask(world, layout, base_everywhere=True),
    "ours": ours(lambda strong, _paper: strong),
    "ours-paper": _paper(),
    "ours-paper-strict": ours(lambda _strong, paper: paper.with_choices("paper", "paper")),
    "ours-paper-cross": _paper(cross_strength=0.0),
    "ours-paper-self": _paper(self_strength=0.0),
    "ours-paper-value-range": without_range,
    "ours-paper-area": _paper(size_adaptation=0.0),
}
