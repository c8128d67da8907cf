"""How large everything is: on a GPU, on a CPU, and at the toy size that tries every part in a minute."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from .data import LAYOUTS, usual_workers
from .nets import clip, t5
from .nets.clip import Clip
from .nets.flux import Flux, FluxConfig
from .nets.t5 import T5
from .nets.unet import Unet, UnetConfig
from .nets.vae import Vae
from .words import words

MODELS = ("unet", "transformer")


@dataclass(frozen=True)
class Sizes:
    """scenes, captions: to train a model on, and how many captions each has; portraits: of each look, for a model
    that is trained with references; pool: scenes of VAE and oracle.
    measured: scenes the oracle is measured on; views: renders of each look in its gallery, of which it
    holds one in looks_every; gate: captions a model is measured on."""

    scenes: int = 120_000
    captions: int = 2
    portraits: int = 16
    chunk: int = 512
    workers: int = 0
    pool: int = 16_384
    vae_steps: int = 2_600
    second_vae_steps: int = 1_300
    vae_batch: int = 48
    crop_px: int = 160
    unet_steps: int = 14_000
    unet_batch: int = 256
    transformer_steps: int = 10_000
    transformer_batch: int = 384
    oracle_steps: int = 4_000
    oracle_batch: int = 128
    oracle_width: int = 64
    measured: int = 1_000
    views: int = 4
    looks_every: int = 1
    gate: int = 1_500
    gate_steps: int = 20
    flux: FluxConfig = FluxConfig()
    unet: UnetConfig = UnetConfig()
    t5: tuple[tuple[str, int], ...] = tuple(t5.CONFIG.items())
    clip: tuple[tuple[str, int], ...] = tuple(clip.CONFIG.items())

    def steps(self, model: str) -> int:
        return self.unet_steps if model == "unet" else self.transformer_steps

    def batch(self, model: str) -> int:
        return self.unet_batch if model == "unet" else self.transformer_batch

    def text_config(self, model: str) -> dict[str, int]:
        return dict(self.clip if model == "unet" else self.t5)

    def model_config(self, model: str) -> dict[str, Any]:
        return asdict(self.unet if model == "unet" else self.flux)

    def new_vae(self, model: str) -> Vae:
        return Vae(self.unet.channels if model == "unet" else self.flux.channels)

    def new_pair(self, model: str) -> nn.ModuleDict:
        """"model" and "text" with initial weights."""
        rows = len(words(LAYOUTS[model]))
        if model == "unet":
            return nn.ModuleDict({"model": Unet(self.unet), "text": Clip(rows, self.text_config(model))})
        return nn.ModuleDict({"model": Flux(self.flux), "text": T5(rows, self.text_config(model))})


ON_CPU = Sizes(scenes=20_000, pool=2_048, vae_batch=8, unet_batch=16, transformer_batch=16, oracle_batch=16, gate=300)
TINY = Sizes(
    scenes=8, captions=1, portraits=1, chunk=4, pool=8, vae_steps=3, second_vae_steps=3, vae_batch=2, crop_px=64,
    unet_steps=3, unet_batch=3, transformer_steps=3, transformer_batch=3,
    oracle_steps=3, oracle_batch=3, oracle_width=16, measured=2, views=1,
    looks_every=9, gate=3, gate_steps=2, flux=FluxConfig(hidden=128, double=1, single=1, context=32, supervised=(0, 1)),
    unet=UnetConfig(width=32, blocks=(1, 1, 1), heads=2, context=32),
    t5=(("d_model", 32), ("d_ff", 64), ("d_kv", 16), ("num_heads", 2), ("num_layers", 1)),
    clip=(("hidden_size", 32), ("intermediate_size", 64), ("num_attention_heads", 2), ("num_hidden_layers", 1)))


def sizes(device: torch.device, tiny: bool) -> Sizes:
    """Those that suit the machine."""
    if tiny:
        return TINY
    return replace(Sizes() if device.type == "cuda" else ON_CPU, workers=usual_workers())
