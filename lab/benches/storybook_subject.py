"""Is it the same person in every scene, on the transformer? Shared Subject against none, one seed and naive sharing."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from statistics import fmean, median

from storybook.oracle import SHIPPED, Oracle
from world.draw import Settings, World, draw

from .cached_cases import WORKER, Cases
from .results import Row, collected, mean_row
from .storybook_subject_cases import sample_story, story_scores
from .storybook_subject_methods import MAIN, VARIANTS

MODEL = "transformer"
FIRST = 10  # the stories before were looked at while the method was made
STORIES, STORIES_OF_ALL = 9, 3
SETTINGS = Settings(8, 4.0, "euler", "simple")

Values = dict[str, list[float]]


@cache
def oracle() -> Oracle:
    return Oracle.read(SHIPPED)


def scores_of(world: World, variant: str, number: int) -> Values:
    """All scores of one variant on one story. seconds: of the processor, for others may be at work beside."""
    story, started = sample_story(number), time.process_time()
    drawing = draw(world, *VARIANTS[variant](world, story), SETTINGS)
    seconds = time.process_time() - started
    return story_scores(oracle().look_at_bytes(drawing.pictures), story) | {"seconds": [seconds]}


def measure_story(number: int) -> dict[str, Values]:
    """The variants on one story."""
    variants = VARIANTS if number < FIRST + STORIES_OF_ALL else MAIN
    return {variant: scores_of(WORKER["world"], variant, number) for variant in variants}


def run(limit: int | None = None) -> list[Row]:
    """One row a variant; ``limit`` is a number of stories."""
    with Cases("storybook_subject", choice=MODEL) as cases:
        return rows_of(cases.each(measure_story, range(FIRST, FIRST + (limit or STORIES))))


def rows_of(stories: Iterable[dict[str, Values]]) -> list[Row]:
    """One row a variant. diversity, time_ratio: relative to the unpatched pictures of the same stories."""
    stories = list(stories)
    rows: list[Row] = []
    for variant, values in collected(stories).items():
        plain: Values = defaultdict(list)
        for story in stories:
            if variant in story:
                for name in ("spread", "seconds"):
                    plain[name] += story["unpatched"][name]
        means = mean_row(variant, {name: found for name, found in values.items() if name not in ("spread", "seconds")})
        if values["spread"] and plain["spread"]:
            means["diversity"] = fmean(values["spread"]) / fmean(plain["spread"])
        rows.append(means | {"model": MODEL, "n": float(len(values["seconds"])),
                             "time_ratio": median(values["seconds"]) / median(plain["seconds"])})
    return rows
