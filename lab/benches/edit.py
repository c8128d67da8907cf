"""Is the word changed and the picture kept? AttentionEdit against what a person would try instead.

Pictures are drawn (only those that show their caption are edited) or real: rendered, then inverted.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from time import perf_counter
from typing import Any

import torch
from world.draw import start_noise
from world.oracle import look
from world.render import render

from .cached_cases import WORKER, Cases
from .edit_cases import KINDS, Edit, psnr, sample_edit, source_is_right, succeeded, untouched
from .edit_methods import REAL, Source, advice, encode, sample, variants_for
from .edit_weights import shares_of, weight_edit, weight_rows
from .inversions import KINDS as INVERSIONS
from .inversions import inversion_row, invert_one
from .results import Row, mean_row

EDITS = 200
INVERTED = 20
# The plain model misses some captions; so many scenes are tried for each edit wanted.
TRIES = 12

Scores = dict[str, tuple[bool, float, float]]


def drawn(world: Any, edit: Edit, seed: int) -> Source | None:
    """The caption's picture at a seed, None where it does not show its caption."""
    empty = torch.zeros_like(start_noise([seed]))
    source = Source(None, empty, seed, real=False)  # type: ignore[arg-type]
    picture = sample(world, world.model, encode(world, edit.caption), source, empty)
    if not source_is_right(look(picture), edit.source):
        return None
    return Source(picture, _encoded(world, picture), seed, real=False)


def real(world: Any, edit: Edit, seed: int) -> Source:
    """The rendered scene through the VAE and back, and its inversion."""
    from attention_director.bridge.inversion.invert import InversionSettings, invert

    picture, _ = render(edit.source)
    pixels = torch.from_numpy(picture)[None].float() / 255
    settings = InversionSettings("direct", REAL.steps, REAL.scheduler)
    inversion = invert("bench", world.model, world.clip, world.vae, pixels, edit.caption, settings).inversion
    latent = _encoded(world, picture)
    kept = (world.vae.decode(latent)[0].clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()
    return Source(kept, latent, seed, real=True, inversion=inversion)


def _encoded(world: Any, picture: Any) -> torch.Tensor:
    return world.vae.encode(torch.from_numpy(picture)[None].float() / 255)


def scores_of(world: Any, edit: Edit, source: Source) -> Scores:
    """(success, dB outside, seconds) of every variant, one after the other."""
    before = look(source.picture)
    out: Scores = {}
    for name, method in variants_for(edit.kind).items():
        if name == "ours-defaults" and not advice(edit):  # the defaults are the advice: the same picture
            out[name] = out["ours"]
            continue
        started = perf_counter()
        picture = method(world, edit, source)
        seconds = perf_counter() - started
        after = look(picture)
        kept = psnr(source.picture, picture, untouched(edit, before, after))
        out[name] = (succeeded(edit, before, after), kept, seconds)
    return out


def measure_edit(job: tuple[str, int, bool]) -> Scores | None:
    """One edit of a kind; None where no picture of its scene came out right."""
    kind, number, is_real = job
    world = WORKER["world"]
    with torch.inference_mode():
        edit = sample_edit(kind, number)
        source = real(world, edit, number) if is_real else drawn(world, edit, number)
        return None if source is None else scores_of(world, edit, source)


def weigh(job: tuple[int, bool]) -> list[float] | None:
    """The shares of one re-weighting; None where its scene did not come out right."""
    number, is_real = job
    world = WORKER["world"]
    with torch.inference_mode():
        edit = weight_edit(number)
        source = real(world, edit, number) if is_real else drawn(world, edit, number)
        return None if source is None else shares_of(world, edit, source)


def invert_job(job: tuple[str, int]) -> tuple[float, float]:
    with torch.inference_mode():
        return invert_one(WORKER["world"], *job)


def run(limit: int | None = None) -> list[Row]:
    """One row a variant, kind and origin; ``limit`` is a number of edits of each kind, for a trial."""
    count = limit or EDITS
    found: dict[tuple[str, bool, str], list[tuple[bool, float, float]]] = defaultdict(list)
    with Cases("edit") as cases:
        for is_real in (False, True):
            for kind in KINDS:
                _collect(cases, kind, is_real, count, found)
                print(f"edit: {'real' if is_real else 'drawn'} {kind} done", flush=True)
        rows = [_row(key, values) for key, values in found.items()]
        rows += [row for is_real in (False, True) for row in _weights(cases, is_real, count)]
        return rows + _inversions(cases, min(limit or INVERTED, INVERTED))


def _weights(cases: Cases, is_real: bool, count: int) -> list[Row]:
    """Scenes until ``count`` of them came out right, or TRIES times as many were drawn."""
    shares: list[list[float]] = []
    number = 0
    while len(shares) < count and number < TRIES * count:
        jobs = [(n, is_real) for n in range(number, number + count - len(shares))]
        number += len(jobs)
        shares += [found for found in cases.each(weigh, jobs) if found is not None]
    print("edit: weights done", flush=True)
    return weight_rows(shares, "real" if is_real else "drawn") if shares else []


def _inversions(cases: Cases, count: int) -> list[Row]:
    rows = [inversion_row(kind, cases.each(invert_job, [(kind, n) for n in range(count)])) for kind in INVERSIONS]
    print("edit: inversions done", flush=True)
    return rows


def _collect(cases: Cases, kind: str, is_real: bool, count: int, found: Any) -> None:
    """Edits of one kind until there are ``count``, or TRIES times as many scenes were drawn."""
    number, got = 0, 0
    while got < count and number < TRIES * count:
        jobs = [(kind, n, is_real) for n in range(number, number + count - got)]
        number += len(jobs)
        for scores in cases.each(measure_edit, jobs):
            if scores is not None:
                got += 1
                for name, values in scores.items():
                    found[kind, is_real, name].append(values)


def _row(key: tuple[str, bool, str], values: list[tuple[bool, float, float]]) -> Row:
    kind, is_real, name = key
    success, kept, seconds = zip(*values, strict=True)
    means = mean_row(name, {"success": [float(s) for s in success], "psnr_outside": kept})
    return {"variant": name, "edit": kind, "picture": "real" if is_real else "drawn", **means,
            "seconds": median(seconds), "edits": float(len(values))}
