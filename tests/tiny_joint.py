"""Tiny random models of the families with joint attention."""

from __future__ import annotations

import atexit
from functools import cache
from typing import Any

import torch

WIDTH = 16  # of the text, as text_encoders.py has it
FLUX = {"image_model": "flux", "in_channels": 16, "out_channels": 16, "patch_size": 2, "vec_in_dim": None,
        "context_in_dim": WIDTH, "hidden_size": 64, "mlp_ratio": 2.0, "num_heads": 2, "depth": 2,
        "depth_single_blocks": 3, "axes_dim": [8, 12, 12], "theta": 10000, "qkv_bias": True, "guidance_embed": False,
        "txt_ids_dims": []}
FLUX_DEV = FLUX | {"guidance_embed": True, "vec_in_dim": WIDTH}
FLUX_2 = FLUX | {"image_model": "flux2", "in_channels": 128, "out_channels": 128, "patch_size": 1, "axes_dim": [8] * 4,
                 "theta": 2000, "global_modulation": True, "mlp_silu_act": True, "qkv_bias": False, "ops_bias": False,
                 "default_ref_method": "index", "ref_index_scale": 10.0, "txt_ids_dims": [3]}
CHROMA = {key: value for key, value in FLUX.items() if key != "guidance_embed"} | {
    "image_model": "chroma", "in_channels": 64, "out_channels": 64, "in_dim": 64, "out_dim": 64, "hidden_dim": 32,
    "n_layers": 1}
LUMINA = {"image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 96, "n_layers": 4,
          "n_refiner_layers": 2, "n_heads": 4, "n_kv_heads": 2, "multiple_of": 32, "ffn_dim_multiplier": 1.0,
          "qk_norm": True, "cap_feat_dim": WIDTH, "axes_dims": [8, 8, 8], "axes_lens": [300, 512, 512],
          "rope_theta": 10000.0}
Z_IMAGE = LUMINA | {"dim": 256, "n_kv_heads": 4, "axes_dims": [16, 24, 24], "rope_theta": 256.0,
                    "z_image_modulation": True, "time_scale": 1000.0, "pad_tokens_multiple": 32}
CONFIGS = {"flux": ("FluxSchnell", FLUX), "flux-dev": ("Flux", FLUX_DEV), "flux-2": ("Flux2", FLUX_2),
           "chroma": ("Chroma", CHROMA),
           "lumina": ("Lumina2", LUMINA), "zimage": ("ZImage", Z_IMAGE)}


@cache
def model(name: str = "flux", seed: int = 0, **other: Any):
    """A ModelPatcher of a family's layout with random weights. other: sizes in place of the configuration's."""
    import comfy.model_patcher
    import comfy.supported_models as supported

    torch.manual_seed(seed)
    kind, sizes = CONFIGS[name]
    config = getattr(supported, kind)(sizes | other)
    config.set_inference_dtype(torch.float32, None)
    network = config.get_model({}, "", device=torch.device("cpu"))
    draw_weights(network.diffusion_model)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(network, load_device=cpu, offload_device=cpu)


@cache
def control_net(seed: int = 2):
    """A control net of Flux.1 with random weights, as ControlNetLoader gives it."""
    import comfy.controlnet
    import comfy.ops
    from comfy.ldm.flux.controlnet import ControlNetFlux

    torch.manual_seed(seed)
    network = ControlNetFlux(**FLUX_DEV, dtype=torch.float32, device=torch.device("cpu"),
                             operations=comfy.ops.disable_weight_init)
    draw_weights(network)
    for block in (*network.controlnet_blocks, *network.controlnet_single_blocks):
        block.weight.mul_(0.3)  # it pulls, and does not drown the model
    return comfy.controlnet.ControlNet(network, load_device=torch.device("cpu"), extra_conds=["y", "guidance"])


@cache
def vae(name: str = "flux", seed: int = 0):
    """The host's tiny autoencoder for a family's latents, with random weights."""
    import comfy.sd
    from comfy.taesd.taesd import TAESD

    channels = model(name).model.latent_format.latent_channels
    torch.manual_seed(seed)
    weights = {key: torch.randn_like(value) * value[0].numel() ** -0.5 if value.ndim > 1 else
               torch.full_like(value, float(key == "vae_scale"))
               for key, value in TAESD(latent_channels=channels).state_dict().items()}
    return comfy.sd.VAE(sd=weights, metadata={"tae_latent_channels": channels})


def draw_weights(network: torch.nn.Module) -> None:
    """Random weights; the norms of q and k around 2, so that wrong positions show in the picture."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(False)
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=parameter[0].numel() ** -0.5)
        elif "norm" in name:
            torch.nn.init.normal_(parameter, mean=2.0 if "q_norm" in name or "k_norm" in name or
                                  "query_norm" in name or "key_norm" in name else 1.0, std=0.1)
        else:
            torch.nn.init.normal_(parameter, std=0.1)


def context(tokens: int, seed: int = 5, rows: int = 1) -> torch.Tensor:
    """What a text encoder might give: [rows, tokens, C]."""
    return torch.randn(rows, tokens, WIDTH, generator=torch.Generator().manual_seed(seed))


def conditioning(tokens: int, seed: int = 5, **values: Any) -> list[list[Any]]:
    return [[context(tokens, seed), values]]


atexit.register(model.cache_clear)
atexit.register(control_net.cache_clear)
atexit.register(vae.cache_clear)
