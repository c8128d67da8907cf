"""The subject bench: stories are fixed, likeness knows a coat wherever it stands, every variant draws."""

from __future__ import annotations

from itertools import combinations, pairwise
from random import Random
from statistics import fmean

import cv2
import numpy as np
import pytest
import torch
from benches import subject as bench
from benches.memory import peak_bytes
from benches.subject_cases import (
    Creature,
    coat_distance,
    obeyed,
    read_creature,
    same_subject,
    sample_story,
    spread,
    story_scores,
    two_tones,
)
from benches.subject_methods import VARIANTS, WholeBatch
from benches.subject_parts import dots, part_scores, recorded
from benches.world import round_trip
from world.draw import Drawing, Settings, load_world
from world.oracle import look
from world.render import render
from world.scene import BACKGROUNDS, CREATURE, Coat, Scene, Thing, sample_coat


def picture(coat: Coat, x: float = 64, y: float = 64, radius: float = 30, ground: str = "white") -> np.ndarray:
    return render(Scene(ground, (Thing(CREATURE, "", x, y, radius, coat),)))[0]


def read(drawn: np.ndarray) -> Creature | None:
    return read_creature(drawn, look(drawn))


def test_stories_are_the_same_every_time_and_tell_of_one_creature():
    for number in range(20):
        story = sample_story(number)
        assert story.captions == sample_story(number).captions and len(set(story.seeds)) == len(story.scenes) == 4
        assert all(text.split().count(CREATURE) == 1 for text in story.captions)
        assert len({scene.background for scene in story.scenes}) == 4
        assert sorted(len(scene.things) for scene in story.scenes) == [1, 1, 2, 2]
    assert len(sample_story(0, 8).scenes) == 8
    assert not set(sample_story(0).seeds) & set(sample_story(1).seeds)


def test_likeness_knows_the_same_coat_anywhere_and_strangers_after_the_vae():
    rng = Random("likeness")
    pictures = []
    coats = [sample_coat(rng) for _ in range(16)]
    for coat in coats:
        for radius in (30.0, 36.0):  # at 24 px the VAE itself loses patterns: likeness 0.74 there, see lab/NOTES.md
            x, y = (rng.uniform(radius + 1, 127 - radius) for _ in range(2))
            pictures.append(picture(coat, x, y, radius, rng.choice(list(BACKGROUNDS))))
    creatures = [read(p) for p in round_trip(load_world(), np.stack(pictures))]
    assert sum(c is None for c in creatures) <= 1
    same = [same_subject(a, b) for a, b in zip(creatures[::2], creatures[1::2], strict=True) if a and b]
    others = [same_subject(a, b) for a, b in combinations(creatures[::2], 2) if a and b]
    for which in (0, 1):
        assert fmean(s[which] for s in same) >= 0.95, [s[which] for s in same]
        assert fmean(o[which] for o in others) <= 0.15, sorted(o[which] for o in others)[-10:]


def test_a_palette_in_another_pattern_is_half_the_likeness():
    a = Coat("stripes", (250, 210, 120), (60, 20, 110), 0.0, 0.5)
    b = Coat("dots", a.light, a.dark, 45.0, 0.55)
    one, other, again = (read(picture(c)) for c in (a, b, a))
    assert one and other and again
    by_coat, by_palette = same_subject(one, other)
    assert by_palette > 0.8 and by_coat < 0.5 and same_subject(one, again) == (1.0, 1.0)
    assert coat_distance(one, other) == pytest.approx(coat_distance(other, one), rel=0.1)
    assert same_subject(one, None) == (0.0, 0.0)


def test_two_tones_are_the_ends_of_a_coat():
    pixels = np.float32([[10, 20, 30]] * 40 + [[200, 100, 50]] * 40 + [[105, 60, 40]] * 10)
    found = two_tones(pixels)
    assert {tuple(tone.round().astype(int)) for tone in found} == {(10, 20, 30), (200, 100, 50)}


def test_spread_is_of_places_and_sizes_and_obedience_of_the_other_words():
    coat = sample_coat(Random("spread"))
    here, there, larger = (read(picture(coat, *at)) for at in ((40, 64, 30), (72, 64, 30), (40, 64, 38)))
    assert spread([here, here]) == 0.0 and spread([here, None]) is None
    assert spread([here, there]) == pytest.approx(32 / 128, abs=0.02)
    assert here and larger and 0.02 < (spread([here, larger]) or 0) < 0.2
    shape = Thing("square", "red", 100, 30, 18)
    seen = look(render(Scene("grey", (Thing(CREATURE, "", 40, 80, 28, coat), shape)))[0])
    both = (Thing(CREATURE, "", 0, 0, 0), shape)
    assert obeyed(seen, Scene("grey", both)) == 1.0 and obeyed(seen, Scene("white", both)) == 0.5
    assert obeyed(seen, Scene("black", both[:1])) == 0.0


def test_a_perfect_story_scores_one_and_one_without_a_creature_nothing():
    story, rng = sample_story(3), Random("perfect")
    coat = sample_coat(rng)
    pictures = []
    for scene in story.scenes:
        places = ((38.0, 70.0, 28.0), (98.0, 40.0, 20.0))
        things = [Thing(t.shape, t.colour, *place, coat if t.shape == CREATURE else None)
                  for t, place in zip(scene.things, places, strict=False)]
        pictures.append(render(Scene(scene.background, tuple(things)))[0])
    found = story_scores(np.stack(pictures), story)
    assert fmean(found["same_subject"]) > 0.95 and fmean(found["obedience"]) == 1.0 == fmean(found["drawn"])
    assert len(found["same_subject"]) == 6 and len(found["spread"]) == 1
    empty = story_scores(np.full((4, 128, 128, 3), 246, np.uint8), story)
    assert set(empty["same_subject"]) == {0.0} == set(empty["drawn"]) and empty["spread"] == []


def test_attention_to_the_whole_batch_is_attention_over_joined_pictures():
    torch.manual_seed(0)
    q, k, v = (torch.randn(4, 5, 8, dtype=torch.float64) for _ in range(3))  # two pictures, two conditionings
    options = {"n_heads": 2, "cond_or_uncond": [0, 1]}
    found = WholeBatch()(q, k, v, options)
    for row in range(4):
        group = slice(2 * (row // 2), 2 * (row // 2) + 2)
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            keys, values = k[group, :, part].reshape(-1, 4), v[group, :, part].reshape(-1, 4)
            naive = torch.softmax(q[row, :, part] @ keys.T / 2, -1) @ values
            torch.testing.assert_close(found[row, :, part], naive, rtol=0, atol=1e-12)


def test_memory_is_what_is_alive_at_once():
    def work() -> None:
        one = torch.zeros(2_500_000)  # 10 MB
        two = torch.zeros(1_250_000)
        del one
        torch.zeros(1_000_000)
        del two

    kept = torch.zeros(5_000_000)
    assert 15e6 <= peak_bytes(work) < 15.2e6
    assert peak_bytes(lambda: kept.sum()) < 1e5


def test_every_variant_draws_and_is_put_into_rows(monkeypatch: pytest.MonkeyPatch):
    world = load_world()
    monkeypatch.setattr(bench, "SETTINGS", Settings(steps=2))
    monkeypatch.setitem(bench.WORKER, "world", world)
    monkeypatch.setattr(bench.drawn, "__defaults__", (4, Settings(steps=2)))
    found = bench.measure_story(0)
    assert list(found) == list(VARIANTS) and all(len(v["same_subject"]) == 6 for v in found.values())
    rows = {row["variant"]: row for row in bench.rows_of(found)}
    assert rows["unpatched"]["time_ratio"] == 1.0 and rows["ours"]["stories"] == 1.0
    for row in rows.values():
        assert 0 <= row["same_subject"] <= 1 and 0 <= row["obedience"] <= 1 and row["time_ratio"] > 0


def test_parts_know_a_right_mask_and_right_links_from_wrong_ones():
    """Two creatures of equal size, one 32 px to the right: patches 4 to the right correspond."""
    coat = sample_coat(Random("parts"))
    pictures = np.stack([picture(coat, x) for x in (48, 80)])
    drawing = Drawing(pictures, 0.0, 0.0, torch.empty(0))
    masks = np.stack([read_mask(p) for p in pictures])
    own = torch.from_numpy(masks.reshape(2, -1))
    patch = torch.arange(256)
    right = {"subject_masks": torch.from_numpy(masks), "subject_links_grid": (16, 16), "subject_links_open": own,
             "subject_links": torch.stack([256 + (patch + 4) % 256, (patch - 4) % 256])}
    found = part_scores(drawing, right)
    assert found["mask_iou"] == [1.0, 1.0] == found["linked"] and max(found["link_error"]) < 0.1
    assert 0.7 < fmean(found["link_chance"]) < 1.5
    wrong = right | {"subject_masks": ~right["subject_masks"], "subject_links": right["subject_links"].flip(1)}
    assert fmean(part_scores(drawing, wrong)["mask_iou"]) == 0.0
    assert fmean(part_scores(drawing, wrong)["link_error"]) > 0.7
    sheet = dots(drawing, right, 0)
    assert sheet.shape == (16 * 24, 2 * 16 * 24, 3) and not np.array_equal(sheet[:, 384:], np.repeat(
        np.repeat(pictures[1], 3, 0), 3, 1))


def read_mask(drawn: np.ndarray) -> np.ndarray:
    mask = next(o.mask for o in look(drawn).objects if o.shape == CREATURE)
    return cv2.resize(mask.astype(np.float32), (16, 16), interpolation=cv2.INTER_AREA) >= 0.5


def test_parts_are_read_from_a_recorded_run_both_ways(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(bench.WORKER, "world", load_world())
    monkeypatch.setattr(bench, "SETTINGS", Settings(steps=4))
    found, page = bench.measure_parts(1), bench.page(1)
    assert page is not None and page.shape == (16 * 24, 4 * 16 * 24, 3)
    assert set(found) == {"mask_iou", "linked", "link_error", "link_chance"}
    row = bench.part_row([found, found])
    assert row["variant"] == "ours-parts" and row["stories"] == 2.0
    assert recorded(load_world(), sample_story(1), Settings(steps=3))[1]["subject_masks"].shape == (4, 16, 16)


def test_the_cost_of_more_pictures_has_rows_of_its_own(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bench, "GROWTH", (2, 4))
    monkeypatch.setattr(bench, "COSTS", ("ours", "whole-batch"))
    monkeypatch.setattr(bench, "MEMORY_SETTINGS", Settings(steps=3))
    monkeypatch.setattr(bench.drawn, "__defaults__", (4, Settings(steps=2)))
    world = load_world()
    rows = bench.growth(world, repeats=1)
    assert [(row["variant"], row["images"]) for row in rows] == [
        ("ours", 2.0), ("whole-batch", 2.0), ("ours", 4.0), ("whole-batch", 4.0)]
    # Not above 1 on every processor: one gave 1.10, another 0.97 for the same run, so only nonsense is refused.
    assert all(0.8 < row["memory_ratio"] < 3.0 for row in rows)
    assert bench.memory_of(world, "unpatched", 4) > 1.5 * bench.memory_of(world, "unpatched", 2)


def test_noise_is_the_pictures_own_in_every_variant_but_the_shared_seed():
    world, story = load_world(), sample_story(2)
    for name, method in VARIANTS.items():
        seeds = method(world, story)[2]
        if name == "shared-seed":
            assert len(set(seeds)) == 1
        else:
            assert all(a != b for a, b in pairwise(seeds)) and seeds == story.seeds
