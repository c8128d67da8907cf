"""Image to Noise: how well the model gives back the pictures that ship with the pack."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch
import torch.nn.functional as F

from ..demo.examples import example_names, load_example
from ..inversion.invert import InversionSettings, invert
from .case import Case
from .report import Row, shot_of
from .studio import Studio

NODE = "AttnDirInversion"
METHODS = ("direct", "ddim")
SCHEDULER = {"karras": "normal"}  # a run upwards wants even steps
EXACT = 40.0  # dB


def cases(studio: Studio, tools: Any) -> Sequence[Case]:
    """The pictures whose names are captions."""
    names = [name for name in example_names() if "depth" not in name]
    return [Case(f"picture {number}", 1.0 * len(METHODS),
                 lambda number=number, name=name: inverted(studio, name, number)) for number, name in
            enumerate(names, 1)]


def inverted(studio: Studio, name: str, number: int) -> Row:
    """direct keeps its own way and must be exact; ddim's error is what the model really loses."""
    side, sampling = studio.sampling.side, studio.sampling
    picture = load_example(NODE, name)[0].movedim(-1, 1)
    image = F.interpolate(picture, size=(side, side), mode="bicubic", antialias=True).clamp(0, 1).movedim(1, -1)
    found = {method: invert(NODE, studio.model, studio.clip, studio.vae, image, name, InversionSettings(
        method, max(2, sampling.steps), SCHEDULER.get(sampling.scheduler, sampling.scheduler)))
        for method in METHODS}
    numbers = {f"{method}_db": one.psnr for method, one in found.items()}
    says = f"direct {numbers['direct_db']:.1f} dB, by the start noise alone (ddim) {numbers['ddim_db']:.1f} dB."
    shots = (shot_of(name, image[0]), *(shot_of(f"{name}: {method}", _picture(one.reconstruction))
                                     for method, one in found.items()))
    return Row(NODE, f"picture {number}", "told", says, numbers, shots)


def _picture(images: torch.Tensor) -> torch.Tensor:
    return images.reshape(-1, *images.shape[-3:])[0, ..., :3].float().cpu().clamp(0, 1)


def sum_up(name: str, rows: Sequence[Row]) -> Row:
    numbers = {key: fmean(row.numbers[key] for row in rows) for key in rows[0].numbers} | {"n": float(len(rows))}
    works = numbers["direct_db"] >= EXACT
    says = (f"direct gives pictures back at {numbers['direct_db']:.1f} dB, the start noise alone at "
            f"{numbers['ddim_db']:.1f} dB, of {len(rows)}.")
    return Row(name, "", "works" if works else "fails", says, numbers)
