"""Stories of a few scenes on tiny models, as short as a test can say them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

SCENES = "a red cat on the grass\na red cat in the rain\na red cat with a hat"
SUBJECT = "red cat"


class Told(NamedTuple):
    model: Any
    positive: list
    latent: dict


def shared(model: Any, clip: Any, text: Any = SCENES, subjects: str = SUBJECT, *, size: tuple[int, int] = (16, 16),
           latent: dict | None = None, **extra: Any) -> Told:
    """SharedSubjectAttention.execute as the host calls it."""
    from attention_director.nodes.shared_subject import SharedSubjectAttention

    inputs = dict(prefix="", suffix="", anchors=2, strength=1.0, mode="two-pass", injection=0.8) | extra
    latent = latent or {"samples": torch.zeros(1, 4, *size)}
    return Told(*SharedSubjectAttention.execute(model, clip, text, subjects=subjects, latent_image=latent,
                                                **inputs).args)
