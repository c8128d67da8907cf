"""Stories of one person or dinosaur on the transformer, and what their pictures are worth.

No caption says how they look, so only a shared subject makes two pictures show the same one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random

import numpy as np
from storybook.caption import plain_caption
from storybook.cast import COLOURED, COLOURS, PLACES, PLAIN
from storybook.oracle import Found, Seen
from storybook.scene import CANVAS_PX, Scene, Thing

SUBJECTS = ("man", "woman", "dinosaur")
SCENES = (3, 4)
# The cosine of two looks from which they are one. Of 52 rendered looks, drawn twice at other places and sizes, 98 of
# 100 pairs of one look lie above it and 98 of 100 of two looks of one word below.
SAME_LOOK = 0.88


@dataclass(frozen=True)
class Story:
    """Scenes of one subject, each at a place of its own, every second one with another thing beside it."""

    subject: str
    scenes: tuple[Scene, ...]
    number: int

    @property
    def captions(self) -> list[str]:
        return [plain_caption(scene).text for scene in self.scenes]

    @property
    def seeds(self) -> list[int]:
        return [max(SCENES) * self.number + i for i in range(len(self.scenes))]


def sample_story(number: int) -> Story:
    """Story ``number``."""
    rng = Random(f"storybook subject/{number}")
    subject = SUBJECTS[number % len(SUBJECTS)]
    places = rng.sample(list(PLACES), rng.choice(SCENES))
    others = (*PLAIN, *(f"{colour} {thing}" for thing in COLOURED for colour in COLOURS))
    scenes = []
    for i, place in enumerate(places):
        phrases = [subject, *([rng.choice(others)] if i % 2 else [])]
        scenes.append(Scene(place, tuple(Thing(0, phrase, 0, 0, 0) for phrase in phrases)))
    return Story(subject, tuple(scenes), number)


def subject_of(seen: Seen, word: str) -> Found | None:
    """The largest thing of a word that the oracle is sure of, None where there is none."""
    return max((thing for thing in seen.things if thing.phrase == word), key=_area, default=None)


def _area(found: Found) -> float:
    left, top, right, bottom = found.box
    return (right - left) * (bottom - top)


def obeyed(seen: Seen, scene: Scene, subject: str) -> float:
    """The share of a scene's other words that is drawn: its place, and the other thing where there is one."""
    right = [seen.place == scene.place,
             *(seen.phrases[thing.phrase] > 0 for thing in scene.things if thing.phrase != subject)]
    return sum(right) / len(right)


def stand(found: Found) -> np.ndarray:
    """Where it stands and how large it is: (x, y, diameter) in canvases."""
    left, top, right, bottom = found.box
    return np.array(((left + right) / 2, (top + bottom) / 2, _area(found) ** 0.5)) / CANVAS_PX


def story_scores(pictures: Sequence[Seen], story: Story) -> dict[str, list[float]]:
    """Every metric's values of one story. same_subject: the cosine of the looks of each pair of scenes, 0 where one
    lacks the subject; same_look: is it above the border? spread: how differently they stand."""
    found = [subject_of(seen, story.subject) for seen in pictures]
    likeness = [max(0.0, float(a.look @ b.look)) if a and b else 0.0 for a, b in combinations(found, 2)]
    apart = [float(np.linalg.norm(stand(a) - stand(b))) for a, b in combinations(filter(None, found), 2)]
    return {"same_subject": likeness, "same_look": [float(cosine > SAME_LOOK) for cosine in likeness],
            "spread": apart, "drawn": [float(one is not None) for one in found],
            "obedience": [obeyed(seen, scene, story.subject)
                          for seen, scene in zip(pictures, story.scenes, strict=True)]}
