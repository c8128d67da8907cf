"""The edit bench on the transformer: what counts as done, what must stay, and that every way is accepted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from benches import storybook_edit_methods as methods
from benches.storybook_edit_cases import KINDS, Edit, kept_db, look, sample_edit, source_is_right, succeeded
from storybook.atlas import read_atlas
from storybook.render import Renderer
from storybook.scene import Scene
from world.draw import Settings, load_world

NUMBERS = range(8)


def render(scene: Scene) -> np.ndarray:
    """uint8 [H, W, 3]."""
    picture = Renderer(read_atlas(), torch.device("cpu"))([scene]).pictures[0]
    return (picture.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()


def judged(edit: Edit, target: Scene) -> tuple[bool, float]:
    """(is it done, dB kept) of an edit that came out as ``target``."""
    was, now = render(edit.source), render(target)
    before, after = look(was), look(now)
    assert source_is_right(before, edit.source)
    return succeeded(edit, before, after), kept_db(edit, before, after, was, now)


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_is_done_when_the_wanted_scene_is_there_and_not_before(kind: str) -> None:
    for number in NUMBERS:
        edit = sample_edit(kind, number)
        done, kept = judged(edit, edit.target)
        assert done and kept > 25, number
        assert not judged(edit, edit.source)[0], number


def test_what_moves_or_comes_along_is_no_success() -> None:
    edit = sample_edit("swap", 0)
    things = edit.target.things
    away = replace(things[0], x=256 - things[0].x, y=256 - things[0].y)
    assert not judged(edit, replace(edit.target, things=(away, *things[1:])))[0]
    beside = sample_edit("add", 0)
    assert not judged(beside, replace(beside.target, things=beside.target.things[1:]))[0]


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_draws_every_kind(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world, edit = load_world("transformer"), sample_edit(kind, 0)
    monkeypatch.setattr(methods, "SETTINGS", Settings(1, 4.0, "euler", "simple"))
    with torch.inference_mode():
        source = replace(methods.drawn(world, edit.caption, 3), picture=render(edit.source))
        made = {name: method(world, edit, source) for name, method in methods.ways_of(kind, True).items()
                if name != "flow-edit"}
        made["flow-edit"] = methods.flow_edit(2, 1, (2.0, 4.0))(world, edit, source)
    assert all(picture.shape == (256, 256, 3) and picture.dtype == np.uint8 for picture in made.values())
    assert ("ours-placed" in made) is (kind == "add"), "a box is for a thing that comes"


def test_the_box_for_a_thing_that_comes_is_clear_of_the_one_that_is_there() -> None:
    for number in NUMBERS:
        picture = render(sample_edit("add", number).source)
        there, = look(picture).things
        left, top, right, bottom = methods.roomiest_box(picture)
        assert 0 <= left < right <= 256 and 0 <= top < bottom <= 256
        assert there.iou((left, top, right, bottom)) < 0.05, number


def test_flow_edit_without_a_change_gives_the_picture_back() -> None:
    """Equal prompts and guidance leave nothing to add; the algorithm never asks for the picture's own noise."""
    world, edit = load_world("transformer"), sample_edit("swap", 0)
    with torch.inference_mode():
        source = methods.drawn(world, edit.caption, 3)
        same = methods.flow_edit(4, 1, (3.0, 3.0))(world, replace(edit, target=edit.source), source)
    assert int(np.abs(same.astype(int) - source.picture.astype(int)).max()) <= 1
