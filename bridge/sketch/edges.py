"""Edge maps of pictures, as targets to train a predictor on."""

from __future__ import annotations

import numpy as np
import torch

from ...core.lines import thickened
from ..errors import DirectorError


def edges_of(images: torch.Tensor, threshold: float, thickness_px: int, node: str) -> torch.Tensor:
    """Pictures [N, H, W, 3] in 0..1 to lines [N, H, W] in {0, 1}.

    Canny's detector (1986) on each colour channel, joined, so that borders between equally bright
    colours count. threshold: of the strong gradients, as a share of the largest possible step.
    """
    cv2 = _opencv(node)
    high = max(1.0, threshold * 255 * 4)  # Sobel's kernel sums to four
    pictures = (images[..., :3].clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()
    lines = []
    for picture in pictures:
        calm = cv2.GaussianBlur(picture, (3, 3), 0)
        found = [cv2.Canny(np.ascontiguousarray(calm[..., c]), high / 2, high) for c in range(3)]
        lines.append(torch.from_numpy(np.maximum.reduce(found) > 0))
    return thickened(torch.stack(lines), thickness_px).float()


def _opencv(node: str):
    try:
        import cv2
    except ImportError as error:
        raise DirectorError(node, "finding edges needs OpenCV, which is not installed (pip install opencv-python); or "
                                  "wire ready-made maps.") from error
    return cv2
