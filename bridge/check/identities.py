"""Identity Inject: is somebody from a portrait more the same in a new picture, by the model's own features?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..errors import DirectorError
from ..families import takes_references
from ..identity.adapter import DEMO, FILES, Adapter, load_adapter
from ..identity.asked import IdentityOptions
from ..identity.build import build
from ..identity.subject import make_subject
from ..text.known_words import known_words_of
from .case import Case
from .directing import IDENTITY
from .looking import likeness, look
from .regions import cost_of
from .report import Row, shot_of
from .scenes import Person
from .studio import SEED, Studio, costs

OTHER_SEED = 23  # of the portrait
LEAST = 0.02
AREA = (64, 64)


def cases(studio: Studio, tools: Any) -> Sequence[Case]:
    return [Case("portrait", 3.0, lambda: compared(studio, tools))]


def compared(studio: Studio, tools: Any) -> Row:
    """A portrait that the model drew itself, taken over into another prompt; plain and injected."""
    referring = takes_references(studio.model, IDENTITY)
    adapter = None if referring else tools.adapter or found(studio)
    if adapter is None and not referring:
        return Row(IDENTITY, "", "left out", "there is no adapter for this model's text encoder.")
    person = tools.scenes.person
    portrait = studio.draw(studio.model, studio.encode(person.portrait), OTHER_SEED)
    subjects = (make_subject(IDENTITY, person.word, studio.pictures(portrait.samples), 1.0),)
    made = build(IDENTITY, "", studio.model, studio.clip, adapter, person.scene, subjects, IdentityOptions(),
                 vae=studio.vae)
    plain = studio.draw(studio.model, studio.encode(person.scene), SEED)
    ours = studio.draw(made.model, made.positive, SEED)
    before, after = likenesses(studio, person, portrait.samples, (plain.samples, ours.samples))
    numbers = {"likeness": after, "plain_likeness": before, **costs([plain], [ours])}
    says = f"likeness to the portrait {after:.2f}, plain {before:.2f}; {cost_of(numbers)}."
    shots = tuple(shot_of(caption, studio.pictures(drawn.samples)[0]) for caption, drawn in (
        (person.portrait, portrait), (f"{person.scene}: plain", plain), (f"{person.scene}: injected", ours)))
    return Row(IDENTITY, "", "works" if after >= before + LEAST else "fails", says, numbers, shots)


def likenesses(studio: Studio, person: Person, portrait: torch.Tensor, scenes: Sequence[torch.Tensor]) -> list[float]:
    """How alike somebody is in a portrait and in each of two pictures; all latents."""
    prompts = studio.encode(person.portrait, person.scene)
    seen = [look(studio, torch.cat((portrait, scene)), prompts, [person.word], features=True) for scene in scenes]
    areas = [one.areas(AREA)[:, 0] for one in seen]
    return [likeness(own.features, other.features, area)
            for own, other, area in zip(seen, reversed(seen), areas, strict=True)]


def found(studio: Studio) -> Adapter | None:
    """The person's own, or for the demo model the one that ships; the first that fits the text encoder."""
    width = studio.negative[0][0].shape[-1]
    for name in FILES.names():
        if name == DEMO and known_words_of(studio.clip) is None:
            continue
        try:
            adapter, _ = load_adapter(IDENTITY, FILES.path(IDENTITY, name))
        except DirectorError:
            continue
        if adapter.width == width:
            return adapter
    return None
