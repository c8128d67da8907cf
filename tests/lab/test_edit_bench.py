"""The edit bench: what counts as done, and that every way to ask for an edit is accepted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from benches import edit_methods
from benches.edit_cases import KINDS, Edit, psnr, roomiest_box, sample_edit, succeeded, untouched
from benches.edit_methods import Source, advice, variants_for
from world.draw import Settings, load_world
from world.oracle import look
from world.render import render
from world.scene import Scene

NUMBERS = range(8)


def wanted(edit: Edit) -> Scene:
    """The scene as it is to be after the edit."""
    things = edit.source.things
    if edit.kind == "remove":
        return replace(edit.source, things=things[1:])
    if edit.kind == "add":
        return replace(edit.source, things=(*things, edit.new))
    if edit.kind == "ground":
        return replace(edit.source, background=edit.background)
    return replace(edit.source, things=(edit.new, *things[1:]))


@pytest.mark.parametrize("kind", KINDS)
def test_an_edit_is_done_when_the_wanted_scene_is_there_and_not_before(kind: str) -> None:
    for number in NUMBERS:
        edit = sample_edit(kind, number)
        before, after = (render(scene)[0] for scene in (edit.source, wanted(edit)))
        assert succeeded(edit, look(before), look(after)), number
        assert not succeeded(edit, look(before), look(before)), number
        assert psnr(before, after, untouched(edit, look(before), look(after))) > 30, number


def test_a_box_for_a_new_thing_lies_where_room_is() -> None:
    for number in NUMBERS:
        seen = look(render(sample_edit("add", number).source)[0])
        box, taken = roomiest_box(seen), seen.objects[0].mask
        assert (box & taken).sum() <= 0.1 * box.sum(), number
        ys, xs = np.nonzero(box)
        assert min(np.ptp(ys), np.ptp(xs)) >= 15 and box.sum() == (np.ptp(ys) + 1) * (np.ptp(xs) + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_way_draws_every_kind(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world, edit = load_world(), sample_edit(kind, 0)
    monkeypatch.setattr(edit_methods, "SETTINGS", Settings(steps=2))
    picture = render(edit.source)[0]
    with torch.inference_mode():
        latent = world.vae.encode(torch.from_numpy(picture)[None].float() / 255)
        source = Source(picture, latent, 0, real=False)
        drawn = {name: method(world, edit, source) for name, method in variants_for(kind).items()}
    assert all(p.shape == picture.shape and p.dtype == np.uint8 for p in drawn.values())
    assert bool(advice(edit)) == (not np.array_equal(drawn["ours"], drawn["ours-defaults"]))
