"""One entry for each family of networks: what its contract test needs to know of it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import tiny
import tiny_joint
import torch
from layouts import padded


@dataclass(frozen=True)
class Entry:
    """A tiny configuration of a family.

    model: makes it. encode: (text, lines) -> a prompt whose words are known; plain: text -> one of the host's.
    foreign: (model) -> the model with another pack's patch at the text's attention. text_grid: how many tokens a
    prompt's encoding is padded to a multiple of. in_float64: (network) -> a copy that computes in float64 throughout.
    """

    model: Callable[[], Any]
    encode: Callable[..., list]
    plain: Callable[[str], list]
    foreign: Callable[[Any], Any]
    in_float64: Callable[[torch.nn.Module], torch.nn.Module]
    text_grid: int = 1


def image_adapter(model: Any) -> Any:
    """IPAdapter's shape, in the slots of a UNet."""
    from foreign_packs import ImageAdapter, put

    return put(model, ImageAdapter())


def unet_in_float64(network: torch.nn.Module) -> torch.nn.Module:
    """SD2's layers ask for scores in float32, whatever they are given."""
    made = copy.deepcopy(network).double()
    for module in made.modules():
        if hasattr(module, "attn_precision"):
            module.attn_precision = None
    return made


def unet(name: str) -> Entry:
    from scene import encode, host_encode

    return Entry(partial(tiny.model, name), lambda text, lines=False: encode(tiny.clip(name), text, lines),
                 lambda text: host_encode(tiny.clip(name), text), image_adapter, unet_in_float64, 77)


def half_as_much(model: Any) -> Any:
    """Another pack's override of the host's attention; a norm behind it does not undo half of the channels."""
    def override(func: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        out = func(*args, **kwargs).clone()
        out[..., 1::2] *= 0.5
        return out

    other = model.clone()
    other.model_options["transformer_options"]["optimized_attention_override"] = override
    return other


LEAST = 16  # tokens of the shortest encoding, as T5 has 256


def by_hand(text: str) -> tuple[torch.Tensor, Any]:
    """(rows [T, C], layout) of one token a word between a begin token and padding: as a text encoder might give."""
    layout = padded(text, max(LEAST, len(text.split()) + 2))
    words = [text[slice(*token)] if token else "" for token in layout.tokens]
    seeds = [int.from_bytes(hashlib.sha256(f"{at} {word}".encode()).digest()[:4]) for at, word in enumerate(words)]
    return torch.cat([tiny_joint.context(1, seed)[0] for seed in seeds]), layout


def encode_by_hand(text: str, lines: bool = False) -> list:
    """Prompts of unequal length filled up with zeros, as a joint family wants them."""
    from attention_director.bridge.text.prompt import TAG_KEY
    from attention_director.core.text import PromptTag

    each = [by_hand(line) for line in (text.splitlines() if lines else [text])]
    width = max(len(rows) for rows, _ in each)
    rows = torch.stack([torch.nn.functional.pad(own, (0, 0, 0, width - len(own))) for own, _ in each])
    tag = PromptTag(tuple(layout for _, layout in each))
    return [[rows, {TAG_KEY: replace(tag, length=width, padded=True) if len(each) > 1 else tag}]]


def joint_in_float64(network: torch.nn.Module) -> torch.nn.Module:
    """Positions are turned in the precision of their angles."""
    made = copy.deepcopy(network).double()
    for module in made.modules():
        if type(module).__name__ == "EmbedND":
            module.register_forward_hook(lambda _module, _args, angles: angles.double())
    return made


def joint(name: str) -> Entry:
    return Entry(partial(tiny_joint.model, name), encode_by_hand, lambda text: [[by_hand(text)[0][None], {}]],
                 half_as_much, joint_in_float64)


ENTRIES = {**{name: unet(name) for name in ("sd15", "sd2", "sdxl")},
           **{name: joint(name) for name in tiny_joint.CONFIGS}}
