"""Attention Edit: what changes outside of the words' area, against asking with the other prompt at the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch

from ..convert import MOST_DB, psnr
from .case import Case
from .directing import EDIT, edited
from .looking import look
from .regions import cost_of
from .report import Row, shot_of
from .scenes import Edit
from .studio import Studio, costs

CHANGED = 35.0  # dB below which an area looks changed


def cases(studio: Studio, tools: Any) -> Sequence[Case]:
    return [Case(f"edit {number}", 4.0, lambda number=number, change=change: compared(studio, change, number))
            for number, change in enumerate(tools.scenes.edits, 1)]


def compared(studio: Studio, change: Edit, number: int) -> Row:
    """Source and target in a batch of two, both ways."""
    directed = edited(studio, change)
    prompts = studio.encode(change.source, change.target)
    plain = studio.draw(studio.model, prompts, latent=studio.latent(2, same_noise=True))
    ours = studio.draw(directed.model, directed.positive, latent=directed.latent, negative=directed.negative)
    asked, kept = studio.pictures(plain.samples), studio.pictures(ours.samples)
    source, target = look_at(studio, kept, ours.samples, change), look_at(studio, asked, plain.samples, change)
    numbers = {"outside_db": outside(kept, source), "inside_db": outside(kept, ~source),
               "plain_outside_db": outside(asked, target), "area": float(source.float().mean()),
               **costs([plain], [ours])}
    says = (f"{numbers['outside_db']:.1f} dB outside, {numbers['inside_db']:.1f} dB inside of the words' area; asked "
            f"anew {numbers['plain_outside_db']:.1f} dB outside.")
    shots = tuple(shot_of(caption, picture) for caption, picture in (
        (change.source, kept[0]), (f"{change.target}: edited", kept[1]), (f"{change.target}: asked anew", asked[1])))
    return Row(EDIT, f"edit {number}", "told", says, numbers, shots)


def look_at(studio: Studio, pictures: torch.Tensor, samples: torch.Tensor, change: Edit) -> torch.Tensor:
    """Where either picture shows its word: bool [H, W]."""
    size = (pictures.shape[1], pictures.shape[2])
    seen = [look(studio, samples[i:i + 1], studio.encode(text), [word]).areas(size)[0, 0]
            for i, (text, word) in enumerate(((change.source, change.before), (change.target, change.after)))]
    return seen[0] | seen[1]


def outside(pictures: torch.Tensor, area: torch.Tensor) -> float:
    """How near two pictures [2, H, W, 3] are outside of an area, in dB."""
    kept = ~area
    return psnr(pictures[0][kept], pictures[1][kept]) if bool(kept.any()) else MOST_DB


def sum_up(name: str, rows: Sequence[Row]) -> Row:
    numbers = {key: fmean(row.numbers[key] for row in rows) for key in rows[0].numbers} | {"n": float(len(rows))}
    changed = sum(row.numbers["inside_db"] < CHANGED for row in rows)
    works = numbers["outside_db"] > numbers["plain_outside_db"] and 2 * changed > len(rows)
    says = (f"{numbers['outside_db']:.1f} dB outside of what was to change, asked anew "
            f"{numbers['plain_outside_db']:.1f} dB; changed inside in {changed} of {len(rows)}; {cost_of(numbers)}.")
    return Row(name, "", "works" if works else "fails", says, numbers)
