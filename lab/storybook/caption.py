"""Captions of storybook scenes, kept as pieces so that every word knows the thing it belongs to."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from .cast import PHRASES, PLACES
from .scene import Scene

LEADS = ("", "", "", "a picture of", "a drawing of", "a photo of")
# Words that mean nothing here; they teach the row that unknown words share to be harmless.
FILLERS = ("nice", "big", "bright", "simple", "little", "lovely")
FILLED = 0.05
PLACE_SAID = 0.88
HELD_OUT_EVERY = 16

NOBODY = -1
PLACE_PART = 4


@dataclass(frozen=True)
class Caption:
    """pieces: (words, part) in order; part is the number of a thing, PLACE_PART or NOBODY."""

    pieces: tuple[tuple[str, int], ...]

    @property
    def text(self) -> str:
        return " ".join(words for words, _ in self.pieces if words).replace(" ,", ",")

    def words(self) -> Iterable[tuple[str, int]]:
        """(word or comma, part) in order."""
        return ((word, part) for words, part in self.pieces for word in words.split())

    @property
    def held_out(self) -> bool:
        """Is this one of the captions that nothing is trained on? By its words alone."""
        return zlib.crc32(self.text.encode()) % HELD_OUT_EVERY == 0


def article(phrase: str) -> str:
    return "an" if phrase[0] in "aeiou" else "a"


def joints(rng: Random, count: int) -> list[str]:
    """What stands between ``count`` phrases: commas, "and", "with" or "next to"."""
    style = rng.random()
    if count == 1:
        return []
    if style < 0.12:
        return [","] * (count - 1)
    last = "and" if count > 2 or style < 0.7 else rng.choice(("with", "next to"))
    return [","] * (count - 2) + [last]


def plain_order(scene: Scene) -> list[int]:
    return list(range(len(scene.things)))


def write(scene: Scene, order: list[int], between: list[str], lead: str = "", place: bool = True,
          fillers: dict[int, str] | None = None) -> Caption:
    """A caption from its choices. order: of the things; between: as ``joints`` gives."""
    pieces: list[tuple[str, int]] = [(lead, NOBODY)] if lead else []
    for position, number in enumerate(order):
        if position:
            pieces.append((between[position - 1], NOBODY))
        phrase = scene.things[number].phrase
        filler = (fillers or {}).get(number)
        pieces.append((f"{article(filler or phrase)} {filler or ''}".strip(), NOBODY))
        pieces.append((phrase, scene.parts[number]))
    if place:
        pieces.append((PLACES[scene.place], PLACE_PART))
    return Caption(tuple(pieces))


def any_caption(scene: Scene, rng: Random) -> Caption:
    """One of the many captions of a scene, held out or not."""
    order = plain_order(scene)
    rng.shuffle(order)
    fillers = {number: rng.choice(FILLERS) for number in order if rng.random() < FILLED}
    return write(scene, order, joints(rng, len(order)), rng.choice(LEADS), rng.random() < PLACE_SAID, fillers)


def training_caption(scene: Scene, rng: Random) -> Caption:
    """A caption that is not held out."""
    while True:
        caption = any_caption(scene, rng)
        if not caption.held_out:
            return caption


def plain_caption(scene: Scene) -> Caption:
    """The caption without chance: "a cat, a dog and a red car on a beach"."""
    count = len(scene.things)
    return write(scene, plain_order(scene), [","] * (count - 2) + ["and"] * (count > 1))


def vocabulary() -> list[str]:
    """Every word a caption can hold, fillers left out (they share the neutral row)."""
    sentences = (*PHRASES, *PLACES.values(), *LEADS)
    return sorted({word for sentence in sentences for word in sentence.split()}
                  | {"a", "an", "and", "with", "next", "to", ","})
