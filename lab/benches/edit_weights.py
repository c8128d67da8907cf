"""Does more weight on a word give more of its thing? One thing of two, its words at six weights."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
from world.scene import COLOURS

from .edit_cases import Edit, sample_edit
from .edit_methods import Source, attend

WEIGHTS = (-2.0, -1.0, 0.0, 1.0, 2.0, 4.0)
NEAR = 60.0  # RGB units: the world's colours keep at least so far from each other


def tint_share(picture: np.ndarray, colour: str) -> float:
    """Share of a picture's pixels, uint8 [H, W, 3], that are painted in a colour of the world."""
    return float((np.linalg.norm(picture.astype(np.float32) - COLOURS[colour], axis=-1) < NEAR).mean())


def weight_edit(number: int) -> Edit:
    """Two things of different colours; the first one's phrase is weighed."""
    return sample_edit("remove", number)


def shares_of(world: Any, edit: Edit, source: Source) -> list[float]:
    """The thing's share of the picture at each of WEIGHTS, the whole picture free to change."""
    colour = edit.source.things[0].colour
    return [tint_share(attend(reweight=f"{edit.word}: {weight}", blend_words="")(world, edit, source), colour)
            for weight in WEIGHTS]


def weight_rows(found: Sequence[Sequence[float]], picture: str) -> list[dict[str, str | float]]:
    """One row a weight: mean share, and the share of edits that have at least as much as one weight below."""
    rows: list[dict[str, str | float]] = []
    for i, weight in enumerate(WEIGHTS):
        row: dict[str, str | float] = {"variant": "ours", "edit": f"weight {weight:g}", "picture": picture,
                                       "share": fmean(shares[i] for shares in found), "edits": float(len(found))}
        if i:
            row["not_less"] = fmean(float(shares[i] >= shares[i - 1] - 1e-3) for shares in found)
        rows.append(row)
    return rows
