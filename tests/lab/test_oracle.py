"""The oracle is right about pictures whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from world.oracle import layout_scores, look, overlap, recovered, score_caption
from world.render import render
from world.scene import BACKGROUNDS, COLOURS, SHAPES, Scene, Thing
from world.train_unet import Scenes

TWO = (Thing("star", "red", 36, 36, 26), Thing("circle", "blue", 92, 90, 26))


def test_right_about_rendered_scenes():
    found, backgrounds, extra, exact = [], 0, 0, []
    for index in range(300):
        s = Scenes(0)[-1 - index]
        picture, masks = render(s)
        seen = look(picture)
        found += recovered(seen.objects, s.things, masks)
        backgrounds += seen.background == s.background
        extra += max(0, len(seen.objects) - len(s.things))
        exact += [max((overlap(o.mask, m) for o in seen.objects), default=0.0) for m in masks]
    assert np.mean(found) >= 0.99
    assert backgrounds == 300
    assert extra <= 3
    assert np.mean(exact) > 0.97


def test_right_after_a_vae_round_trip():
    from attention_director.bridge.demo.model import load_demo_model

    _, _, vae = load_demo_model()
    found = []
    for start in range(0, 100, 20):
        scenes = [Scenes(0)[-1 - index] for index in range(start, start + 20)]
        drawn = [render(s) for s in scenes]
        pictures = torch.from_numpy(np.stack([picture for picture, _ in drawn])).float() / 255
        with torch.inference_mode():
            decoded = vae.decode(vae.encode(pictures))
        seen = (decoded.clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()
        for s, (_, masks), picture in zip(scenes, drawn, seen, strict=True):
            found += recovered(look(picture).objects, s.things, masks)
    assert np.mean(found) >= 0.97


@pytest.mark.parametrize("background", list(BACKGROUNDS))
def test_every_colour_and_shape(background):
    for colour in COLOURS:
        for shape in SHAPES:
            thing = Thing(shape, colour, 64, 64, 15)
            picture, masks = render(Scene(background, (thing,)))
            seen = look(picture)
            assert [o.look for o in seen.objects] == [(colour, shape)] and seen.background == background
            assert overlap(seen.objects[0].mask, masks[0]) > 0.9
            assert abs(seen.objects[0].x - 64) < 1 and seen.objects[0].area == seen.objects[0].mask.sum()


def test_an_empty_picture_holds_nothing():
    for background in BACKGROUNDS:
        assert look(render(Scene(background))[0]).objects == ()


def test_noise_is_no_object_of_the_world():
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert not any(o.fit > 0.8 for o in look(noise).objects)


def test_other_sizes():
    things = tuple(Thing(t.shape, t.colour, 2 * t.x, 2 * t.y, 2 * t.radius) for t in TWO)
    picture, masks = render(Scene("beige", things), 256)
    assert all(recovered(look(picture).objects, things, masks))
    wide = np.concatenate([picture, picture[:, :80]], axis=1)
    assert look(wide).objects[0].mask.shape == (256, 336)


def test_score_caption_counts_doubles():
    objects = look(render(Scene("grey", TWO))[0]).objects
    assert score_caption(objects, TWO) and score_caption(objects, TWO[:1])
    assert not score_caption(objects, (*TWO, TWO[0]))
    assert not score_caption(objects, (Thing("star", "blue", 0, 0, 1),))


def test_layout_scores():
    picture, masks = render(Scene("white", TWO))
    objects = look(picture).objects
    star, circle = masks
    right = layout_scores(objects, [("red", "star", star), ("blue", "circle", circle)])
    assert min(right.iou) > 0.9 and right.bound == (True, True) and (right.missing, right.added) == (0, 0)
    swapped = layout_scores(objects, [("red", "star", circle), ("blue", "circle", star)])
    assert swapped.iou == (0.0, 0.0) and swapped.bound == (False, False) and swapped.missing == 0
    other = layout_scores(objects, [("red", "star", star), ("green", "circle", circle)])
    assert other.bound == (True, False) and (other.missing, other.added) == (1, 1)
    nothing = layout_scores((), [("red", "star", star)])
    assert nothing.iou == (0.0,) and nothing.bound == (False,) and (nothing.missing, nothing.added) == (1, 0)
