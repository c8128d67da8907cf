"""What a check draws: everyday things, in words that the model knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..text.known_words import GRAMMAR, known_words_of

Box = tuple[float, float, float, float]  # left, top, right, bottom, in shares of the picture
MASK_PX = 128


@dataclass(frozen=True)
class Thing:
    """A phrase and where it shall be. kind: what detectors call it."""

    phrase: str
    box: Box
    kind: str = ""

    @property
    def mask(self) -> torch.Tensor:
        """[MASK_PX, MASK_PX] of 0 and 1."""
        left, top, right, bottom = (round(MASK_PX * side) for side in self.box)
        mask = torch.zeros(MASK_PX, MASK_PX)
        mask[top:bottom, left:right] = 1
        return mask


@dataclass(frozen=True)
class Layout:
    """Things in their places, and the prompt that names them."""

    text: str
    things: tuple[Thing, ...]


@dataclass(frozen=True)
class Edit:
    """source and target: prompts. before, after: the words in them of what changes."""

    source: str
    target: str
    before: str
    after: str


@dataclass(frozen=True)
class Story:
    """Scenes of one subject, named alike in all of them."""

    scenes: tuple[str, ...]
    subject: str


@dataclass(frozen=True)
class Person:
    """Somebody to be taken over: a prompt for a portrait, one for the new picture, and the word in both."""

    portrait: str
    scene: str
    word: str


@dataclass(frozen=True)
class Scenes:
    """All that one check draws."""

    layouts: tuple[Layout, ...]
    edits: tuple[Edit, ...]
    story: Story
    person: Person

    def texts(self) -> Iterator[str]:
        """Every prompt."""
        yield from (layout.text for layout in self.layouts)
        for edit in self.edits:
            yield from (edit.source, edit.target)
        yield from (*self.story.scenes, self.person.portrait, self.person.scene)


LEFT, RIGHT = (0.05, 0.35, 0.45, 0.9), (0.55, 0.35, 0.95, 0.9)


def two(text: str, left: Sequence[str], right: Sequence[str]) -> Layout:
    """One thing left, one right. Each: its phrase, and what detectors call it."""
    return Layout(text, (Thing(left[0], LEFT, left[-1]), Thing(right[0], RIGHT, right[-1])))


EVERYDAY = Scenes(
    (two("a photo of a dog and a cat on a sofa", ("cat",), ("dog",)),
     two("a photo of a red apple and a green bottle on a wooden table", ("green bottle", "bottle"),
         ("red apple", "apple")),
     two("a photo of a blue bicycle and a red car in front of a house", ("red car", "car"),
         ("blue bicycle", "bicycle")),
     two("a photo of a horse and a cow in a meadow", ("cow",), ("horse",)),
     two("a photo of a teddy bear and a book on a bed", ("book",), ("teddy bear",)),
     Layout("a photo of a dog, a cat and a bird on the grass",
            (Thing("bird", (0.03, 0.4, 0.31, 0.8), "bird"), Thing("dog", (0.36, 0.3, 0.64, 0.9), "dog"),
             Thing("cat", (0.69, 0.4, 0.97, 0.9), "cat")))),
    (Edit("a photo of a cat on a bench in a park", "a photo of a dog on a bench in a park", "cat", "dog"),
     Edit("a photo of a bowl of apples on a table", "a photo of a bowl of oranges on a table", "apples", "oranges"),
     Edit("a photo of a red car in front of a house", "a photo of a blue car in front of a house", "red car",
          "blue car"),
     Edit("a photo of a man with a hat on a beach", "a photo of a man with a crown on a beach", "hat", "crown")),
    Story(("a watercolor of a small fox reading a book", "a watercolor of a small fox in the snow",
           "a watercolor of a small fox in a boat"), "small fox"),
    Person("a portrait photo of a woman with red hair", "a photo of a woman in a park", "woman"))
STORYBOOK = Scenes(
    (two("a cat and a dog on a beach", ("dog",), ("cat",)),
     two("a red car and a yellow balloon in a meadow", ("yellow balloon",), ("red car",)),
     two("a panda and a robot in the snow", ("robot",), ("panda",)),
     two("a bicycle and a house in a meadow", ("house",), ("bicycle",)),
     two("a green book and a cake on a white background", ("cake",), ("green book",)),
     Layout("a fox, a frog and an owl in the desert",
            (Thing("owl", (0.03, 0.4, 0.31, 0.75)), Thing("fox", (0.36, 0.4, 0.64, 0.75)),
             Thing("frog", (0.69, 0.4, 0.97, 0.75))))),
    (Edit("a cat and a red car on a beach", "a dog and a red car on a beach", "cat", "dog"),
     Edit("a fox and a cake in a meadow", "a fox and a pizza in a meadow", "cake", "pizza"),
     Edit("a red car on a beach", "a blue car on a beach", "red car", "blue car"),
     Edit("a penguin and a tent in the snow", "a penguin and a house in the snow", "tent", "house")),
    Story(("a monster on a beach", "a monster and a tree in the snow", "a monster and a tent in a meadow"), "monster"),
    Person("a man on a white background", "a man on a beach", "man"))
SHAPES = Scenes(
    (two("a red circle and a blue square on a white background", ("blue square",), ("red circle",)),
     two("a green star and a yellow triangle on a black background", ("yellow triangle",), ("green star",)),
     two("a purple cross and an orange circle on a grey background", ("orange circle",), ("purple cross",)),
     two("a pink square and a brown star on a beige background", ("brown star",), ("pink square",)),
     two("a blue triangle and a red cross on a white background", ("red cross",), ("blue triangle",)),
     two("a yellow circle and a green cross on a grey background", ("green cross",), ("yellow circle",))),
    (Edit("a red circle and a blue square on a white background", "a green circle and a blue square on a white "
          "background", "red circle", "green circle"),
     Edit("a yellow star on a black background", "a yellow triangle on a black background", "star", "triangle"),
     Edit("a blue square and a red cross on a grey background", "a blue square and a red circle on a grey background",
          "cross", "circle"),
     Edit("a pink circle on a beige background", "a purple circle on a beige background", "pink circle",
          "purple circle")),
    Story(("a creature on a white background", "a creature on a grey background", "a creature on a black background"),
          "creature"),
    Person("a creature on a white background", "a creature on a grey background", "creature"))


def scenes_for(clip: Any) -> Scenes:
    """The first of which a text encoder knows every word; one without a list of words knows all."""
    known = known_words_of(clip)
    if known is None:
        return EVERYDAY
    return next((scenes for scenes in (EVERYDAY, STORYBOOK) if _words(scenes) <= known.words | GRAMMAR), SHAPES)


def _words(scenes: Scenes) -> set[str]:
    return {word for text in scenes.texts() for word in text.replace(",", " ").split()}
