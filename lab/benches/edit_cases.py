"""Edits a person would ask for: one word of a caption, or a phrase more, and what must come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import cv2
import numpy as np
from world.caption import article, plain_caption
from world.oracle import Found, Seen, overlap
from world.scene import BACKGROUNDS, COLOURS, SHAPES, Scene, Thing, place_things

KINDS = ("colour", "shape", "add", "remove", "ground")
# A thing counts as still in its place when the two outlines share this much.
_SAME_PLACE = 0.25
_RIM_PX = 3
_HALF_BOX_PX = (16, 28)  # least and most; the things of a pair have a radius of 18 to 31


@dataclass(frozen=True, eq=False)
class Edit:
    """One edit. source: the scene. word: what is edited, as it stands in the target (in the source
    for "remove"); new: the thing wanted instead of things[0], None where none is.
    """

    kind: str
    source: Scene
    target: str
    word: str
    background: str
    new: Thing | None

    @property
    def caption(self) -> str:
        return plain_caption(self.source)

    @property
    def kept(self) -> tuple[Thing, ...]:
        """Things that must still be there."""
        return self.source.things if self.kind in ("add", "ground") else self.source.things[1:]


def sample_edit(kind: str, number: int) -> Edit:
    """Edit ``number`` of a kind; the scene has one or two things, one where a second is added."""
    rng = Random(f"edit/{kind}/{number}")
    places = place_things(rng, 2)
    looks = rng.sample([(c, s) for c in COLOURS for s in SHAPES], 2)
    things = tuple(Thing(s, c, x, y, r) for (c, s), (x, y, r) in zip(looks, places, strict=True))
    count = 1 if kind == "add" else 2 if kind == "remove" else rng.choice((1, 2))
    scene = Scene(rng.choice(list(BACKGROUNDS)), things[:count])
    first = scene.things[0]
    if kind == "colour":
        return _swap(scene, replace(first, colour=_other(rng, COLOURS, [t.colour for t in things])), "colour")
    if kind == "shape":
        return _swap(scene, replace(first, shape=_other(rng, SHAPES, [t.shape for t in things])), "shape")
    if kind == "add":
        wider = replace(scene, things=things)
        return Edit(kind, scene, plain_caption(wider), things[1].phrase, scene.background, things[1])
    if kind == "remove":
        return Edit(kind, scene, "", first.phrase, scene.background, None)
    ground = _other(rng, BACKGROUNDS, [scene.background])
    return Edit(kind, scene, plain_caption(replace(scene, background=ground)), ground, ground, None)


def _other(rng: Random, names: Sequence[str] | dict[str, tuple[int, int, int]], taken: list[str]) -> str:
    return rng.choice([name for name in names if name not in taken])


def _swap(scene: Scene, new: Thing, word: str) -> Edit:
    target = plain_caption(replace(scene, things=(new, *scene.things[1:])))
    return Edit(word, scene, target, getattr(new, word), scene.background, new)


def source_is_right(seen: Seen, scene: Scene) -> bool:
    """Only a picture that shows its caption, and nothing more, can be edited."""
    return (sorted(o.look for o in seen.objects) == sorted((t.colour, t.shape) for t in scene.things)
            and seen.background == scene.background)


def thing_in(seen: Seen, look: tuple[str, str]) -> Found | None:
    """The largest object of a look."""
    return max((o for o in seen.objects if o.look == look), key=lambda o: o.area, default=None)


def succeeded(edit: Edit, before: Seen, after: Seen) -> bool:
    """Is what was asked for there, in its place where it had one, and all the rest still there?"""
    if after.background != edit.background:
        return False
    for thing in edit.kept:
        look = (thing.colour, thing.shape)
        was, now = thing_in(before, look), thing_in(after, look)
        if was is None or now is None or overlap(was.mask, now.mask) < _SAME_PLACE:
            return False
    first = edit.source.things[0]
    old = thing_in(before, (first.colour, first.shape))
    if edit.kind == "remove":
        return thing_in(after, (first.colour, first.shape)) is None
    if edit.new is None:
        return True
    now = thing_in(after, (edit.new.colour, edit.new.shape))
    if now is None:
        return False
    return edit.kind == "add" or (old is not None and overlap(old.mask, now.mask) >= _SAME_PLACE)


def untouched(edit: Edit, before: Seen, after: Seen) -> np.ndarray:
    """Pixels that the edit has no business with: bool [H, W].

    All but the edited thing before and after and its rim; for a new background, the things without it.
    """
    shape = before.objects[0].mask.shape if before.objects else (1, 1)
    if edit.kind == "ground":
        things = np.any([o.mask for o in before.objects], axis=0)
        return cv2.erode(things.astype(np.uint8), np.ones((_RIM_PX, _RIM_PX), np.uint8)) > 0
    touched = np.zeros(shape, np.uint8)
    first = edit.source.things[0]
    looks = [(before, (first.colour, first.shape))] if edit.kind != "add" else []
    if edit.new is not None:
        looks.append((after, (edit.new.colour, edit.new.shape)))
    for seen, look in looks:
        found = thing_in(seen, look)
        if found is not None:
            touched |= found.mask.astype(np.uint8)
    return cv2.dilate(touched, np.ones((2 * _RIM_PX + 1,) * 2, np.uint8)) == 0


def roomiest_box(seen: Seen) -> np.ndarray:
    """A square about the point farthest from every object, as large as there is room: bool [H, W]."""
    taken = np.any([found.mask for found in seen.objects], axis=0)
    room = cv2.distanceTransform(np.pad(~taken, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(room.argmax(), room.shape)
    half = int(np.clip(room[y, x], *_HALF_BOX_PX))
    box = np.zeros(taken.shape, bool)
    box[max(0, y - half):y + half, max(0, x - half):x + half] = True
    return box


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two uint8 pictures [H, W, 3] where ``where`` is set; at most 60."""
    if not where.any():
        return 60.0
    error = np.square(a[where].astype(np.float64) - b[where].astype(np.float64)).mean()
    return 60.0 if error == 0 else min(60.0, 10 * np.log10(255.0**2 / error))


def describe(edit: Edit) -> str:
    """The edit in words, for a contact sheet."""
    if edit.kind == "remove":
        return f"without {article(edit.word)}"
    return f"{edit.kind}: {edit.word}"
