"""What a predictor is trained on: pictures, maps and texts, encoded once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import torch

from ..errors import DirectorError
from ..text.prompt import encode
from .drawing import encode_maps

TOGETHER = 16  # pictures encoded in one call
WITH_A_TEXT = ("pooled_output", "attention_mask")


@dataclass(frozen=True, eq=False)
class Examples:
    """What is trained on, encoded once.

    latents, maps: one [C, h, w] a picture, in the model's own scale; sizes may differ. prompts: for
    each picture its row in ``texts``. texts: conditionings [1, T, C] with the tensors that came with them.
    """

    latents: list[torch.Tensor]
    maps: list[torch.Tensor]
    prompts: list[int]
    texts: list[tuple[torch.Tensor, dict[str, torch.Tensor]]]

    def batch(self, size: int, generator: torch.Generator) -> list[int]:
        """Numbers of pictures, all of the size of the first one drawn."""
        first = int(torch.randint(len(self.latents), (1,), generator=generator))
        same = [i for i, x in enumerate(self.latents) if x.shape == self.latents[first].shape]
        return [first, *(same[int(torch.randint(len(same), (1,), generator=generator))] for _ in range(size - 1))]

    def by_length(self, chosen: Sequence[int]) -> list[list[int]]:
        """Places in a batch, those whose texts are equally long together: no text is padded or repeated."""
        lengths = [self.texts[self.prompts[i]][0].shape[1] for i in chosen]
        return [[n for n, length in enumerate(lengths) if length == one] for one in dict.fromkeys(lengths)]

    def conditioning(self, chosen: Sequence[int]) -> list[list[Any]]:
        """Row i is the text of picture i, which are equally long."""
        rows = [self.texts[self.prompts[i]] for i in chosen]
        values = {name: torch.cat([held[name] for _, held in rows]) for name in rows[0][1]
                  if all(name in held for _, held in rows)}
        return [[torch.cat([cond for cond, _ in rows]), values]]


def encode_examples(node: str, model: Any, clip: Any, vae: Any, images: Sequence[torch.Tensor],
                    texts: Sequence[str], maps: Sequence[torch.Tensor]) -> Examples:
    """Pictures [H, W, 3] and maps [H, W] by the VAE, texts by the text encoder; each text once."""
    if len(texts) not in (1, len(images)):
        raise DirectorError(node, f"{len(texts)} texts for {len(images)} images; give one, or one per image.")
    latents, encoded = _encoded(vae, model.model.latent_format, images, maps)
    known: dict[str, int] = {}
    conditionings = []
    for text in dict.fromkeys(texts):
        known[text] = len(conditionings)
        (cond, values), *_ = encode(clip, text, node)
        conditionings.append((cond.cpu(), {name: values[name].cpu() for name in WITH_A_TEXT
                                           if values.get(name) is not None}))
    prompts = [known[texts[i] if len(texts) > 1 else texts[0]] for i in range(len(images))]
    return Examples(latents, encoded, prompts, conditionings)


def _encoded(vae: Any, latent_format: Any, images: Sequence[torch.Tensor],
             maps: Sequence[torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Latents of pictures and maps in their order, neighbours of one size together."""
    latents: list[torch.Tensor] = []
    encoded: list[torch.Tensor] = []
    while len(latents) < len(images):
        comfy.model_management.throw_exception_if_processing_interrupted()
        first = len(latents)
        same = [i for i in range(first, min(first + TOGETHER, len(images))) if images[i].shape == images[first].shape]
        same = same[:next((n for n, i in enumerate(same) if i != first + n), len(same))]
        pictures = torch.stack([images[i][..., :3] for i in same])
        latents.extend(latent_format.process_in(vae.encode(pictures)).float().cpu())
        encoded.extend(encode_maps(vae, latent_format, torch.stack([maps[i] for i in same])))
    return latents, encoded
