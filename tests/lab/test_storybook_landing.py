"""The bench of the landing score: what it counts, and that it asks as the canvas does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benches import storybook_landing as bench
from benches.storybook_layout import LAYOUTS, sample_layout
from benches.tables import LANDING
from world.draw import load_world

ROOT = Path(__file__).resolve().parents[2]


def test_red_is_what_the_canvas_takes_for_missed() -> None:
    source = (ROOT / "web/regions/landing.js").read_text(encoding="utf-8")
    least = re.search(r"^const LEAST = ([\d.]+);", source, re.MULTILINE)
    assert least and float(least[1]) == bench.RED


def test_its_layouts_are_no_other_benchs() -> None:
    assert LAYOUTS <= bench.FIRST


def test_a_row_counts_both_verdicts() -> None:
    low, high = bench.RED - 0.1, bench.RED + 0.1
    row = bench.row_of("4 steps", [[(low, False), (high, True), (high, False)], [(low, True), (low, False)]])
    assert (row["n"], row["missed"], row["red"]) == (5, 3, 3)
    assert (row["agree"], row["found"], row["right"]) == pytest.approx((3 / 5, 2 / 3, 2 / 3))
    clean = bench.row_of("8 steps", [[(high, True)]])
    assert clean["agree"] == 1 and "found" not in clean and "right" not in clean
    assert {name for name, _ in LANDING.rows} == {f"{steps} steps" for steps in bench.STEPS}


def test_each_region_of_a_picture_gets_its_score_and_the_oracles_verdict() -> None:
    world, layout = load_world(bench.MODEL), sample_layout(0)
    found = bench.verdicts(world, layout, 0, 1)
    assert len(found) == len(layout.phrases)
    assert all(0 <= score <= 1 and isinstance(landed, bool) for score, landed in found)
    assert found == bench.verdicts(world, layout, 0, 1)
