"""One entry for each family of networks: what its contract test needs to know of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Entry:
    """A tiny configuration of a family.

    tiny: its name in tiny.py. foreign: (model) -> the model with another pack's patch at the text's attention.
    in_float64: (network) -> a copy that computes in float64 throughout. text_grid: how many tokens a prompt's
    encoding is padded to a multiple of.
    """

    tiny: str
    foreign: Callable[[Any], Any]
    in_float64: Callable[[torch.nn.Module], torch.nn.Module]
    text_grid: int = 77


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


ENTRIES = {
    "sd15": Entry("sd15", image_adapter, unet_in_float64),
    "sd2": Entry("sd2", image_adapter, unet_in_float64),
    "sdxl": Entry("sdxl", image_adapter, unet_in_float64),
}
