"""The sketch bench: drawings are fixed, scores know near from far, every variant draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benches import sketch as bench
from benches.sketch_cases import (
    FARTHEST_PX,
    KINDS,
    edge_scores,
    edges_in,
    realism,
    sample_sketch,
    sketch_scores,
    walked,
)
from benches.sketch_methods import END, ENDS, STRENGTH, STRENGTHS, VARIANTS
from benches.sketch_plot import plot
from world.draw import Settings, load_world
from world.oracle import look, score_caption
from world.render import render


def test_sketches_are_the_same_every_time_and_of_four_hands():
    seeds = set()
    for kind in KINDS:
        for number in range(10):
            sketch, again = sample_sketch(kind, number), sample_sketch(kind, number)
            assert sketch.caption == again.caption and np.array_equal(sketch.drawing, again.drawing)
            assert set(np.unique(sketch.drawing)) == {0, 255} and sketch.lines.any()
            assert all(thing.phrase in sketch.caption for thing in sketch.scene.things)
            seeds.add(sketch.seed)
    assert len(seeds) == 40


def test_each_kind_is_drawn_as_its_name_says():
    def length(sketch) -> float:
        return sum(float(np.linalg.norm(np.diff(p, axis=0), axis=1).sum()) for p in sketch.paths)

    for number in range(6):
        clean, thick, wobbly, partial = (sample_sketch(kind, number) for kind in KINDS)
        outlines = {s.kind: sum(float(np.linalg.norm(np.diff(walked(_corners(t)), axis=0), axis=1).sum())
                                for t in s.scene.things) for s in (clean, thick, wobbly, partial)}
        assert length(clean) == pytest.approx(outlines["clean"]) and length(thick) == pytest.approx(outlines["thick"])
        assert 0.5 < length(partial) / outlines["partial"] < 0.65
        assert thick.drawing.astype(bool).sum() > 4 * thick.lines.sum()
        for path, thing in zip(wobbly.paths, wobbly.scene.things, strict=True):
            off = np.linalg.norm(path - walked(_corners(thing)), axis=1)
            assert 0.5 < off.mean() < 5.0


def _corners(thing) -> np.ndarray:
    from world.render import OUTLINES

    return OUTLINES[thing.shape][0] * thing.radius + (thing.x, thing.y)


def test_edge_scores_know_the_same_lines_near_lines_and_none():
    lines = sample_sketch("clean", 1).lines
    assert edge_scores(lines, lines) == (1.0, 0.0)
    aside = np.roll(lines, 2, 1)
    f1, chamfer = edge_scores(aside, lines)
    assert f1 == 1.0 and 0.5 < chamfer <= 2.0
    far, further = (edge_scores(np.roll(lines, (by, by), (0, 1)), lines) for by in (5, 9))
    assert far[0] < 0.7 and far[1] > chamfer and further[1] > far[1]
    nothing = np.zeros_like(lines)
    assert edge_scores(nothing, lines) == (0.0, FARTHEST_PX) == edge_scores(nothing, nothing | lines)
    half = lines.copy()
    half[:, :int(np.nonzero(lines)[1].mean())] = False
    assert 0.4 < edge_scores(half, lines)[0] < 0.95


def test_the_scene_itself_follows_its_sketch_and_noise_follows_none():
    for number in range(6):
        sketch = sample_sketch("clean", number)
        right = sketch_scores(render(sketch.scene)[0], sketch)
        assert right["edge_f1"] > 0.95 and right["chamfer"] < 1.5 and right["objects"] == 1.0
        assert right["realism"] > 0.93
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    wrong = sketch_scores(noise, sketch)
    assert wrong["edge_f1"] < 0.4 and wrong["objects"] == 0.0 and realism(noise) < 0.3
    assert not edges_in(np.full((128, 128, 3), 142, np.uint8)).any()
    assert not score_caption(look(noise).objects, sketch.scene.things)


def test_every_variant_draws_and_is_put_into_rows_and_a_plot():
    world = load_world()
    found = {kind: bench.measure(world, sample_sketch(kind, 0), Settings(steps=2)) for kind in ("clean", "thick")}
    totals = {(kind, variant): {name: [value] for name, value in scores.items()}
              for kind, variants in found.items() for variant, scores in variants.items()}
    rows = bench.rows_of(totals)
    assert [row["variant"] for row in rows[:len(VARIANTS) + 1]] == ["rendered", *VARIANTS]
    assert [row["drawing"] for row in rows].count("all") == len(VARIANTS) + 1 == len(rows) / 3
    by = {(row["drawing"], row["variant"]): row for row in rows}
    assert by["all", "unpatched"]["time_ratio"] == 1.0 and by["thick", "unpatched"]["time_ratio"] == 1.0
    assert by["all", "ours"]["sketches"] == 2.0 and by["clean", "ours"]["sketches"] == 1.0
    one, two = (by[kind, "ours"]["edge_f1"] for kind in ("clean", "thick"))
    assert by["all", "ours"]["edge_f1"] == pytest.approx((one + two) / 2)
    assert "time_ratio" not in by["all", "rendered"]
    assert by["all", "ours"]["time_ratio"] > 1.0
    paper = plot(rows)
    assert paper.dtype == np.uint8 and (paper < 200).any() and (paper[:4] == 255).all()


def test_the_sweeps_hold_every_strength_and_end_with_the_defaults_once():
    from attention_director.bridge.sketch.build import SketchOptions

    assert (SketchOptions().strength, SketchOptions().end) == (STRENGTH, END)
    assert STRENGTH in STRENGTHS and END in ENDS
    names = list(VARIANTS)
    assert sum(n.startswith("ours-strength-") for n in names) == len(STRENGTHS) - 1
    assert sum(n.startswith("ours-end-") for n in names) == len(ENDS) - 1 and names.count("ours") == 1


def test_guidance_of_the_bench_is_the_nodes(monkeypatch: pytest.MonkeyPatch):
    """A run of the bench takes gradients where the node would, every second step half as many."""
    from attention_director.bridge.sketch import guided_forward
    from benches.sketch_methods import sampled

    world, sketch = load_world(), sample_sketch("clean", 2)
    taken: list[int] = []
    real = guided_forward.gradient_of
    monkeypatch.setattr(guided_forward, "gradient_of", lambda *a: (taken.append(1), real(*a))[1])
    counts = {}
    for name in ("unpatched", "ours", "ours-every-second"):
        taken.clear()
        with torch.inference_mode():
            sampled(world, VARIANTS[name](world, sketch), sketch.seed, Settings(steps=6, scheduler="normal"))
        counts[name] = len(taken)
    assert counts["unpatched"] == 0 and counts["ours"] >= 3
    assert counts["ours-every-second"] == -(-counts["ours"] // 2)
