"""Ways to draw one subject in several scenes on the transformer. Each gives (model, positive, seeds) for one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from world.draw import Conditioning, World

from .storybook_subject_cases import Story

NODE = "bench"
Asked = tuple[Any, Conditioning, list[int]]
Method = Callable[[World, Story], Asked]


def encoded(world: World, story: Story) -> Conditioning:
    from attention_director.bridge.text.prompt import encode_lines

    with torch.inference_mode():
        return encode_lines(world.clip, story.captions, NODE)


def unpatched(world: World, story: Story) -> Asked:
    return world.model, encoded(world, story), story.seeds


def shared_seed(world: World, story: Story) -> Asked:
    """The same start noise for every scene: what one tries first."""
    return world.model, encoded(world, story), [story.seeds[0]] * len(story.scenes)


def ours(**changes: Any) -> Method:
    """Shared Subject as its help page advises for transformers, but for ``changes`` of its SubjectOptions."""
    def method(world: World, story: Story) -> Asked:
        from attention_director.bridge.subject.build import build
        from attention_director.bridge.subject.options import SubjectOptions
        from attention_director.core.schedule import Schedule

        windows = {name: Schedule(*changes[name]) for name in ("share", "inject") if name in changes}
        options = replace(SubjectOptions(), **ADVICE | changes | windows)
        with torch.inference_mode():
            out = build(NODE, "1", world.model, world.clip, "\n".join(story.captions), "", "", story.subject,
                        {"samples": torch.zeros(1, *world.latent)}, None, options)
        return out.model, out.positive, story.seeds

    return method


ADVICE: dict[str, Any] = {"anchors": 1, "variety": 0.0}
VARIANTS: dict[str, Method] = {
    "unpatched": unpatched,
    "shared-seed": shared_seed,
    "naive": ours(placed="own", injection=0.0),
    "ours": ours(),
    "ours-one-pass": ours(two_pass=False),
    "ours-own-places": ours(placed="own"),
    "ours-boxes": ours(placed="boxes"),
    "ours-no-injection": ours(injection=0.0),
}
MAIN = ("unpatched", "shared-seed", "naive", "ours")  # the others are measured on fewer stories
