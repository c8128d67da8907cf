"""The sketch bench on the transformer: its drawings are fixed, and its scores know near from far."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benches.storybook_sketch import VARIANTS, lines_in, rows_of, sample_sketch, scores
from storybook.atlas import read_atlas
from storybook.render import Renderer, to_bytes
from storybook.scene import Scene


def test_a_sketch_is_the_lines_of_one_or_two_different_things() -> None:
    sketches = [sample_sketch(number) for number in range(10)]
    assert {len(sketch.boxes) for sketch in sketches} == {1, 2} and {s.kind for s in sketches} == {"things", "scene"}
    for sketch in sketches:
        phrases = [thing.phrase for thing in sketch.scene.things]
        assert len(set(phrases)) == len(phrases) and all(phrase in sketch.caption for phrase in phrases)
        assert (sketch.scene.place == "white") == (sketch.kind == "things")
        assert sketch.drawing.shape == (256, 256) and set(np.unique(sketch.drawing)) == {0, 255}
        assert sketch.lines.shape == (128, 128) and 0 < sketch.lines.mean() < 0.2
    again = sample_sketch(3)
    assert np.array_equal(again.drawing, sketches[3].drawing) and again.seed == sketches[3].seed
    assert not np.array_equal(sample_sketch(3, "tuning").drawing, again.drawing)


def test_the_lines_are_those_of_the_scene_and_its_own_picture_scores_all() -> None:
    sketch = sample_sketch(1)
    picture = to_bytes(Renderer(read_atlas(), torch.device("cpu"))([sketch.scene]).pictures)[0]
    assert np.array_equal(lines_in(picture), sketch.lines) and np.array_equal(picture, sketch.rendered)
    found = scores(picture, sketch)
    assert found == {"edge_f1": 1.0, "recall": 1.0, "chamfer": 0.0, "placed": 1.0, "right": 1.0, "place": 1.0}


def test_another_picture_scores_less_in_what_it_lacks() -> None:
    sketch = next(s for s in map(sample_sketch, range(0, 20, 2)) if len(s.boxes) == 2)
    draw = Renderer(read_atlas(), torch.device("cpu"))
    one = to_bytes(draw([Scene("white", sketch.scene.things[:1], sketch.scene.dice)]).pictures)[0]
    half = scores(one, sketch)
    assert 0.2 < half["edge_f1"] < 0.95 and 0.2 < half["recall"] < 0.95
    assert (half["placed"], half["right"]) == (0.5, 0.0)
    blank = scores(np.full((256, 256, 3), 247, np.uint8), sketch)
    assert (blank["edge_f1"], blank["recall"], blank["placed"]) == (0.0, 0.0, 0.0) and blank["chamfer"] == 64
    shifted = scores(np.roll(sketch.rendered, 40, 1), sketch)
    assert shifted["right"] == 1.0 and shifted["edge_f1"] < 0.7


def test_rows_are_means_for_all_and_for_each_kind() -> None:
    def case(kind: float, f1: float, seconds: float) -> dict:
        return {"unpatched": {"edge_f1": [0.2], "seconds": [2.0], "drawing": [kind]},
                "ours": {"edge_f1": [f1], "seconds": [seconds], "drawing": [kind]}}

    rows = {(row["drawing"], row["variant"]): row for row in rows_of([case(0.0, 0.6, 3.0), case(1.0, 0.8, 5.0)])}
    assert rows["all", "ours"]["edge_f1"] == pytest.approx(0.7) and rows["all", "ours"]["n"] == 2
    assert rows["all", "ours"]["time_ratio"] == pytest.approx(2.0)
    assert rows["things", "ours"]["edge_f1"] == 0.6 and rows["scene", "ours"]["edge_f1"] == 0.8
    assert "drawing" in rows["all", "unpatched"] and len(rows) == 6


def test_every_way_is_named() -> None:
    assert list(VARIANTS)[0] == "unpatched" and "ours" in VARIANTS and len(VARIANTS) >= 3
