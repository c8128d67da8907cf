"""Is it that creature? IdentityInject on unseen creatures, one and two in a prompt."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import host
import numpy as np
import torch
from identity.records import creature_scene
from world.draw import Conditioning, World, draw, load_world
from world.render import render

from .cached_cases import WORKER, Cases
from .identity_cases import Case, sample_case, scores
from .results import Row, mean_row
from .world import round_trip

ONE, TWO = 100, 100
NODE = "bench"
# An adapter trained with `lab/run.py train identity --localisation 0 --folder F --out F/adapter.safetensors`,
# where F is identity-no-localisation in the lab's cache folder.
NO_LOSS = Path("identity-no-localisation") / "adapter.safetensors"

Ask = Callable[[World, Case, list[torch.Tensor]], tuple[Any, Conditioning]]


def unpatched(world: World, case: Case, _references: list[torch.Tensor]) -> tuple[Any, Conditioning]:
    from attention_director.bridge.text.prompt import encode

    return world.model, encode(world.clip, case.caption, NODE)


def ours(adapter: Any, **changes: Any) -> Ask:
    """IdentityInject at its defaults but for ``changes``."""
    def ask(world: World, case: Case, references: list[torch.Tensor]) -> tuple[Any, Conditioning]:
        from attention_director.bridge.identity.build import IdentityOptions, build
        from attention_director.bridge.identity.subject import make_subject
        from attention_director.nodes.identity_inject import DEFAULT_LOCALISE

        subjects = tuple(make_subject(NODE, phrase, picture, 1.0)
                         for phrase, picture in zip(case.phrases, references, strict=True))
        options = IdentityOptions(**({"localise": DEFAULT_LOCALISE} | changes))
        made = build(NODE, "1", world.model, world.clip, adapter, case.caption, subjects, options)
        return made.model, made.positive

    return ask


def variants() -> dict[str, Ask]:
    from attention_director.bridge.identity.adapter import DEMO, FILES, load_adapter

    adapter, _ = load_adapter(NODE, FILES.path(NODE, DEMO))
    found: dict[str, Ask] = {
        "unpatched": unpatched,
        "ours": ours(adapter),
        "ours-localised": ours(adapter, localise=1.0),
        "ours-no-delay": ours(adapter, start_percent=0.0),
        "ours-late": ours(adapter, start_percent=0.5),
        "ours-words-only": ours(adapter, strength_model=0.0),
    }
    other = host.cache_folder() / NO_LOSS
    if other.is_file():
        unlocalised, _ = load_adapter(NODE, other)
        found["ours-no-localisation-loss"] = ours(unlocalised)
        found["ours-no-localisation-loss-localised"] = ours(unlocalised, localise=1.0)
    return found


def measure(world: World, asks: Mapping[str, Ask], case: Case) -> dict[str, dict[str, float]]:
    """Every variant on one case, one after the other, so that their seconds are of the same minute."""
    references = case.references()
    out = {}
    for variant, ask in asks.items():
        with torch.inference_mode():
            model, positive = ask(world, case, references)
        drawing = draw(world, model, positive, [case.seed])
        found = _named(scores(drawing.pictures[0], case), len(case.coats))
        out[variant] = found | {"seconds": drawing.seconds, "a_step": drawing.a_step}
    return out


@cache
def _asks() -> dict[str, Ask]:
    return variants()


def measure_case(job: tuple[int, int]) -> dict[str, dict[str, float]]:
    """In a worker: one case (creatures, number)."""
    creatures, number = job
    return measure(WORKER["world"], _asks(), sample_case(number, creatures))


def _named(found: Mapping[str, float], creatures: int) -> dict[str, float]:
    """match and drawn by how many creatures were asked for."""
    which = {1: "one", 2: "two"}[creatures]
    return {f"{name}_{which}" if name in ("match", "drawn") else name: value for name, value in found.items()}


def ceiling(world: World, count: int) -> Row:
    """What the oracle says of perfect pictures after the VAE: no method can pass it."""
    from random import Random

    values: dict[str, list[float]] = defaultdict(list)
    for creatures in (1, 2):
        cases = [sample_case(number, creatures) for number in range(count)]
        pictures = []
        for case in cases:
            things = creature_scene(Random(f"ceiling/{case.seed}"), creatures, 0).things
            worn = [thing.__class__(thing.shape, "", thing.x, thing.y, thing.radius, coat)
                    for thing, coat in zip(things, case.coats, strict=True)]
            pictures.append(render(case.scene.__class__(case.scene.background, tuple(worn)))[0])
        for case, picture in zip(cases, round_trip(world, np.stack(pictures)), strict=True):
            found = scores(picture, case)
            values[f"match_{ {1: 'one', 2: 'two'}[creatures] }"].append(found["match"])
            values["blending"].extend([found["blending"]] if "blending" in found else [])
    return mean_row("rendered", values)


def run(limit: int | None = None) -> list[Row]:
    """One row a variant; ``limit`` is a number of cases of each kind, for a trial.

    time_ratio is of whole runs, each with new references and so with patches put on the weights; step_ratio of
    steps. Both of medians.
    """
    totals: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    jobs = [(1, n) for n in range(limit or ONE)] + [(2, n) for n in range(limit or TWO)]
    with Cases("identity") as cases:
        for found in cases.each(measure_case, jobs):
            for variant, values in found.items():
                for name, value in values.items():
                    totals[variant][name].append(value)
    return [ceiling(load_world(), min(50, limit or TWO)), *rows_of(totals)]


def rows_of(totals: Mapping[str, Mapping[str, list[float]]]) -> list[Row]:
    """One row a variant, its times relative to the unpatched ones of this run."""
    rows = []
    for name, values in totals.items():
        times = {ratio: median(values[which]) / median(totals["unpatched"][which])
                 for ratio, which in (("time_ratio", "seconds"), ("step_ratio", "a_step"))}
        means = mean_row(name, {k: v for k, v in values.items() if k not in ("seconds", "a_step")})
        rows.append(means | times | {"prompts": float(len(values["seconds"]))})
    return rows
