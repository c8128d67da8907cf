"""How exactly, and how fast, each inversion gives a rendered picture back."""

from __future__ import annotations

from random import Random
from statistics import fmean, median
from time import perf_counter
from typing import Any

import torch
from world.caption import plain_caption
from world.render import render
from world.scene import sample_scene

KINDS = ("direct", "negative-prompt", "ddim", "edit-friendly", "null-text")
STEPS = 30


def invert_one(world: Any, kind: str, number: int) -> tuple[float, float]:
    """(dB against the VAE round trip, seconds) of one scene; defaults of the node."""
    from attention_director.bridge.inversion.invert import InversionSettings, invert

    scene = sample_scene(Random(f"inversion/{number}"))
    pixels = torch.from_numpy(render(scene)[0])[None].float() / 255
    caption = plain_caption(scene) if scene.things else f"a {scene.background} background"
    started = perf_counter()
    settings = InversionSettings(kind, STEPS, "normal")
    found = invert("bench", world.model, world.clip, world.vae, pixels, caption, settings)
    return found.psnr, perf_counter() - started


def inversion_row(kind: str, found: list[tuple[float, float]]) -> dict[str, str | float]:
    """Mean dB (100 stands for exact), the worst, and the median of the seconds."""
    decibels = [db for db, _ in found]
    return {"variant": kind, "edit": "inversion", "picture": "real", "psnr": fmean(decibels),
            "psnr_least": min(decibels), "seconds": median(s for _, s in found), "edits": float(len(found))}
