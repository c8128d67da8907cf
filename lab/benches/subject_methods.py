"""Ways to draw one creature in several scenes. Each gives (model, positive, seeds) for one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from world.draw import LATENT_PX, Conditioning, World
from world.scene import CANVAS_PX, CREATURE

from .subject_cases import Story

NODE = "bench"
GRID = (CANVAS_PX // LATENT_PX, CANVAS_PX // LATENT_PX)
Asked = tuple[Any, Conditioning, list[int]]
Method = Callable[[World, Story], Asked]


class Told(Protocol):
    """A story of any world, as far as it is told without sharing: a caption and a seed for each scene."""

    @property
    def captions(self) -> list[str]: ...

    @property
    def seeds(self) -> list[int]: ...


def encoded(world: World, story: Told) -> Conditioning:
    from attention_director.bridge.text.prompt import encode_lines

    with torch.inference_mode():
        return encode_lines(world.clip, story.captions, NODE)


def unpatched(world: World, story: Told) -> Asked:
    return world.model, encoded(world, story), story.seeds


def shared_seed(world: World, story: Told) -> Asked:
    """The same start noise for every scene: what one tries first."""
    return world.model, encoded(world, story), [story.seeds[0]] * len(story.seeds)


@dataclass(frozen=True)
class WholeBatch:
    """Self-attention of every picture over all pictures of its conditioning, ground and all."""

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
        """q, k, v: [B, N, H*D]; B holds the pictures of each conditioning in turn."""
        pictures = q.shape[0] // len(options["cond_or_uncond"])
        k, v = (t.unflatten(0, (-1, pictures)).flatten(1, 2).repeat_interleave(pictures, 0) for t in (k, v))
        q, k, v = (t.unflatten(-1, (options["n_heads"], -1)).transpose(1, 2) for t in (q, k, v))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def whole_batch(world: World, story: Story) -> Asked:
    """Extended attention without masks, in the layers that ours shares in."""
    from attention_director.bridge.families.unet import UNetNetwork

    network, model = UNetNetwork(world.model.model.diffusion_model, GRID), world.model.clone()
    for (_, address), layer in network.slots.items():
        if layer in network.subject.shares:
            model.set_model_attn1_replace(WholeBatch(), *address)
    return model, encoded(world, story), story.seeds


def ours(**changes: Any) -> Method:
    """SharedSubjectAttention at its defaults but for ``changes`` of its SubjectOptions."""
    def method(world: World, story: Story) -> Asked:
        from attention_director.bridge.subject.build import build
        from attention_director.bridge.subject.options import SubjectOptions

        options = replace(SubjectOptions(), **changes)
        with torch.inference_mode():
            out = build(NODE, "1", world.model, world.clip, "\n".join(story.captions), "", "", CREATURE,
                        {"samples": torch.zeros(1, 4, *GRID)}, None, options)
        return out.model, out.positive, story.seeds

    return method


def small(**changes: Any) -> Method:
    """As the example workflows set the node for the demo model: no dropout of keys, late sharing and injection."""
    def method(world: World, story: Story) -> Asked:
        from attention_director.core.schedule import Schedule

        own = {"variety": 0.0, "share": Schedule(0.5, 1.0), "inject": Schedule(0.3, 0.9)}
        return ours(**own | changes)(world, story)

    return method


def without_sharing(world: World, story: Story) -> Asked:
    from attention_director.core.schedule import Schedule

    return small(share=Schedule(0.0, 0.0))(world, story)


VARIANTS: dict[str, Method] = {
    "unpatched": unpatched,
    "shared-seed": shared_seed,
    "whole-batch": whole_batch,
    "ours": small(),
    "ours-one-pass": small(two_pass=False),
    "ours-sdsa": without_sharing,
    "ours-injection": small(injection=0.0),
    "ours-blend": small(query_blend=0.0),
    "ours-paper": ours(),
    "ours-paper-dropout": ours(variety=0.0),
}
