"""Pictures, a VAE that is only arithmetic, and inversions on tiny models."""

from __future__ import annotations

from functools import cache
from typing import Any

import tiny
import torch
from attention_director.bridge.inversion.invert import InversionSettings, Inverted, invert
from scene import family

CAPTION = "a red hat on the grass"


class PlainVae:
    """Eight by eight pixels a latent pixel; cuts the sides to a multiple of eight, as the host does."""

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        assert pixels.shape[0] == 1 and pixels.shape[-1] == 3
        height, width = (side // 8 * 8 for side in pixels.shape[1:3])
        small = torch.nn.functional.avg_pool2d(pixels[:, :height, :width].movedim(-1, 1), 8)
        return torch.cat([small, small.mean(1, keepdim=True)], 1) * 8 - 4

    def decode(self, latent: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate((latent[:, :3] + 4) / 8, scale_factor=8).movedim(1, -1)


def picture(height: int = 128, width: int = 128, seed: int = 0) -> torch.Tensor:
    """[1, H, W, 3] in 0..1, smooth enough to survive PlainVae."""
    noise = torch.rand(1, 3, height // 16 + 1, width // 16 + 1, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(noise, size=(height, width), mode="bilinear").movedim(1, -1)


def inverted(model: Any, clip: Any, method: str = "direct", *, steps: int = 4, scheduler: str = "normal",
             cfg: float = 5.0, seed: int = 0, image: torch.Tensor | None = None, caption: Any = CAPTION) -> Inverted:
    """An inversion under inference mode, as the executor has it."""
    with torch.inference_mode():
        return invert("Test", model, clip, PlainVae(), picture() if image is None else image, caption,
                      InversionSettings(method, steps, scheduler, cfg, seed))


def v_model(name: str = "sd2", zsnr: bool = False) -> Any:
    """The tiny model as one that predicts velocity."""
    from comfy_extras.nodes_model_advanced import ModelSamplingDiscrete

    return ModelSamplingDiscrete().patch(tiny.model(name), "v_prediction", zsnr)[0]


def flow_model(name: str = "sd15") -> Any:
    """The tiny model sampled as a rectified flow."""
    from comfy_extras.nodes_model_advanced import ModelSamplingSD3

    return ModelSamplingSD3().patch(tiny.model(name), 3.0)[0]


def kind_of_model(kind: str) -> tuple[Any, Any, list]:
    """(model, clip, negative) of sd15, sd2, sdxl, as they are or as "sd2 v", "sd2 zsnr", "sd15 flow".

    v: predicts velocity; zsnr: with zero terminal SNR too; flow: sampled as a rectified flow.
    """
    name, _, prediction = kind.partition(" ")
    model, clip, negative = family(name)
    if prediction:
        model = flow_model(name) if prediction == "flow" else v_model(name, prediction == "zsnr")
    return model, clip, negative


@cache
def made_on(kind: str, method: str = "direct", seed: int = 0) -> Inverted:
    """The usual inversion on a tiny model, made once for all tests that only look at it."""
    model, clip, _ = kind_of_model(kind)
    return inverted(model, clip, method, seed=seed)
