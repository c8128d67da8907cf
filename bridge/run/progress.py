"""How far a noise level is into the run, as the host counts it."""

from __future__ import annotations

from typing import Any

import torch

HALVINGS = 45  # past the rounding of the host's noise levels, which are float32


def progress_at(sampling: Any, sigma: float) -> float:
    """The greatest percent (0 noisiest .. 1) whose noise level is not below sigma.

    sampling: a model's model_sampling. It is the inverse of its ``percent_to_sigma``, the one measure that every
    kind of sampling has: timesteps run 0..999, 0..1 or over logarithms. So a window from ``start`` opens where a
    ControlNet's does, at the first sigma <= percent_to_sigma(start).
    """
    if sigma <= 0.0:
        return 1.0
    below, above = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (below + above) / 2
        if _rounded(sampling.percent_to_sigma(middle)) >= sigma:
            below = middle
        else:
            above = middle
    return below


def _rounded(level: Any) -> float:
    """To float32, as the host compares it with its own levels."""
    return float(torch.as_tensor(level, dtype=torch.float32))
