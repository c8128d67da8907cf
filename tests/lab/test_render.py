"""The world's pictures, their masks and their captions."""

from __future__ import annotations

import math
from random import Random

import cv2
import numpy as np
import pytest
from world.caption import FILLERS, caption, plain_caption, vocabulary
from world.render import BASE, depth_map, render
from world.scene import BACKGROUNDS, COLOURS, CREATURE, Scene, Thing
from world.train_unet import Scenes

HELD_OUT = [Scenes(0)[-1 - i] for i in range(60)]


def test_the_same_scene_gives_the_same_bytes():
    for index in (-1, -2, -3, 5):
        first, second = Scenes(0)[index], Scenes(0)[index]
        assert first == second
        assert render(first)[0].tobytes() == render(second)[0].tobytes()
    assert Scenes(0)[-1] != Scenes(0)[1] and Scenes(0)[-1] != Scenes(1)[-1]


def test_masks_are_disjoint_and_one_a_thing():
    for s in HELD_OUT:
        picture, masks = render(s)
        assert masks.shape == (len(s.things), *picture.shape[:2]) and masks.dtype == bool
        assert (masks.sum(0) <= 1).all()
        assert masks.any((1, 2)).all()


def test_masks_are_exact():
    """A pixel is of a thing when more than half of its way from the background's tone to the thing's is gone."""
    things = (Thing("star", "red", 40.3, 40.7, 25.0), Thing("circle", "blue", 90.0, 88.0, 24.0))
    picture, masks = render(Scene("white", things))
    ground = np.float64(BACKGROUNDS["white"])
    for thing, mask, other in zip(things, masks, masks[::-1], strict=True):
        way = np.float64(COLOURS[thing.colour]) - ground
        share = (picture - ground) @ way / (way @ way)
        clear = (abs(share - 0.5) > 0.01) & ~cv2.dilate(other.astype(np.uint8), np.ones((5, 5))).astype(bool)
        np.testing.assert_array_equal(mask[clear], share[clear] > 0.5)
        assert clear.mean() > 0.8


def test_the_front_thing_hides_the_one_behind():
    behind, front = Thing("circle", "red", 60, 60, 30), Thing("square", "green", 70, 60, 20)
    picture, masks = render(Scene("black", (behind, front)))
    assert not (masks[0] & masks[1]).any()
    assert tuple(picture[60, 70]) == COLOURS["green"] and masks[1, 60, 70]


def test_captions_use_known_words_only():
    known = {*vocabulary(), *FILLERS}
    rng = Random(0)
    for s in HELD_OUT:
        texts = [caption(s, rng) for _ in range(5)] + ([plain_caption(s)] if s.things else [])
        for text in texts:
            assert set(text.replace(",", " , ").split()) <= known, text


def test_captions_name_every_thing():
    for s in HELD_OUT:
        text = caption(s, Random(1), fillers=0.0)
        for thing in s.things:
            assert (thing.phrase if thing.shape != CREATURE else CREATURE) in text


def test_a_depth_map_rises_from_the_rim_of_each_thing_to_its_middle():
    """A circle's dome is a sphere's: sqrt(1 - (r / R)^2) of the height above its base."""
    _, masks = render(Scene("white", (Thing("circle", "red", 40, 40, 30), Thing("square", "blue", 100, 90, 20))))
    near = depth_map(masks)
    assert (near[~masks.any(0)] == 0).all() and (near[masks.any(0)] >= BASE).all()
    assert [round(float(near[mask].max()), 2) for mask in masks] == [1, 1]
    halfway = BASE + (1 - BASE) * math.sqrt(0.75)
    assert near[40, 40 + 14] == pytest.approx(halfway, abs=0.03)


def test_a_thing_that_is_hidden_has_no_depth():
    _, masks = render(Scene("white", (Thing("circle", "red", 60, 60, 10), Thing("square", "blue", 60, 60, 40))))
    assert not masks[0].any()
    assert np.array_equal(depth_map(masks), depth_map(masks[1:]))
