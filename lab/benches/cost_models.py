"""Networks of the models' own sizes with random weights, and of the same forms at a toy's, for the cost of methods."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

SD15 = {
    "image_size": 32, "in_channels": 4, "out_channels": 4, "model_channels": 320, "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4], "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_output": [1] * 9 + [0] * 3, "transformer_depth_middle": 1, "context_dim": 768,
    "use_spatial_transformer": True, "use_linear_in_transformer": False, "adm_in_channels": None,
    "use_temporal_attention": False, "num_heads": 8, "num_head_channels": -1, "legacy": False,
}
SDXL = SD15 | {
    "num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 4], "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10], "transformer_depth_middle": 10, "context_dim": 2048,
    "use_linear_in_transformer": True, "adm_in_channels": 2816, "num_classes": "sequential", "num_heads": -1,
    "num_head_channels": 64,
}
# A block of each kind.
FLUX = {
    "image_model": "flux", "in_channels": 16, "out_channels": 16, "patch_size": 2, "vec_in_dim": 768,
    "context_in_dim": 4096, "hidden_size": 3072, "mlp_ratio": 4.0, "num_heads": 24, "depth": 1,
    "depth_single_blocks": 1, "axes_dim": [16, 56, 56], "theta": 10000, "qkv_bias": True, "guidance_embed": False,
    "txt_ids_dims": [],
}


class Kind(NamedTuple):
    """kind: of the host's supported models. sizes, toy: its network's. side: of the latents at full size. encoders: the
    host's names of its text encoders, which are short, for they are not timed."""

    kind: str
    sizes: dict[str, Any]
    toy: dict[str, Any]
    side: int
    encoders: str


KINDS = {
    "sd15": Kind("SD15", SD15, {"model_channels": 32}, 64, "l"),
    "sdxl": Kind("SDXL", SDXL, {"model_channels": 64, "transformer_depth": [0, 0, 1, 1, 1, 1],
                                "transformer_depth_output": [0, 0, 0, 1, 1, 1, 1, 1, 1], "transformer_depth_middle": 1},
                 128, "lg"),
    "flux": Kind("FluxSchnell", FLUX, {"hidden_size": 256, "num_heads": 2, "context_in_dim": 64}, 128, ""),
}
TOY_SIDE = 16


def random_model(name: str = "sd15", toy: bool = False) -> tuple[Any, Any]:
    """MODEL and CLIP (None where a prompt is made without one) with random weights, on the host's device."""
    import comfy.model_management
    import comfy.model_patcher
    import comfy.supported_models

    found = KINDS[name]
    base = getattr(comfy.supported_models, found.kind)
    sizes = found.sizes | (found.toy if toy else {})
    heads = {key: sizes[key] for key in ("num_heads", "num_head_channels") if key in sizes}
    kind = type("Random", (base,), {"unet_config": {}, "unet_extra_config": {**base.unet_extra_config, **heads}})
    config: Any = kind(dict(sizes))
    device = comfy.model_management.get_torch_device()
    config.set_inference_dtype(torch.float16 if device.type == "cuda" else torch.float32, None)
    network = config.get_model({}, "", device=device)
    torch.manual_seed(0)
    for parameter_name, p in network.diffusion_model.named_parameters():
        p.requires_grad_(False)
        if p.ndim > 1:
            p.normal_(std=p[0].numel() ** -0.5)
        else:
            p.fill_(1.0 if parameter_name.endswith(("weight", "scale")) else 0.0)
    model = comfy.model_patcher.ModelPatcher(network, load_device=device, offload_device=device)
    return model, _random_clip(config, found.encoders) if found.encoders else None


def _random_clip(config: Any, encoders: str) -> Any:
    import comfy.sd

    sizes = {"num_hidden_layers": 3, "intermediate_size": 1024}
    options = {f"clip_{letter}_model_config": sizes for letter in encoders}
    clip = comfy.sd.CLIP(config.clip_target(state_dict={}), model_options={**options, "dtype": torch.float32})
    for p in clip.cond_stage_model.parameters():
        p.requires_grad_(False).normal_(std=0.02)
    return clip
