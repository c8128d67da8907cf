"""The predicted lines as the sampler's live preview."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import comfy.utils
import torch
from PIL import Image

PREVIEW_PX = 512


def with_edge_preview(callback: Callable[..., Any] | None, edges: Callable[[], torch.Tensor | None]) -> Any:
    """The sampler's callback, followed by a preview of the lines where there are any yet.

    x0 is handed on untouched: it becomes the host's denoised output.
    """
    bar = comfy.utils.ProgressBar(1)

    def both(i: int, denoised: torch.Tensor, x: torch.Tensor, total: int) -> None:
        if callback is not None:
            callback(i, denoised, x, total)
        found = edges()
        if found is not None:
            bar.update_absolute(i + 1, total, ("JPEG", edge_image(found[0]), PREVIEW_PX))

    return both


def edge_image(lines: torch.Tensor) -> Image.Image:
    """Lines [h, w] in 0..1 as a grey picture, enlarged by whole pixels."""
    grey = lines.detach().mul(255).round().to("cpu", torch.uint8).numpy()
    scale = max(1, PREVIEW_PX // max(grey.shape))
    return Image.fromarray(grey).resize((grey.shape[1] * scale, grey.shape[0] * scale), Image.Resampling.NEAREST)
