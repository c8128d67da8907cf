"""Records as tensors, computed once: latents, encoded captions, masks and reference crops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from world.training import Log, autocast, save_state

from .records import MAX_SUBJECTS, Record

NODE = "train identity"
BATCH = 16


@dataclass(frozen=True, eq=False)
class Store:
    """N pictures, M subjects at most in one.

    latents: float16 [N, 4, h, w], the model's own scale. context: float16 [N, T, C]; empty: [T, C].
    positions: long [N, M], the token of each subject, -1 for none. masks: bool [N, M, h, w] at the
    latents' size. crops: uint8 [N, M, S, S, 4], the subject cut to its box with its mask as alpha.
    """

    latents: torch.Tensor
    context: torch.Tensor
    empty: torch.Tensor
    positions: torch.Tensor
    masks: torch.Tensor
    crops: torch.Tensor

    def __len__(self) -> int:
        return len(self.latents)


def reference_crop(picture: np.ndarray, mask: np.ndarray, size: int) -> np.ndarray:
    """The subject's bounding box in the middle of a square, as large as fits: uint8 [S, S, 4], alpha the mask."""
    ys, xs = np.nonzero(mask)
    box = np.s_[ys.min():ys.max() + 1, xs.min():xs.max() + 1]
    cut = np.dstack((picture[box], mask[box].astype(np.uint8) * 255))
    side = max(cut.shape[:2])
    top, left = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
    square = np.zeros((side, side, 4), np.uint8)
    square[top:top + cut.shape[0], left:left + cut.shape[1]] = cut
    return cv2.resize(square, (size, size), interpolation=cv2.INTER_AREA if side > size else cv2.INTER_LINEAR)


class Encoder:
    """Captions and pictures through the base model, in the pack's own words."""

    def __init__(self, model: Any, clip: Any, vae: Any) -> None:
        self.model, self.clip, self.vae = model, clip, vae
        self._phrases: dict[str, Any] = {}
        self._captions: dict[tuple[str, tuple[str, ...]], tuple[torch.Tensor, list[int]]] = {}

    def caption(self, text: str, phrases: tuple[str, ...]) -> tuple[torch.Tensor, list[int]]:
        """The first 77 tokens [77, C] in half precision, and where each phrase ends (-1 when it was cut off)."""
        if (text, phrases) not in self._captions:
            self._captions[text, phrases] = self._encoded(text, phrases)
        return self._captions[text, phrases]

    def _encoded(self, text: str, phrases: tuple[str, ...]) -> tuple[torch.Tensor, list[int]]:
        from attention_director.bridge.text.prompt import encode, tag_of, tokenise_phrase

        conditioning = encode(self.clip, text, NODE)
        tag, context = tag_of(conditioning), conditioning[0][0]
        assert tag is not None
        ends = []
        for spelt in phrases:
            wanted = self._phrases.setdefault(spelt, tokenise_phrase(self.clip, spelt, NODE))
            found = tag.find(wanted)[0]
            ends.append(found[-1] if found and found[-1] < 77 else -1)
        return context[0, :77].to("cpu", torch.float16).clone(), ends

    def pictures(self, pictures: np.ndarray) -> torch.Tensor:
        """uint8 [B, H, W, 3] to latents [B, 4, h, w]."""
        with autocast(torch.device("cpu")):  # three times faster where it helps; a VAE forgives it
            latents = self.vae.encode(torch.from_numpy(pictures).float() / 255)
        return self.model.model.process_latent_in(latents).to("cpu", torch.float16)


@torch.inference_mode()
def build(records: Iterable[Record], count: int, encoder: Encoder, crop_px: int, log: Log) -> Store:
    """Encode ``count`` records, 16 at a time."""
    parts: dict[str, list[torch.Tensor]] = {name: [] for name in ("latents", "context", "positions", "masks", "crops")}
    batch: list[Record] = []
    for number, record in enumerate(records, 1):
        batch.append(record)
        if len(batch) == BATCH or number == count:
            for name, value in _encoded(batch, encoder, crop_px).items():
                parts[name].append(value)
            batch = []
            if number % (40 * BATCH) == 0 or number == count:
                log.show(number)
    empty, _ = encoder.caption("", ())
    most = max(int((part >= 0).sum(1).max()) for part in parts["positions"])
    for name in ("positions", "masks", "crops"):
        parts[name] = [part[:, :most] for part in parts[name]]
    joined = {name: torch.cat(values).clone() for name, values in parts.items()}
    return Store(empty=empty, **joined)


def _encoded(batch: list[Record], encoder: Encoder, crop_px: int) -> dict[str, torch.Tensor]:
    latents = encoder.pictures(np.stack([record.picture for record in batch]))
    size = tuple(latents.shape[-2:])
    positions = torch.full((len(batch), MAX_SUBJECTS), -1)
    masks = torch.zeros(len(batch), MAX_SUBJECTS, *size, dtype=torch.bool)
    crops = torch.zeros(len(batch), MAX_SUBJECTS, crop_px, crop_px, 4, dtype=torch.uint8)
    contexts = []
    for i, record in enumerate(batch):
        context, ends = encoder.caption(record.caption, record.phrases)
        contexts.append(context)
        for n, (end, mask) in enumerate(zip(ends, record.masks, strict=True)):
            positions[i, n] = end
            share = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(mask)[None].float(), size)[0]
            masks[i, n] = share > 0.5
            crops[i, n] = torch.from_numpy(reference_crop(record.picture, mask, crop_px))
    return {"latents": latents, "context": torch.stack(contexts), "positions": positions, "masks": masks,
            "crops": crops}


def load_or_build(path: Path, records: Iterable[Record], count: int, encoder: Encoder, crop_px: int,
                  log: Log) -> Store:
    """The store kept at ``path``, made when it is not there."""
    if not path.exists():
        save_state(path, vars(build(records, count, encoder, crop_px, log)))
    return Store(**torch.load(path, weights_only=True, mmap=True))
