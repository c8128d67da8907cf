"""Subjects as reference pictures: models that were trained with them read their latents beside the picture's.

The pictures go into the prompt under the host's own key, and core's ReferenceAttention binds them to their words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

import comfy.utils
import torch

from ...core.method import Method
from ...core.reference_attention import ReferenceAttention
from ...core.schedule import Schedule
from ...core.text import PromptTag
from ...core.word_places import WordPlaces
from ..errors import DirectorError
from ..run.install import install
from ..text.prompt import Conditioning, is_from, with_key
from .asked import Asked, Outputs, staged

REFERENCES = "reference_latents"  # the host's
MOST_PIXELS = 1024 * 1024
SIDE = 16  # pixels of a token: what does not divide by it would be filled up from the other side


def require_vae(node: str, vae: Any) -> None:
    if vae is None:
        raise DirectorError(node, "the vae input is empty, and this model reads the subjects' pictures as latents; "
                                  "wire the VAE of the model.")


def with_references(asked: Asked, model: Any, vae: Any) -> Outputs:
    """MODEL and positive with each subject's pictures among the references. Those of strength 0 are left out."""
    acting = [n for n, strength in enumerate(asked.strengths) if strength]
    asked = replace(asked, subjects=tuple(asked.subjects[n] for n in acting),
                    phrases=tuple(asked.phrases[n] for n in acting), options=replace(asked.options, published=False))
    pictures = [latents_of(asked.node, model, vae, subject.images) for subject in asked.subjects]
    given = appended(asked.conditioning, asked.tag, [latent for latents in pictures for latent in latents])
    key = asked.key(pictures)
    entries = staged(asked.node, with_key(asked.conditioning, asked.tag, key), with_key(given, asked.tag, key),
                     asked.tag, key, asked.options)
    first = references_before(asked.node, asked.conditioning, asked.tag)
    return Outputs(install(model, *_methods(asked, key, first, [len(latents) for latents in pictures])), entries)


def latents_of(node: str, model: Any, vae: Any, images: torch.Tensor) -> list[torch.Tensor]:
    """Each picture of [B, H, W, 3] as latents [1, C, h, w]. Raises DirectorError for another model's VAE."""
    latents = [vae.encode(picture[None]) for picture in fitted(images)]
    wanted = model.model.latent_format.latent_channels
    if latents[0].shape[1] != wanted:
        raise DirectorError(node, f"the vae gives latents of {latents[0].shape[1]} channels and this model reads "
                                  f"{wanted}; wire the VAE of the model.")
    return latents


def fitted(images: torch.Tensor) -> torch.Tensor:
    """Pictures of at most MOST_PIXELS whose sides divide by SIDE, cut at the middle; those that are so, as they are."""
    height, width = images.shape[1:3]
    scale = min(1.0, (MOST_PIXELS / (height * width)) ** 0.5)
    wide, high = (max(SIDE, int(side * scale + 1e-6) // SIDE * SIDE) for side in (width, height))
    if (wide, high) == (width, height):
        return images
    return comfy.utils.common_upscale(images.movedim(-1, 1), wide, high, "area", "center").movedim(1, -1)


def appended(conditioning: Conditioning, tag: PromptTag, latents: Sequence[torch.Tensor]) -> Conditioning:
    """A copy of the conditioning with references behind those that the entries of this prompt have."""
    return [[cond, {**values, REFERENCES: [*(values.get(REFERENCES) or ()), *latents]} if is_from(values, tag)
             else values] for cond, values in conditioning]


def references_before(node: str, conditioning: Conditioning, tag: PromptTag) -> int:
    """How many references the prompt had before. Raises DirectorError where its entries have different numbers."""
    counts = {len(values.get(REFERENCES) or ()) for _, values in conditioning if is_from(values, tag)}
    if len(counts) > 1:
        raise DirectorError(node, f"the parts of this prompt have {' and '.join(map(str, sorted(counts)))} reference "
                                  "latents; combine them after this node, or give all of them the same.")
    return counts.pop()


def _methods(asked: Asked, key: str, first: int, counts: Sequence[int]) -> list[Method]:
    """What goes on the model. first: number of the first picture; counts: of pictures of each subject."""
    options = asked.options
    starts = accumulate(counts, initial=first)
    numbers = tuple(tuple(range(start, start + count)) for start, count in zip(starts, counts, strict=False))
    binding = ReferenceAttention(key, asked.phrases, numbers, tuple(asked.strengths), options.localise, asked.masks(),
                                 asked.masked, asked.node, Schedule(options.start_percent, 1.0))
    return [binding, WordPlaces(key, asked.phrases, asked.node)] if binding.confines else [binding]
