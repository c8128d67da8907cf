"""Method: ConsiStory (arXiv 2402.03286), feature injection. Written from the paper; no code copied.

Diffusion features (DIFT, arXiv 2306.03881) tell which patch of another image shows the same part of
the subject; its self-attention output is then mixed in. Letters beside those of core: N patches of an
image, K patches of the pool that images take from, C channels. All images at once, or one: "..." is [I] or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from .otsu import otsu_threshold

# Where in a run features match parts best: timestep 261 of the 1000 of Stable Diffusion (DIFT, section 4).
DIFT_PROGRESS = 1.0 - 261 / 1000
# Cosine distance runs from 0 to 2; 2 is said of a patch that is no candidate.
FARTHEST = 2.0
# The cosine of attention outputs from which two patches show the same part (CharaConsist, section 3).
ALIKE = 0.5
_DISTANCES_AT_ONCE = 16 * 1024 * 1024


@dataclass(frozen=True)
class Link:
    """Where each patch of an image takes from. index: [..., N] into the pool; gate: bool [..., N], mix here at all.

    share: [..., N], how much of the weight each patch gets; None for all of it.
    """

    index: torch.Tensor
    gate: torch.Tensor
    share: torch.Tensor | None = None


def match_features(features: torch.Tensor) -> torch.Tensor:
    """Block outputs [I, C, h, w] as unit vectors of patches, float32 [I, N, C].

    A 3 x 3 Gaussian of sigma 1 first, each channel by itself; the border repeats its outermost pixels.
    """
    wide = features.to(torch.promote_types(features.dtype, torch.float32))
    line = torch.exp(torch.tensor([-0.5, 0.0, -0.5], device=wide.device, dtype=wide.dtype))
    line = line / line.sum()
    padded = F.pad(wide, (1, 1, 1, 1), mode="replicate")
    rows = sum(line[i] * padded[..., i:i + wide.shape[-2], :] for i in range(3))
    smooth = sum(line[i] * rows[..., i:i + wide.shape[-1]] for i in range(3))  # type: ignore[index]
    return F.normalize(smooth.flatten(2).transpose(1, 2), dim=-1)  # type: ignore[union-attr]


def nearest_patches(target: torch.Tensor, pool: torch.Tensor,
                    valid: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest patch of the pool by cosine distance D = 1 - cos: index [..., N] and distance [..., N].

    target: [..., N, C] and pool: [K, C], unit vectors; valid: bool [..., K], the candidates, None for all. Where
    there is no candidate the distance is 2. Streamed; no [N, K] is kept.
    """
    size = max(1, _DISTANCES_AT_ONCE // max(1, len(pool) * target[..., 0, 0].numel()))
    index, distance = [], []
    for part in target.split(size, -2):
        far = 1.0 - part @ pool.T
        if valid is not None:
            far = torch.where(valid[..., None, :], far, FARTHEST)
        low = far.min(-1)
        index.append(low.indices)
        distance.append(low.values)
    return torch.cat(index, -1), torch.cat(distance, -1)


def of_others(valid: torch.Tensor, images: int, anchors: int) -> torch.Tensor:
    """What each image may take from: the anchors' patches bool [G, A N], but for those of its own: [G, I, A N]."""
    other = ~torch.eye(images, anchors, dtype=torch.bool, device=valid.device)
    return (valid.unflatten(1, (anchors, -1))[:, None] & other[:, :, None]).flatten(2)


def link(target: torch.Tensor, pool: torch.Tensor, valid: torch.Tensor, own: torch.Tensor) -> Link:
    """Correspondence of images with the pool, subject by subject.

    target: [..., N, C], pool: [K, C]; valid: bool [G, ..., K], own: bool [G, ..., N]: for each group of subjects the
    candidates and the image's own mask. A patch takes from the pool where it lies in the mask and its distance
    is below Otsu's threshold over all patches of the image. Where masks of groups overlap the first holds.
    """
    index = torch.zeros(target.shape[:-1], dtype=torch.long, device=target.device)
    gate = torch.zeros(target.shape[:-1], dtype=torch.bool, device=target.device)
    for candidates, mask in zip(valid, own, strict=True):
        found, distance = nearest_patches(target, pool, candidates)
        near = mask & (distance < otsu_threshold(distance)[..., None]) & ~gate
        index = torch.where(near, found, index)
        gate = gate | near
    return Link(index, gate)


def alike(target: torch.Tensor, pool: torch.Tensor, valid: torch.Tensor, own: torch.Tensor) -> Link:
    """The same by outputs of attention (CharaConsist, arXiv 2507.11533): a patch takes from the most alike one where
    their cosine passes a half, and as much as that cosine says."""
    index = torch.zeros(target.shape[:-1], dtype=torch.long, device=target.device)
    cosine = torch.zeros(target.shape[:-1], device=target.device, dtype=target.dtype)
    for candidates, mask in zip(valid, own, strict=True):
        found, distance = nearest_patches(target, pool, candidates)
        near = mask & (1.0 - distance > ALIKE) & (cosine == 0)
        index, cosine = torch.where(near, found, index), torch.where(near, 1.0 - distance, cosine)
    return Link(index, cosine > 0, cosine)


def inject(x: torch.Tensor, pool: torch.Tensor, found: Link, weight: float) -> torch.Tensor:
    """x_p <- (1 - weight) x_p + weight pool[NN(p)] where the gate is open. x: [..., N, C], pool: [K, C].

    The pool is what the layer gave before any mixing, so the order of images does not matter.
    """
    amount = weight if found.share is None else weight * found.share[..., None].to(x.dtype)
    return torch.where(found.gate[..., None], torch.lerp(x, pool[found.index].to(x.dtype), amount), x)
