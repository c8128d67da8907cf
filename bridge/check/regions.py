"""Region Prompt: do things stand where they were asked to, plain and directed at the same seeds?"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

import torch

from .case import Case
from .detectors import Detector
from .directing import REGIONS, placed
from .looking import look
from .report import Row, shot_of
from .scenes import Layout
from .studio import Studio, costs

SEEDS = (7, 8)
LEAST = 0.03  # a mean landing higher by less than this is no difference
AT_ALL = 0.2  # intersection over union from which a detector's box counts as in its place


def cases(studio: Studio, tools: Any) -> Sequence[Case]:
    """Every layout at the first seed, then at the second."""
    layouts = tools.scenes.layouts
    return [Case(f"layout {number}, seed {seed}", 2.0,
                 lambda number=number, layout=layout, seed=seed: compared(studio, tools, layout, number, seed))
            for seed in SEEDS for number, layout in enumerate(layouts, 1)]


def compared(studio: Studio, tools: Any, layout: Layout, number: int, seed: int) -> Row:
    """Plain and directed side by side."""
    directed, prompt = placed(studio, layout), studio.encode(layout.text)
    plain = studio.draw(studio.model, prompt, seed)
    placed_now = studio.draw(directed.model, directed.positive, seed)
    phrases, masks = [t.phrase for t in layout.things], torch.stack([t.mask for t in layout.things])
    before, after = (look(studio, drawn.samples, prompt, phrases).landings(masks)[0].tolist()
                     for drawn in (plain, placed_now))
    pictures = [studio.pictures(drawn.samples)[0] for drawn in (plain, placed_now)]
    tools.keep(layout.text, pictures[0])
    numbers = {"landing": fmean(after), "plain_landing": fmean(before), **costs([plain], [placed_now])}
    says = "; ".join(f'"{phrase}" {a:.0%} in its region, plain {b:.0%}'
                     for phrase, a, b in zip(phrases, after, before, strict=True))
    says += verdict_of(tools.detector(), layout, pictures, numbers)
    boxes = tuple(thing.box for thing in layout.things)
    shots = tuple(shot_of(f"{layout.text}: {what}", picture, boxes)
                  for what, picture in zip(("plain", "directed"), pictures, strict=True))
    return Row(REGIONS, f"layout {number}, seed {seed}", "told", f"{says}.", numbers, shots)


def verdict_of(found: tuple[Detector | None, str], layout: Layout, pictures: Sequence[torch.Tensor],
               numbers: dict[str, float]) -> str:
    """A detector's words, its numbers added to the others. found: with why there is none, "" where nobody has one."""
    detector, without = found
    if detector is None:
        return without and f"; {without}"
    before, after = (detector.fits(picture, layout.things) for picture in pictures)
    numbers |= {"detector_iou": fmean(after), "plain_detector_iou": fmean(before)}
    seen = [sum(fit >= AT_ALL for fit in fits) for fits in (after, before)]
    return f"; {detector.name} sees {seen[0]} of {len(after)} in their boxes, plain {seen[1]}"


def sum_up(name: str, rows: Sequence[Row]) -> Row:
    """Means over all layouts that were drawn."""
    keys = sorted(set.intersection(*(set(row.numbers) for row in rows)))
    numbers = {key: fmean(row.numbers[key] for row in rows) for key in keys} | {"n": float(len(rows))}
    better = sum(row.numbers["landing"] > row.numbers["plain_landing"] for row in rows)
    gain = numbers["landing"] - numbers["plain_landing"]
    works = gain >= LEAST and 2 * better > len(rows)
    says = (f"{numbers['landing']:.0%} of what the model itself sees of a thing is in its region, plain "
            f"{numbers['plain_landing']:.0%}; better in {better} of {len(rows)} pictures")
    if "detector_iou" in numbers:
        says += f"; detector's overlap {numbers['detector_iou']:.2f}, plain {numbers['plain_detector_iou']:.2f}"
    return Row(name, "", "works" if works else "fails", f"{says}; {cost_of(numbers)}.", numbers)


def cost_of(numbers: Any) -> str:
    """A step's price in words."""
    plain = numbers["plain_seconds_a_step"]
    times = f", {numbers['seconds_a_step'] / plain:.2f} times plain" if plain else ""
    memory = (f", {numbers['peak_mb']:.0f} MB at most, plain {numbers['plain_peak_mb']:.0f}"
              if "peak_mb" in numbers else "")
    return f"{numbers['seconds_a_step']:.3g} s a step{times}{memory}"
