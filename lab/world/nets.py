"""The world's three networks, built from the host's own classes and initialised for training."""

from __future__ import annotations

import torch
from torch import nn

LATENT_CHANNELS = 4
CONTEXT_DIM = 128

# SD1.5's block layout (two residual blocks a level, a transformer after each) on a 16 x 16 latent:
# grids of 16, 8 and 4, attention at every level. Equal widths spend the 24 MB where attention is.
UNET_CONFIG = {
    "image_size": 32,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "model_channels": 96,
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 1, 1],
    "transformer_depth": [1] * 6,
    "transformer_depth_output": [1] * 9,
    "transformer_depth_middle": 1,
    "context_dim": CONTEXT_DIM,
    "use_spatial_transformer": True,
    "use_linear_in_transformer": False,
    "use_temporal_attention": False,
    "adm_in_channels": None,
    "num_heads": 4,
    "num_head_channels": -1,
    "legacy": False,
}
TEXT_CONFIG = {
    "hidden_size": CONTEXT_DIM,
    "intermediate_size": 4 * CONTEXT_DIM,
    "num_attention_heads": 4,
    "num_hidden_layers": 4,
}


def initialise(net: nn.Module) -> nn.Module:
    """Give every layer torch's default initial weights; the host's classes leave memory as it is."""
    for module in net.modules():
        for kind in (nn.Linear, nn.Conv2d, nn.Embedding, nn.LayerNorm, nn.GroupNorm):
            if isinstance(module, kind):
                kind.reset_parameters(module)  # type: ignore[arg-type]
                for parameter in module.parameters(recurse=False):
                    parameter.requires_grad_(True)
    return net


def build_vae() -> nn.Module:
    """The host's TAESD, four latent channels."""
    from comfy.taesd.taesd import TAESD

    net = initialise(TAESD(latent_channels=LATENT_CHANNELS))
    net.vae_scale.requires_grad_(False)
    net.vae_shift.requires_grad_(False)
    return net


def build_unet() -> nn.Module:
    """The host's UNetModel in SD1.5's layout; residual branches and the output start at zero."""
    import comfy.ops
    from comfy.ldm.modules.attention import SpatialTransformer
    from comfy.ldm.modules.diffusionmodules.openaimodel import ResBlock, UNetModel

    net = initialise(UNetModel(**UNET_CONFIG, dtype=torch.float32, operations=comfy.ops.disable_weight_init))
    for module in net.modules():
        if isinstance(module, ResBlock):
            nn.init.zeros_(module.out_layers[-1].weight)
            nn.init.zeros_(module.out_layers[-1].bias)
        elif isinstance(module, SpatialTransformer):
            nn.init.zeros_(module.proj_out.weight)
            nn.init.zeros_(module.proj_out.bias)
    nn.init.zeros_(net.out[-1].weight)
    nn.init.zeros_(net.out[-1].bias)
    return net


def count_parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())
