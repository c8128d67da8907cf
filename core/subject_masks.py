"""Method: ConsiStory (arXiv 2402.03286), subject masks. Written from the paper; no code copied.

Where a subject stands is read off the cross-attention its words get, cut by Otsu's threshold. Letters
beside those of core: I images, S subjects, N pixels of a grid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from .otsu import otsu_threshold


def masks_from_maps(maps: torch.Tensor, grid: tuple[int, int], apart: bool = False) -> torch.Tensor:
    """Where each subject stands on a grid: [I, S, h, w] maps to bool [I, S, N].

    Bilinear resize, then Otsu for each image and subject. A map of one value gives an empty mask. With
    ``apart`` (not in the paper, whose subjects share everything) a pixel of several subjects goes to the
    one whose map is largest there, measured by each map's own largest value.
    """
    fine = F.interpolate(maps, size=grid, mode="bilinear", align_corners=False).flatten(2)
    masks = fine > otsu_threshold(fine)[..., None]
    if not apart:
        return masks
    relative = fine / fine.amax(-1, keepdim=True).clamp(min=torch.finfo(fine.dtype).tiny)
    largest = torch.where(masks, relative, -1.0).argmax(1)
    return masks & F.one_hot(largest, masks.shape[1]).movedim(-1, 1).bool()


def grown(masks: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Masks [I, N] with every cell next to one of theirs: a subject's edge lies in cells that its words miss."""
    wide = F.max_pool2d(masks.unflatten(-1, grid).float(), 3, 1, 1)
    return wide.flatten(1) > 0


def dropped(masks: torch.Tensor, probability: float, seed: int) -> torch.Tensor:
    """The paper's mask dropout: each pixel of each image leaves all masks with this probability.

    masks: [I, S, N]. What leaves is the seed's choice alone, on the CPU, so that two passes and two devices agree.
    """
    if probability <= 0.0:
        return masks
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(masks.shape[0], 1, masks.shape[2], generator=generator) >= probability
    return masks & kept.to(masks.device)


def subject_probe(tokens: Sequence[Sequence[Sequence[int]]], keys: int) -> torch.Tensor:
    """What counts how much of a text each subject's words get, for pixel_maps (core/heat.py): [I, 1, Nk, S].

    tokens: for each image and subject the positions of all its tokens, in every copy of the prompt. Each counts its
    part of their number: a probability split over copies is the same map at a smaller scale, which Otsu's threshold
    follows. A phrase that a prompt lacks gets zeros.
    """
    probe = torch.zeros(len(tokens), 1, keys, max(len(image) for image in tokens))
    for i, image in enumerate(tokens):
        for s, positions in enumerate(image):
            probe[i, 0, list(positions), s] = 1.0 / max(1, len(positions))
    return probe
