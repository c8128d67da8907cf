"""Region masks on the pixel grids of attention layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def masks_on_grid(masks: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Bool masks [I, R, H, W] on a layer's grid: a cell belongs where at least half of it is covered, [I, R, h*w].

    DenseDiffusion takes the nearest pixel, first for the latent and from there for the grid, which in torch is each
    cell's upper left corner: a region moves down and right by up to half a cell, 8 pixels of a transformer, 32 of
    Stable Diffusion's smallest grid. A mask that would vanish keeps the cell that holds most of it; an empty mask
    stays empty.
    """
    share = F.adaptive_avg_pool2d(masks.double(), grid).flatten(2)
    covered = share >= 0.5 - 1e-9  # halves must not depend on how a mean was rounded
    best = F.one_hot(share.argmax(-1), share.shape[-1]).bool()
    vanished = ~covered.any(-1, keepdim=True) & masks.flatten(2).any(-1, keepdim=True)
    return torch.where(vanished, best, covered)


def with_background(masks: torch.Tensor) -> torch.Tensor:
    """Append the pixels of no region as one more region: [I, R, N] to [I, R + 1, N]."""
    return torch.cat((masks, ~masks.any(1, keepdim=True)), dim=1)


def covering_area(masks: torch.Tensor) -> torch.Tensor:
    """Area share of the regions that cover each pixel, summed: S_i of DenseDiffusion.

    masks: bool [R, N]. Returns float64 [N]; may pass 1 where regions overlap.
    """
    members = masks.double()
    return members.mean(1) @ members


def covering_strength(masks: torch.Tensor, strengths: torch.Tensor, uncovered: float = 1.0) -> torch.Tensor:
    """Largest strength of the regions that cover each pixel, elsewhere ``uncovered``: [R, N], [R] to [N]."""
    elsewhere = torch.full(masks.shape[1:], uncovered, dtype=strengths.dtype)
    if not len(masks):
        return elsewhere
    return torch.where(masks.any(0), (masks * strengths[:, None]).amax(0), elsewhere)


def membership_patterns(members: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The distinct sets of regions that columns of ``members`` belong to.

    members: bool [R, N]. Returns the non-empty patterns, bool [P, R], and which column has which
    pattern as one-hot float [N, P] (all zero for a column of no region).
    """
    patterns, which = torch.unique(members.T, dim=0, return_inverse=True)
    kept = patterns.any(1)
    return patterns[kept], F.one_hot(which, len(patterns))[:, kept].float()


def check_layouts(label: str, masks: torch.Tensor, images: int) -> None:
    """Masks [I, ...] must be one layout, or one for each of the images of a run. Raises ValueError otherwise."""
    layouts = masks.shape[0]
    if layouts not in (1, images):
        raise ValueError(f"{label}: the masks have {layouts} layouts and the run {images} images; give one layout, or "
                         "one per image")
