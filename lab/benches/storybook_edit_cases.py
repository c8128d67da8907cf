"""Edits a person would ask for in the storybook: another thing, one more, one less, another place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from random import Random

import numpy as np
from storybook.atlas import read_atlas
from storybook.caption import plain_caption
from storybook.cast import PHRASES, PLACES
from storybook.oracle import SHIPPED, Found, Oracle, Seen
from storybook.scene import DICE, Scene, Thing, place_things

from .edit_cases import psnr

KINDS = ("swap", "add", "remove", "place")
SAME_PLACE = 0.25  # IoU of two boxes from which a thing stands where another stood
RIM_PX = 8  # round the edited thing's box: its shadow, and what the VAE mixes with it
CORE = 0.5  # share of a box's sides within which a thing is to cover what is behind it
COVERED = 0.98  # share of that core which a thing must cover where its place is changed, or it could not be judged


@dataclass(frozen=True, eq=False)
class Edit:
    """One edit of a scene into another. first: the thing that is swapped or removed; new: what comes in its place or
    beside it, None where nothing does."""

    kind: str
    source: Scene
    target: Scene
    first: Thing | None
    new: Thing | None

    @property
    def caption(self) -> str:
        return plain_caption(self.source).text

    @property
    def asked(self) -> str:
        return plain_caption(self.target).text

    @property
    def kept(self) -> tuple[Thing, ...]:
        """Things that must stay where they are."""
        return tuple(thing for thing in self.source.things if thing is not self.first)


def sample_edit(kind: str, number: int) -> Edit:
    """Edit ``number`` of a kind; the scene has one or two things, one where a second is added."""
    rng, atlas = Random(f"storybook edit/{kind}/{number}"), read_atlas()
    phrases = rng.sample(_solid() if kind == "place" else PHRASES, 3)
    things = tuple(Thing(rng.choice(atlas.looks(phrase)), phrase, x, y, size)
                   for phrase, (x, y, size) in zip(phrases, place_things(rng, 2), strict=False))
    count = 1 if kind == "add" else 2 if kind == "remove" else rng.choice((1, 2))
    here, there = rng.sample(list(PLACES), 2)
    scene = Scene(here, things[:count], tuple(rng.random() for _ in range(DICE)))
    if kind == "add":
        return Edit(kind, scene, replace(scene, things=things), None, things[1])
    if kind == "place":
        return Edit(kind, scene, replace(scene, place=there), None, None)
    first, rest = scene.things[0], scene.things[1:]
    if kind == "remove":
        return Edit(kind, scene, replace(scene, things=rest), first, None)
    new = replace(first, phrase=phrases[2], sprite=atlas.looks(phrases[2])[0])
    return Edit(kind, scene, replace(scene, things=(new, *rest)), first, new)


@cache
def _solid() -> tuple[str, ...]:
    """Phrases of things without holes."""
    return tuple(phrase for phrase in PHRASES if all(_core_covered(sprite) for sprite in read_atlas().looks(phrase)))


def _core_covered(sprite: int) -> bool:
    shape = read_atlas().pixels[sprite, :, :, 3] > 0
    rows, columns = np.flatnonzero(shape.any(1)), np.flatnonzero(shape.any(0))
    left, top, right, bottom = map(round, _core((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)))
    return bool((read_atlas().pixels[sprite, top:bottom, left:right, 3] > 250).mean() >= COVERED)


@cache
def _oracle() -> Oracle:
    return Oracle.read(SHIPPED)


def look(picture: np.ndarray) -> Seen:
    """What the oracle sees in a picture, uint8 [H, W, 3]."""
    return _oracle().look_at_bytes(picture[None])[0]


def source_is_right(seen: Seen, scene: Scene) -> bool:
    """Only a picture that shows its caption, and nothing more, can be edited."""
    return seen.place == scene.place and seen.phrases == Counter(thing.phrase for thing in scene.things)


def _found(seen: Seen, thing: Thing) -> Found:
    return next(found for found in seen.things if found.phrase == thing.phrase)


def succeeded(edit: Edit, before: Seen, after: Seen) -> bool:
    """Is what was asked for there and nothing else, the new in the place of the old, all the rest where it was?"""
    if not source_is_right(after, edit.target):
        return False
    stays: Sequence[tuple[Thing, Thing]] = [(thing, thing) for thing in edit.kept]
    if edit.kind == "swap":
        assert edit.first and edit.new
        stays = [*stays, (edit.first, edit.new)]
    return all(_found(before, old).iou(_found(after, new).box) >= SAME_PLACE for old, new in stays)


def kept_db(edit: Edit, before: Seen, after: Seen, was: np.ndarray, now: np.ndarray) -> float:
    """PSNR of two pictures where the edit has no business: outside the edited thing's box, before and after. Of another
    place that is the core of the things."""
    where = np.zeros(was.shape[:2], bool)
    if edit.kind == "place":
        for thing in edit.kept:
            _paint(where, _core(_found(before, thing).box))
        return psnr(was, now, where)
    for seen, thing in ((before, edit.first), (after, edit.new)):
        for found in seen.things:
            if thing is not None and found.phrase == thing.phrase:
                left, top, right, bottom = found.box
                _paint(where, (left - RIM_PX, top - RIM_PX, right + RIM_PX, bottom + RIM_PX))
    return psnr(was, now, ~where)


def _core(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, top, right, bottom = box
    dx, dy = (right - left) * (1 - CORE) / 2, (bottom - top) * (1 - CORE) / 2
    return left + dx, top + dy, right - dx, bottom - dy


def _paint(where: np.ndarray, box: Sequence[float]) -> None:
    left, top, right, bottom = (max(0, round(side)) for side in box)
    where[top:bottom, left:right] = True
