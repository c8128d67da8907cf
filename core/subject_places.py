"""Method: CharaConsist (arXiv 2507.11533), where a shared key belongs in another picture. Written from the paper, but
for the map of boxes; no code copied.

Letters beside those of core: N cells of a grid, K keys.
"""

from __future__ import annotations

import torch

from .correspondence import ALIKE, nearest_patches

# A subject is taken for at most so much smaller or larger than in the picture its keys are of.
SCALES = (0.5, 2.0)


def boxes(masks: torch.Tensor, cells: torch.Tensor) -> torch.Tensor:
    """The box round each mask: bool [..., N] and cells [N, 2] to [..., 4], its middle and size (y, x, h, w), in cells.

    Of an empty mask all are 0.
    """
    inside, far = masks[..., None], torch.finfo(cells.dtype).max
    low = cells.masked_fill(~inside, far).amin(-2)
    high = cells.masked_fill(~inside, -far).amax(-2)
    box = torch.cat(((low + high) / 2, high - low + 1), -1)
    return box.masked_fill(~masks.any(-1, keepdim=True), 0.0)


def by_boxes(cells: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cells (y, x) of one picture's subject, [K, 2], where they are in another's by its box alone.

    source, target: of ``boxes``, [K or 1, 4]. An affine map whose scale stays between SCALES.
    """
    scale = (target[..., 2:] / source[..., 2:].clamp(min=1.0)).clamp(*SCALES)
    return target[..., :2] + (cells - source[..., :2]) * scale


def by_matches(patches: torch.Tensor, others: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each patch of an anchor, unit vectors [K, C], the cell of another picture that shows the same part, [K].

    others: [N, C]; mask: bool [N], where the subject is. Also bool [K]: is there one whose cosine passes a half?
    """
    index, distance = nearest_patches(patches, others, mask)
    return index, 1.0 - distance > ALIKE
