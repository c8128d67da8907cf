"""Tiny models with all that a check wants, and a check of few and small pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tiny
import tiny_joint
from attention_director.bridge.check import run
from attention_director.bridge.check.sampling import Sampling
from attention_director.bridge.check.scenes import EVERYDAY, Scenes
from attention_director.bridge.demo.model import load_demo_model
from text_encoders import WIDTH, text_encoder

SMALL = Sampling(64, 2, 3.0, "euler", "normal")
# A tiny network, its text encoder, and sizes that make them fit.
JOINT: dict[str, tuple[str, dict[str, Any]]] = {
    "flux": ("flux", {}), "flux-dev": ("flux", {}), "flux-2": ("klein", {"context_in_dim": 3 * WIDTH}),
    "chroma": ("chroma", {}), "lumina": ("lumina", {}), "zimage": ("zimage", {})}
FAMILIES = (*tiny.FAMILIES, *JOINT)


def few(scenes: Scenes = EVERYDAY) -> Scenes:
    """One of each."""
    return replace(scenes, layouts=scenes.layouts[:1], edits=scenes.edits[:1],
                   story=replace(scenes.story, scenes=scenes.story.scenes[:2]))


def models(name: str) -> tuple[Any, Any, Any]:
    """MODEL, CLIP, VAE of a family's layout, or of a demo model by the name its node has."""
    if name in tiny.FAMILIES:
        return tiny.model(name), tiny.clip(name), load_demo_model()[2]
    if name in JOINT:
        encoder, sizes = JOINT[name]
        return tiny_joint.model(name, **sizes), text_encoder(encoder), tiny_joint.vae(name)
    return load_demo_model(name)


def request(name: str, minutes: float = 10.0, **more: Any) -> run.Request:
    sampling = None if name in ("UNet", "transformer") else SMALL
    return run.Request(*models(name), minutes=minutes, sampling=more.pop("sampling", sampling), **more)


@pytest.fixture
def one_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks draw one layout, one edit, and a story of two."""
    monkeypatch.setattr(run, "scenes_for", lambda clip: few())
