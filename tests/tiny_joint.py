"""Tiny random models of the families with joint attention."""

from __future__ import annotations

import atexit
from functools import cache
from typing import Any

import torch

FLUX = {"in_channels": 16, "out_channels": 16, "patch_size": 2, "vec_in_dim": None, "context_in_dim": 24,
        "hidden_size": 64, "mlp_ratio": 2.0, "num_heads": 2, "depth": 2, "depth_single_blocks": 3,
        "axes_dim": [8, 12, 12], "theta": 10000, "qkv_bias": True, "guidance_embed": False, "txt_ids_dims": []}


@cache
def flux(seed: int = 0):
    """A ModelPatcher of Flux's layout with random weights, sampled as a flow."""
    import comfy.model_patcher
    import comfy.supported_models as supported

    torch.manual_seed(seed)
    config = supported.FluxSchnell({"image_model": "flux", **FLUX})
    config.set_inference_dtype(torch.float32, None)
    network = config.get_model({}, "", device=torch.device("cpu"))
    draw_weights(network.diffusion_model)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(network, load_device=cpu, offload_device=cpu)


def draw_weights(network: torch.nn.Module) -> None:
    """Random weights; the norms of q and k around 2, so that wrong positions show in the picture."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(False)
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        elif "norm" in name:
            torch.nn.init.normal_(parameter, mean=2.0, std=0.1)
        else:
            torch.nn.init.normal_(parameter, std=0.1)


def context(tokens: int, seed: int = 5, rows: int = 1) -> torch.Tensor:
    """What a text encoder might give: [rows, tokens, C]."""
    return torch.randn(rows, tokens, FLUX["context_in_dim"], generator=torch.Generator().manual_seed(seed))


def conditioning(tokens: int, seed: int = 5, **values: Any) -> list[list[Any]]:
    return [[context(tokens, seed), values]]


atexit.register(flux.cache_clear)
