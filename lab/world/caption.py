"""Captions of scenes, in several phrasings."""

from __future__ import annotations

from random import Random

from .scene import BACKGROUNDS, COLOURS, CREATURE, SHAPES, Scene

PREFIXES = ("", "", "", "a picture of ", "a drawing of ", "an image of ")
# Words with no meaning here; they teach the neutral row of the text encoder to be harmless.
FILLERS = ("nice", "big", "bright", "simple", "little")


def article(phrase: str) -> str:
    """The phrase with "a" or "an" before it."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


def join(phrases: list[str], rng: Random) -> str:
    """Phrases as an English list, or as tags between commas."""
    if len(phrases) == 1:
        return phrases[0]
    style = rng.random()
    if style < 0.2:
        return ", ".join(phrases)
    last = " and " if len(phrases) > 2 or style < 0.75 else rng.choice((" with ", " next to "))
    return ", ".join(phrases[:-1]) + last + phrases[-1]


def caption(scene: Scene, rng: Random, fillers: float = 0.06) -> str:
    """One caption of ``scene``; the order of its things is random, its background often unsaid."""
    phrases = [thing.phrase for thing in scene.things]
    rng.shuffle(phrases)
    phrases = [f"{rng.choice(FILLERS)} {p}" if rng.random() < fillers else p for p in phrases]
    background = f"{scene.background} background"
    if not phrases:
        return rng.choice((article(background), background))
    if rng.random() < 0.85:
        phrases = [article(p) for p in phrases]
    text = rng.choice(PREFIXES) + join(phrases, rng)
    if rng.random() < 0.5:
        return text
    return text + rng.choice((f" on {article(background)}", f", {background}"))


def plain_caption(scene: Scene) -> str:
    """The caption without chance: "a red circle and a blue square on a white background"."""
    phrases = [article(thing.phrase) for thing in scene.things]
    listed = ", ".join(phrases[:-1]) + (" and " if len(phrases) > 1 else "") + phrases[-1]
    return f"{listed} on a {scene.background} background"


def vocabulary() -> list[str]:
    """Every word a caption can hold, fillers left out (they share the neutral row)."""
    words = " ".join(PREFIXES).split() + ["with", "and", "next", "to", "on", "a", "an", "background", ","]
    return sorted({*words, *COLOURS, *BACKGROUNDS, *SHAPES, CREATURE})
