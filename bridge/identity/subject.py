"""The value on an ATTN_DIR_SUBJECTS wire."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..convert import mask_to_bhw
from ..errors import DirectorError, signed
from ..untrusted import as_text, within

MOST_STRENGTH = 100.0
FLAT = 1e-3  # a picture whose values spread less than this has nothing in it


@dataclass(frozen=True, eq=False)
class Subject:
    """A phrase and pictures of whom it means. images: [B, H, W, 3] in 0..1; mask: [B, H, W] or None."""

    phrase: str
    images: torch.Tensor
    strength: float = 1.0
    mask: torch.Tensor | None = None


SubjectList = tuple[Subject, ...]


def make_subject(node: str, phrase: str, images: torch.Tensor, strength: float,
                 mask: torch.Tensor | None = None) -> Subject:
    """A checked subject. Raises DirectorError for no phrase, an empty picture, a strength that is not a number."""
    phrase = phrase.strip()
    if not phrase:
        raise DirectorError(node, "the phrase is empty; write the words of the prompt that mean this subject.")
    if not within(strength, 0, MOST_STRENGTH):
        raise DirectorError(node, f'"{phrase}" has strength {as_text(strength)}; give a number from 0 to 2.')
    images = images.detach().to("cpu", torch.float32)
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[-1] not in (3, 4) or not images.numel():
        raise DirectorError(node, f'"{phrase}": a batch of pictures is needed, this is {tuple(images.shape)}; wire an '
                                  "IMAGE.")
    for number, picture in enumerate(images[..., :3], 1):
        if not torch.isfinite(picture).all() or float(picture.max() - picture.min()) < FLAT:
            raise DirectorError(node, f'"{phrase}": picture {number} is empty (one flat colour); give one that shows '
                                      "the subject.")
    with signed(node):
        mask = None if mask is None else mask_to_bhw(mask)
    if mask is not None and not bool((mask > 0.5).any()):
        raise DirectorError(node, f'"{phrase}": the mask is empty, so the subject has no place; paint where '
                                  "it goes, or unplug the mask.")
    return Subject(phrase, images[..., :3], float(strength), mask)
