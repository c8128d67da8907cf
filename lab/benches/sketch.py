"""Does the picture follow the drawing, and is it still a picture? SketchGuidance against image to image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from statistics import median

import numpy as np
import torch
from world.draw import Settings, World
from world.render import render

from .cached_cases import WORKER, Cases
from .results import RESULTS, TRIAL, Row, mean_row
from .sheets import save
from .sketch_cases import KINDS, Sketch, sample_sketch, sketch_scores
from .sketch_methods import VARIANTS, sampled
from .sketch_plot import plot
from .world import round_trip

SKETCHES = 200  # of all kinds together
SETTINGS = Settings(steps=32)  # the paper guides 25 of 50; of 16 only seven would be guided

Values = dict[str, list[float]]


def measure(world: World, sketch: Sketch, settings: Settings = SETTINGS) -> dict[str, dict[str, float]]:
    """Every variant on one sketch, one after the other, so that their seconds are of the same minute.

    rendered: the scene itself after the VAE, which no method can be expected to pass.
    """
    found = {"rendered": sketch_scores(round_trip(world, render(sketch.scene)[0][None])[0], sketch)}
    for variant, method in VARIANTS.items():
        with torch.inference_mode():
            latent, seconds = sampled(world, method(world, sketch), sketch.seed, settings)
            decoded = world.vae.decode(latent)[0]
        picture: np.ndarray = (decoded.clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()
        found[variant] = sketch_scores(picture, sketch) | {"seconds": seconds}
    return found


def measure_sketch(job: tuple[str, int]) -> dict[str, dict[str, float]]:
    """In a worker: one sketch (kind, number)."""
    return measure(WORKER["world"], sample_sketch(*job))


def rows_of(totals: Mapping[tuple[str, str], Values]) -> list[Row]:
    """One row a variant for all drawings together, then one for each kind. totals: by (kind, variant)."""
    joined: dict[tuple[str, str], Values] = {}
    for (_, variant), values in totals.items():
        into = joined.setdefault(("all", variant), defaultdict(list))
        for name, more in values.items():
            into[name].extend(more)
    rows = []
    for (kind, variant), values in (*joined.items(), *totals.items()):
        plain = (joined if kind == "all" else totals)[kind, "unpatched"]["seconds"]
        row = mean_row(variant, {name: found for name, found in values.items() if name != "seconds"})
        if "seconds" in values:
            row["time_ratio"] = median(values["seconds"]) / median(plain)
        rows.append({"variant": variant, "drawing": kind, **row, "sketches": float(len(values["edge_f1"]))})
    return rows


def run(limit: int | None = None) -> list[Row]:
    """One row a variant and kind of drawing; ``limit`` is a number of sketches of all kinds, for a trial."""
    count = max(1, (limit or SKETCHES) // len(KINDS))
    work = [(kind, number) for number in range(count) for kind in KINDS]
    totals: dict[tuple[str, str], Values] = {}
    with Cases("sketch") as cases:
        for (kind, _), found in zip(work, cases.each(measure_sketch, work), strict=True):
            for variant, scores in found.items():
                into = totals.setdefault((kind, variant), defaultdict(list))
                for name, value in scores.items():
                    into[name].append(value)
    rows = rows_of(totals)
    save("sketch.png", plot(rows), TRIAL if limit else RESULTS)
    return rows
