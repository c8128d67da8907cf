"""Is one thing changed and the picture kept, on the transformer? AttentionEdit against what a person would try instead.

Pictures are drawn; only those that show their caption are edited.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from time import perf_counter
from typing import Any

import torch

from .cached_cases import WORKER, Cases
from .results import Row, mean_row
from .storybook_edit_cases import KINDS, kept_db, look, sample_edit, source_is_right, succeeded
from .storybook_edit_methods import drawn, ways_of

MODEL = "transformer"
EDITS, EDITS_OF_ALL = 12, 4  # of each kind
TRIES = 4  # the plain model misses some captions; so many scenes are tried for each edit wanted

Scores = dict[str, tuple[bool, float, float]]


def measure_edit(job: tuple[str, int, bool]) -> Scores | None:
    """(success, dB outside, seconds) of the ways on one edit, one after the other; None where no picture of its scene
    came out right."""
    kind, number, every = job
    world, edit, out = WORKER["world"], sample_edit(kind, number), {}
    with torch.inference_mode():
        source = drawn(world, edit.caption, number)
        before = look(source.picture)
        if not source_is_right(before, edit.source):
            return None
        for name, way in ways_of(kind, every).items():
            started = perf_counter()
            picture = way(world, edit, source)
            seconds, after = perf_counter() - started, look(picture)
            out[name] = (succeeded(edit, before, after), kept_db(edit, before, after, source.picture, picture), seconds)
    return out


def run(limit: int | None = None) -> list[Row]:
    """One row a variant and kind; ``limit`` is a number of edits of each kind, for a trial."""
    found: dict[tuple[str, str], list[tuple[bool, float, float]]] = defaultdict(list)
    with Cases("storybook_edit", choice=MODEL) as cases:
        for kind in KINDS:
            _collect(cases, kind, limit or EDITS, found)
            print(f"storybook_edit: {kind} done", flush=True)
    return [_row(kind, name, values) for (kind, name), values in found.items()]


def _collect(cases: Cases, kind: str, count: int, found: Any) -> None:
    """Edits of one kind until there are ``count``, or TRIES times as many scenes; the first of them in every way."""
    number, got = 0, 0
    while got < count and number < TRIES * count:
        every = got < EDITS_OF_ALL
        wanted = (min(count, EDITS_OF_ALL) if every else count) - got
        jobs = [(kind, n, every) for n in range(number, number + wanted)]
        number += len(jobs)
        for scores in filter(None, cases.each(measure_edit, jobs)):
            got += 1
            for name, values in scores.items():
                found[kind, name].append(values)


def _row(kind: str, name: str, values: list[tuple[bool, float, float]]) -> Row:
    success, kept, seconds = zip(*values, strict=True)
    means = mean_row(name, {"success": [float(s) for s in success], "psnr_outside": kept})
    return {"variant": name, "edit": kind, "model": MODEL, **means, "seconds": median(seconds), "n": float(len(values))}
