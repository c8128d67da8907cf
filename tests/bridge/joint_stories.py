"""Stories of a few scenes on tiny transformers, as short as a test can say them."""

from __future__ import annotations

from typing import Any

import tiny
import tiny_joint
import torch
from scene import host_encode
from stories import SCENES, shared
from text_encoders import text_encoder

MODELS = {"flux-dev": "flux", "chroma": "chroma", "lumina": "lumina", "zimage": "zimage"}


def model_of(name: str) -> Any:
    return tiny_joint.model(name)


def told_of(name: str, text: str = SCENES, model: Any = None, **extra: Any) -> Any:
    latent = {"samples": torch.zeros(1, 16, 12, 16)}
    return shared(model or model_of(name), text_encoder(MODELS[name]), text, latent=latent, **extra)


def sample(model: Any, positive: list, latent: dict, name: str, negative: list | None = None, **options: Any,
           ) -> torch.Tensor:
    options = {"scheduler": "simple", "cfg": 3.0, "steps": 4} | options
    negative = negative or host_encode(text_encoder(MODELS[name]), "")
    return tiny.sample(model, positive, negative, latent=latent, **options)


def generated(told: Any, name: str, model: Any = None, **options: Any) -> torch.Tensor:
    return sample(model or told.model, told.positive, told.latent, name, **options)


def plain(told: Any, name: str, **options: Any) -> torch.Tensor:
    return generated(told, name, model_of(name), **options)
