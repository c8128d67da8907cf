"""Otsu's threshold: the value that best parts a set of numbers into low and high."""

from __future__ import annotations

import torch

OTSU_BINS = 256


def otsu_threshold(values: torch.Tensor) -> torch.Tensor:
    """Otsu's threshold of each row of ``values``: [..., N] to [...].

    N. Otsu, A threshold selection method from gray-level histograms, IEEE Trans. SMC 9(1), 1979, eq. 12.

    Of 256 bins between the row's smallest and largest value, the border that makes the variance
    between the two classes, w0 w1 (mu1 - mu0)^2, largest; the first of equals. Foreground is what lies
    strictly above; nothing does in a row of one value. No GPU sync.
    """
    wide = values.to(torch.promote_types(values.dtype, torch.float32))
    low, high = torch.aminmax(wide, dim=-1, keepdim=True)
    width = (high - low).clamp(min=torch.finfo(wide.dtype).tiny)
    bins = ((wide - low) / width * OTSU_BINS).long().clamp(0, OTSU_BINS - 1)
    counts = torch.zeros(*wide.shape[:-1], OTSU_BINS, device=wide.device, dtype=wide.dtype)
    counts = counts.scatter_add(-1, bins, torch.ones_like(wide))
    moments = (counts * torch.arange(OTSU_BINS, device=wide.device, dtype=wide.dtype)).cumsum(-1)
    below = counts.cumsum(-1)[..., :-1]
    above = wide.shape[-1] - below
    gap = (moments[..., -1:] - moments[..., :-1]) / above.clamp(min=1) - moments[..., :-1] / below.clamp(min=1)
    best = (below * above * gap.square()).argmax(-1, keepdim=True)
    return (low + (best + 1) * width / OTSU_BINS).squeeze(-1)
