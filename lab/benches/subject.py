"""Is it the same creature in every scene? SharedSubjectAttention against the same noise and attention to all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from statistics import fmean, median
from typing import Any

import numpy as np
from world.draw import Drawing, Settings, World, draw

from .cached_cases import WORKER, Cases
from .memory import peak_bytes
from .results import RESULTS, TRIAL, Row, mean_row
from .sheets import save
from .subject_cases import SCENES, sample_story, story_scores
from .subject_methods import VARIANTS
from .subject_parts import dots, part_scores, recorded

STORIES = 100
SETTINGS = Settings(steps=25)
# What a set of so many pictures costs; the memory of a step does not depend on how many steps there are.
GROWTH, COSTS = (2, 4, 8), ("ours", "ours-one-pass", "whole-batch")
MEMORY_SETTINGS, REPEATS = Settings(steps=8), 3
PARTS = 20
PAGES = 4  # stories whose correspondence is drawn

Values = dict[str, list[float]]


def drawn(world: World, variant: str, number: int, scenes: int = SCENES, settings: Settings = SETTINGS) -> Drawing:
    """The pictures of one story by one variant."""
    model, positive, seeds = VARIANTS[variant](world, sample_story(number, scenes))
    return draw(world, model, positive, seeds, settings)


def measure_story(number: int) -> dict[str, Values]:
    """Every variant on one story, one after the other, so that their seconds are of the same minute."""
    out: dict[str, Values] = {}
    for variant in VARIANTS:
        drawing = drawn(WORKER["world"], variant, number)
        out[variant] = story_scores(drawing.pictures, sample_story(number)) | {"seconds": [drawing.seconds]}
    return out


def growth(world: World, repeats: int = REPEATS) -> list[Row]:
    """Time and memory of sets of 2, 4 and 8 pictures, as ratios to the same set unpatched."""
    rows: list[Row] = []
    for pictures in GROWTH:
        seconds: Values = defaultdict(list)
        for number in range(repeats):
            for variant in ("unpatched", *COSTS):
                seconds[variant].append(drawn(world, variant, number, pictures).seconds)
        peaks = {variant: memory_of(world, variant, pictures) for variant in ("unpatched", *COSTS)}
        rows += [{"variant": variant, "images": float(pictures),
                  "time_ratio": median(seconds[variant]) / median(seconds["unpatched"]),
                  "memory_ratio": peaks[variant] / peaks["unpatched"]} for variant in COSTS]
        print(f"subject: the cost of {pictures} pictures is known", flush=True)
    return rows


def memory_of(world: World, variant: str, pictures: int) -> float:
    """Megabytes of tensors that one run needs at its worst, beside the weights and the decoding."""
    model, positive, seeds = VARIANTS[variant](world, sample_story(0, pictures))
    return peak_bytes(lambda: draw(world, model, positive, seeds, MEMORY_SETTINGS, decode=False)) / 1e6


def measure_parts(number: int) -> Values:
    """In a worker: masks and correspondence of one story."""
    return part_scores(*recorded(WORKER["world"], sample_story(number), SETTINGS))


def page(number: int) -> np.ndarray | None:
    """In a worker: where each patch of a story's last picture draws from."""
    drawing, record = recorded(WORKER["world"], sample_story(number), SETTINGS)
    return dots(drawing, record, SCENES - 1) if "subject_links" in record else None


def rows_of(totals: Mapping[str, Values]) -> list[Row]:
    """One row a variant. diversity, time_ratio: relative to the unpatched pictures of this run."""
    plain: dict[str, Any] = dict(totals["unpatched"])
    rows = []
    for variant, values in totals.items():
        values = dict(values)
        apart, seconds = values.pop("spread"), values.pop("seconds")
        row = mean_row(variant, values)
        if apart and plain["spread"]:
            row["diversity"] = fmean(apart) / fmean(plain["spread"])
        rows.append(row | {"time_ratio": median(seconds) / median(plain["seconds"]), "stories": float(len(seconds))})
    return rows


def run(limit: int | None = None) -> list[Row]:
    """One row a variant, then what sets of 2 to 8 cost, then how right masks and correspondence are.

    ``limit`` is a number of stories, for a trial.
    """
    count = limit or STORIES
    totals: dict[str, Values] = {variant: defaultdict(list) for variant in VARIANTS}
    with Cases("subject") as cases:
        for found in cases.each(measure_story, range(count)):
            for variant, values in found.items():
                for name, more in values.items():
                    totals[variant][name].extend(more)
        costs = cases.each(measure_growth, [1 if limit else REPEATS])[0]
        parts = cases.each(measure_parts, range(min(count, PARTS)))
        pages = [drawn for drawn in cases.pool.map(page, range(min(count, PAGES))) if drawn is not None]
    if pages:
        save("subject-links.png", np.concatenate(pages), TRIAL if limit else RESULTS)
    rows = rows_of(totals)
    ratios = {row["variant"]: row["memory_ratio"] for row in costs if row["images"] == SCENES}
    return [row | ({"memory_ratio": ratios[row["variant"]]} if row["variant"] in ratios else {})
            for row in rows] + costs + [part_row(parts)]


def part_row(parts: list[Values]) -> Row:
    """Masks and correspondence over all stories."""
    joined: Values = defaultdict(list)
    for story in parts:
        for metric, values in story.items():
            joined[metric].extend(values)
    return mean_row("ours-parts", joined) | {"stories": float(len(parts))}


def measure_growth(repeats: int) -> list[Row]:
    """In a worker, which has its world and its thread."""
    return growth(WORKER["world"], repeats)
