"""Tiny random models of the host's families, and short runs of the real samplers on them."""

from __future__ import annotations

import atexit
from functools import cache
from typing import Any

import torch

SD15 = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 32, "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 1, 2, 2], "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1] * 9 + [0] * 3, "transformer_depth_middle": 1, "context_dim": 32,
    "use_spatial_transformer": True, "use_linear_in_transformer": False, "adm_in_channels": None,
    "use_temporal_attention": False, "num_heads": 4, "num_head_channels": -1, "legacy": False,
}
SD2 = SD15 | {"use_linear_in_transformer": True, "num_heads": -1, "num_head_channels": 16}
SDXL = SD15 | {
    "context_dim": 64,
    "num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 2], "transformer_depth": [0, 0, 2, 2, 3, 3],
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 3, 3, 3], "transformer_depth_middle": 3,
    "use_linear_in_transformer": True, "adm_in_channels": 1568, "num_classes": "sequential", "num_heads": -1,
    "num_head_channels": 16,
}
FAMILIES = {"sd15": SD15, "sd2": SD2, "sdxl": SDXL}
WIDTH = 32


def _family_config(name: str, unet_config: dict[str, Any], sampling: str = "EPS"):
    import comfy.supported_models as supported

    base = {"sd15": supported.SD15, "sd2": supported.SD20, "sdxl": supported.SDXL}[name]
    heads = {k: unet_config[k] for k in ("num_heads", "num_head_channels")}
    kind = type("Tiny", (base,), {"unet_config": {}, "unet_extra_config": {**base.unet_extra_config, **heads},
                                  "model_type": lambda self, sd, prefix="": _model_type(sampling)})
    config = kind(dict(unet_config))
    config.set_inference_dtype(torch.float32, None)
    return config


def _model_type(sampling: str):
    from comfy.model_base import ModelType

    return ModelType[sampling]


def _draw_weights(network: torch.nn.Module) -> None:
    """Random weights that pass signals on: norms near one, so that the prompt reaches the picture."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(False)
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        else:
            torch.nn.init.normal_(parameter, mean=1.0 if name.endswith("weight") else 0.0, std=0.1)


@cache
def model(name: str = "sd15", seed: int = 0, sampling: str = "EPS"):
    """A ModelPatcher with random weights of a family's layout. sampling: a name of the host's ModelType."""
    import comfy.model_patcher

    torch.manual_seed(seed)
    config = _family_config(name, FAMILIES[name], sampling)
    network = config.get_model({}, "", device=torch.device("cpu"))
    _draw_weights(network.diffusion_model)
    network.diffusion_model.out[2].weight.mul_(0.1)  # gentle steps, so that rounding does not grow into chaos
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(network, load_device=cpu, offload_device=cpu)


@cache
def control_net(name: str = "sd15"):
    """A control net with random weights for a family, as ControlNetLoader gives it."""
    import comfy.cldm.cldm
    import comfy.controlnet
    import comfy.ops

    sizes = {key: value for key, value in FAMILIES[name].items() if key != "out_channels"}
    torch.manual_seed(2)
    network = comfy.cldm.cldm.ControlNet(**sizes, hint_channels=3, dtype=torch.float32, device=torch.device("cpu"),
                                         operations=comfy.ops.disable_weight_init)
    _draw_weights(network)
    for part in (*network.zero_convs, network.middle_block_out):
        part[0].weight.mul_(0.3)  # it pulls, and does not drown the model
    return comfy.controlnet.ControlNet(network, load_device=torch.device("cpu"))


@cache
def clip(name: str = "sd15"):
    """A CLIP with the stock tokenizer and random weights; SDXL's is a pair."""
    import comfy.sd

    sizes = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_attention_heads": 2, "num_hidden_layers": 3}
    target = _family_config(name, FAMILIES[name]).clip_target(state_dict={})
    options = {f"clip_{key}_model_config": sizes for key in "lgh"}
    torch.manual_seed(1)
    made = comfy.sd.CLIP(target, model_options={**options, "dtype": torch.float32})
    _draw_weights(made.cond_stage_model)
    return made


# The host's destructors need its modules; let go before Python takes those down.
atexit.register(model.cache_clear)
atexit.register(control_net.cache_clear)
atexit.register(clip.cache_clear)


def sample(patcher, positive, negative, *, seed: int = 3, steps: int = 4, cfg: float = 5.0, sampler: str = "euler",
           scheduler: str = "normal", size: tuple[int, int] = (16, 16), batch: int = 1, denoise: float = 1.0,
           latent=None) -> torch.Tensor:
    """One run of the host's KSampler under inference mode, as the executor has it."""
    from nodes import common_ksampler

    latent = latent or {"samples": torch.zeros(batch, 4, *size)}
    with torch.inference_mode():
        return common_ksampler(patcher, seed, steps, cfg, sampler, scheduler, positive, negative, latent,
                               denoise=denoise)[0]["samples"].clone()
