"""The identity bench: cases are fixed, scores know a match from a mixture, and every variant draws."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import identity_files as files
import numpy as np
import pytest
import torch
from benches import identity as bench
from benches.identity_cases import Case, portrait, sample_case, scores
from identity.patterns import hybrids
from world.draw import load_world
from world.render import render
from world.scene import Coat, Scene


def drawn(case: Case, coats: list[Coat]) -> np.ndarray:
    """A perfect picture of a case with two creatures in these coats."""
    places = ((36.0, 64.0), (94.0, 60.0))
    things = [replace(thing, x=x, y=y, radius=26.0, coat=coat)
              for thing, coat, (x, y) in zip(case.scene.things, coats, places, strict=False)]
    return render(Scene(case.scene.background, tuple(things)))[0]


def test_cases_are_the_same_every_time() -> None:
    for creatures in (1, 2):
        case, again = sample_case(7, creatures), sample_case(7, creatures)
        assert case.caption == again.caption and case.coats == again.coats and len(case.coats) == creatures
        assert len({*case.coats, *case.others}) == 20
        assert all(torch.equal(a, b) for a, b in zip(case.references(), again.references(), strict=True))
    assert portrait(case.coats[0], "x").shape == (128, 128, 3)


def test_scores_know_a_match_a_double_and_a_mixture() -> None:
    right = doubled = mixed = pure = 0.0
    count = 10
    for number in range(count):
        case = sample_case(number, 2)
        a, b = case.coats
        perfect = scores(drawn(case, [a, b]), case)
        right += perfect["match"]
        assert perfect["obedience"] == 1.0
        pure += perfect["blending"]
        doubled += scores(drawn(case, [a, a]), case)["match"]
        mixed += scores(drawn(case, hybrids(a, b)[:2]), case)["blending"]
    assert pure <= 0.05 * count, pure
    assert right >= 0.95 * count and doubled == pytest.approx(0.5 * count, abs=1) and mixed >= 0.7 * count
    empty = scores(np.full((128, 128, 3), 246, np.uint8), case)
    assert empty["match"] == 0.0 == empty["obedience"] and "blending" not in empty


def test_every_variant_draws_and_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from attention_director.bridge import files as folders
    from attention_director.bridge.identity.adapter import DEMO

    world = load_world()
    weights = files.published(128, unet=False) | files.low_rank(world.model)
    files.save(tmp_path / DEMO, weights)
    monkeypatch.setattr(folders, "ASSETS", tmp_path)
    monkeypatch.setattr(bench.host, "cache_folder", lambda: tmp_path)
    asks = bench.variants()
    assert list(asks)[:2] == ["unpatched", "ours"] and "ours-no-localisation-loss" not in asks
    short = bench.draw
    monkeypatch.setattr(bench, "draw", lambda *a: short(*a, settings=bench_settings()))
    for creatures, named in ((1, "match_one"), (2, "match_two")):
        found = bench.measure(world, asks, sample_case(0, creatures))
        assert list(found) == list(asks)
        assert all(named in values and values["seconds"] > values["a_step"] > 0 for values in found.values())


def bench_settings():
    from world.draw import Settings

    return Settings(steps=2)


def test_the_ceiling_is_high() -> None:
    row = bench.ceiling(load_world(), 8)
    assert row["match_one"] >= 0.85 and row["match_two"] >= 0.8


def test_the_shipped_adapter_brings_its_subjects_into_the_picture() -> None:
    """Eight prompts with one creature each: by words alone a match is chance, one in twenty."""
    from attention_director.bridge.identity.adapter import DEMO, FILES

    assert FILES.path("test", DEMO).stat().st_size <= 8_000_000
    world, asks = load_world(), bench.variants()
    asks = {name: asks[name] for name in ("unpatched", "ours")}
    found = [bench.measure(world, asks, sample_case(number, 1)) for number in range(8)]
    matched = {name: sum(values[name]["match_one"] for values in found) for name in asks}
    assert matched["ours"] >= 4 and matched["ours"] >= matched["unpatched"] + 3, matched
