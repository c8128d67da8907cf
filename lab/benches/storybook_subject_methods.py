"""Ways to draw one subject in several scenes on the transformer. Each gives (model, positive, seeds) for one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from world.draw import World

from .storybook_subject_cases import Story
from .subject_methods import NODE, Asked, shared_seed, unpatched

Method = Callable[[World, Story], Asked]


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
