"""Ways to ask for an edit. Each gives the edited picture of one source picture; all share its seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from world.caption import plain_caption
from world.draw import Conditioning, Settings, World, start_noise
from world.oracle import look
from world.scene import CANVAS_PX

from .edit_cases import Edit, roomiest_box

NODE = "bench"
SETTINGS = Settings()
REAL = Settings(steps=30, sampler="ddim", scheduler="normal")  # what an inversion is made for
REMOVED = -2.0  # the weight that is to take a word's thing away


@dataclass(frozen=True, eq=False)
class Source:
    """What is edited. picture: uint8 [H, W, 3]; latent: [1, 4, h, w]; real: rendered, not drawn."""

    picture: np.ndarray
    latent: torch.Tensor
    seed: int
    real: bool
    inversion: Any = None


Method = Callable[[World, Edit, Source], np.ndarray]


def encode(world: World, text: str) -> Conditioning:
    from attention_director.bridge.text.prompt import encode as encode_text

    return encode_text(world.clip, text, NODE)


def sample(world: World, model: Any, positive: Conditioning, source: Source, latent: torch.Tensor,
           negative: Conditioning | None = None, denoise: float = 1.0) -> np.ndarray:
    """The last picture of one run of the host's sampler: uint8 [H, W, 3]."""
    import comfy.sample

    settings = REAL if source.real else SETTINGS
    noise = start_noise([source.seed]).expand(len(latent), -1, -1, -1)
    out = comfy.sample.sample(model, noise, settings.steps, settings.cfg, settings.sampler, settings.scheduler,
                              positive, negative or world.negative, latent, denoise=denoise, disable_pbar=True,
                              seed=source.seed)
    return decode(world, out[-1:])


def decode(world: World, latent: torch.Tensor) -> np.ndarray:
    return (world.vae.decode(latent)[0].clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()


def target_of(edit: Edit) -> str:
    """The caption a person would type instead; the others know no weights below zero."""
    if edit.kind != "remove":
        return edit.target
    return plain_caption(replace(edit.source, things=edit.source.things[1:]))


def unpatched(world: World, edit: Edit, source: Source) -> np.ndarray:
    """The new prompt with the same seed."""
    return sample(world, world.model, encode(world, target_of(edit)), source, torch.zeros_like(source.latent))


def scheduled(start: float) -> Method:
    """The host's prompt scheduling: the old prompt first, the new one from ``start`` of the timesteps on."""
    def method(world: World, edit: Edit, source: Source) -> np.ndarray:
        from nodes import ConditioningSetTimestepRange

        ranges = ConditioningSetTimestepRange()
        positive = (ranges.set_range(encode(world, edit.caption), 0.0, start)[0]
                    + ranges.set_range(encode(world, target_of(edit)), start, 1.0)[0])
        return sample(world, world.model, positive, source, torch.zeros_like(source.latent))

    return method


def sdedit(denoise: float) -> Method:
    """Image to image (SDEdit): noise the source so far, then draw the new prompt."""
    def method(world: World, edit: Edit, source: Source) -> np.ndarray:
        return sample(world, world.model, encode(world, target_of(edit)), source, source.latent, denoise=denoise)

    return method


def edited(world: World, edit: Edit, source: Source, **changes: Any) -> Any:
    """AttentionEdit's outputs with its own defaults but for ``changes``; local kinds blend the edited thing's words.

    With the defaults a thing is taken away by a weight below zero, its caption untouched.
    """
    from attention_director.bridge.edit.build import EditOptions, build

    thing = edit.source.things[0].phrase
    new = edit.new.phrase if edit.new else ""
    words = {"colour": f"{thing}\n{new}", "shape": f"{thing}\n{new}", "add": edit.word, "remove": edit.word}
    options = {"targets": edit.target, "blend_words": words.get(edit.kind, ""),
               "reweight": f"{edit.word}: {REMOVED}" if edit.kind == "remove" else "", **changes}
    return build(NODE, "1", world.model, world.clip, edit.caption, {"samples": torch.zeros_like(source.latent)},
                 EditOptions(**options), world.negative, source.inversion)


def attend(**changes: Any) -> Method:
    """AttentionEdit alone."""
    def method(world: World, edit: Edit, source: Source) -> np.ndarray:
        result = edited(world, edit, source, **changes)
        return sample(world, result.model, result.positive, source, result.latent["samples"], result.negative)

    return method


def placed(world: World, edit: Edit, source: Source) -> np.ndarray:
    """As advised, and behind it Region Prompt with a box for the new thing where the picture has most room."""
    from attention_director.bridge.regions.build import build
    from attention_director.bridge.regions.presets import STRONG
    from attention_director.bridge.regions.region import make_region

    result = edited(world, edit, source, **advice(edit))
    box = torch.from_numpy(roomiest_box(look(source.picture))).float()[None]
    region = make_region(NODE, edit.word, box, 1.0)
    directed = build(NODE, "2", result.model, world.clip, result.positive, (region,), 1.0, STRONG, CANVAS_PX,
                     CANVAS_PX)
    return sample(world, directed.model, directed.positive, source, result.latent["samples"], result.negative)


def advised(**changes: Any) -> Method:
    """AttentionEdit as its help page advises for the kind of edit."""
    def method(world: World, edit: Edit, source: Source) -> np.ndarray:
        return attend(**(advice(edit) | changes))(world, edit, source)

    return method


def advice(edit: Edit) -> dict[str, Any]:
    """What the help page says of this kind of edit, where that is not the defaults."""
    from attention_director.core.schedule import Schedule

    if edit.kind == "remove":
        return {"targets": target_of(edit), "reweight": ""}
    if edit.kind == "add":
        return {"cross_window": Schedule(0.0, 0.15), "self_window": Schedule(0.0, 0.0), "blend_threshold": 0.7,
                "keep_words": edit.source.things[0].phrase}
    if edit.kind == "ground":
        return {"cross_window": Schedule(0.0, 0.4), "self_window": Schedule(0.0, 0.2),
                "blend_words": f"{edit.source.background} background\n{edit.background} background",
                "keep_words": "\n".join(thing.phrase for thing in edit.source.things)}
    return {}


VARIANTS: dict[str, Method] = {
    "unpatched": unpatched,
    "schedule-20": scheduled(0.2),
    "schedule-40": scheduled(0.4),
    "sdedit-40": sdedit(0.4),
    "sdedit-60": sdedit(0.6),
    "sdedit-80": sdedit(0.8),
    "ours": advised(),
    "ours-defaults": attend(),
    "ours-blend": advised(blend_words="", keep_words=""),
}


def variants_for(kind: str) -> dict[str, Method]:
    """Every way to ask for a kind of edit; only what is new can be given a place."""
    return VARIANTS | ({"ours-placed": placed} if kind == "add" else {})
