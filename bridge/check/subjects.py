"""Shared Subject: is the hero of three scenes more the same, by the model's own features of it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .case import Case
from .directing import SUBJECT, told
from .looking import likeness, look
from .regions import cost_of
from .report import Row, shot_of
from .studio import Studio, costs

LEAST = 0.02
AREA = (64, 64)


def cases(studio: Studio, tools: Any) -> Sequence[Case]:
    return [Case("story", 3.0 * len(tools.scenes.story.scenes), lambda: compared(studio, tools.scenes.story))]


def compared(studio: Studio, story: Any) -> Row:
    """The three scenes at the same noise, apart and shared."""
    directed, count = told(studio, story), len(story.scenes)
    prompts = studio.encode(*story.scenes)
    plain = studio.draw(studio.model, prompts, latent=studio.latent(count))
    ours = studio.draw(directed.model, directed.positive, latent=directed.latent)
    apart, together = (look(studio, drawn.samples, prompts, [story.subject], features=True) for drawn in (plain, ours))
    pictures = {"plain": studio.pictures(plain.samples), "shared": studio.pictures(ours.samples)}
    heroes = [seen.areas(AREA)[:, 0] for seen in (apart, together)]
    numbers = {"likeness": likeness(together.features, apart.features, heroes[1]),
               "plain_likeness": likeness(apart.features, together.features, heroes[0]), **costs([plain], [ours])}
    says = f"likeness of the heroes {numbers['likeness']:.2f}, plain {numbers['plain_likeness']:.2f}"
    shots = tuple(shot_of(f"{scene}: {what}", picture) for what, batch in pictures.items()
                  for scene, picture in zip(story.scenes, batch, strict=True))
    works = numbers["likeness"] >= numbers["plain_likeness"] + LEAST
    return Row(SUBJECT, "", "works" if works else "fails", f"{says}; {cost_of(numbers)}.", numbers, shots)
