"""Synthetic adapters in FastComposer's published layout, as wide as the tiny models, and graphs with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny
import torch

HIDDEN, LAYERS, IMAGE, PATCH = 64, 2, 32, 8


def published(width: int = tiny.WIDTH, unet: bool = True, seed: int = 5) -> dict[str, torch.Tensor]:
    """A full state dict of the training model with random weights, by the published names."""
    from attention_director.bridge.identity.vision import tower_state
    from attention_director.core.fuse import FuseModule

    torch.manual_seed(seed)
    out = {f"postfuse_module.{k}": v.clone() for k, v in FuseModule(width).state_dict().items()}
    config = {"hidden_act": "quick_gelu", "hidden_size": HIDDEN, "image_size": IMAGE, "intermediate_size": 2 * HIDDEN,
              "model_type": "clip_vision_model", "num_attention_heads": 1, "num_channels": 3,
              "num_hidden_layers": LAYERS, "patch_size": PATCH, "projection_dim": width}
    for name in tower_state(config):
        out[f"image_encoder.{name}"] = _vision_tensor(name, width)
    out["image_encoder.vision_model.embeddings.position_ids"] = torch.arange((IMAGE // PATCH) ** 2 + 1)[None]
    out["text_encoder.embeddings.token_embedding.weight"] = torch.randn(5, width)
    out["text_encoder.final_layer_norm.weight"] = torch.ones(width)
    out["vae.quant_conv.weight"] = torch.randn(8, 8, 1, 1)
    return out | (diffusers_unet() if unet else {})


def _vision_tensor(name: str, width: int) -> torch.Tensor:
    sizes = {"class_embedding": (HIDDEN,), "patch_embedding.weight": (HIDDEN, 3, PATCH, PATCH),
             "position_embedding.weight": ((IMAGE // PATCH) ** 2 + 1, HIDDEN), "fc1.weight": (2 * HIDDEN, HIDDEN),
             "fc1.bias": (2 * HIDDEN,), "fc2.weight": (HIDDEN, 2 * HIDDEN), "fc2.bias": (HIDDEN,),
             "visual_projection.weight": (width, HIDDEN)}
    size = next((s for end, s in sizes.items() if name.endswith(end)), None)
    if size is None:
        size = (HIDDEN, HIDDEN) if name.endswith("_proj.weight") else (HIDDEN,)
    if len(size) > 1:
        return torch.randn(size) * torch.zeros(size)[0].numel() ** -0.5
    return torch.ones(size) if name.endswith("weight") else 0.1 * torch.randn(size)


def diffusers_unet(seed: int = 7) -> dict[str, torch.Tensor]:
    """The tiny SD1.5 model's UNet with other weights, by diffusers' names."""
    import comfy.utils

    network = tiny.model("sd15", seed).model
    own = network.diffusion_model.state_dict()
    names = comfy.utils.unet_to_diffusers(network.model_config.unet_config)
    return {f"unet.{theirs}": own[ours].clone() for theirs, ours in names.items() if ours in own}


def low_rank(model: Any, rank: int = 2) -> dict[str, torch.Tensor]:
    """Low-rank changes of every linear layer of cross-attention, and of one convolution."""
    torch.manual_seed(3)
    out = {}
    for name, module in model.model.diffusion_model.named_modules():
        if ".attn2.to_" in name and isinstance(module, torch.nn.Linear):
            up, down = (module.out_features, rank), (rank, module.in_features)
        elif name == "input_blocks.1.0.in_layers.2":
            up, down = (module.out_channels, rank, 1, 1), (rank, module.in_channels, 3, 3)
        else:
            continue
        out[f"unet_lora.diffusion_model.{name}.lora_up.weight"] = 0.3 * torch.randn(up)
        out[f"unet_lora.diffusion_model.{name}.lora_down.weight"] = 0.3 * torch.randn(down)
    return out


def save(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    """By the suffix: safetensors, or a pickle as torch.save writes it."""
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({k: v.contiguous().clone() for k, v in weights.items()}, str(path))
    else:
        torch.save(weights, path)
    return path


def adapter(path: Path, weights: dict[str, torch.Tensor] | None = None) -> Any:
    from attention_director.bridge.identity.adapter import load_adapter

    return load_adapter("AttnDirLoadAdapter", save(path, weights or published()))[0]


def picture(seed: int = 0, height: int = 40, width: int = 24) -> torch.Tensor:
    return torch.rand(1, height, width, 3, generator=torch.Generator().manual_seed(seed))


def subjects(*parts: tuple[Any, ...]) -> tuple:
    """Subjects of (phrase, pictures[, strength[, mask]])."""
    from attention_director.nodes.identity_subject import AttnDirSubject

    made: tuple = ()
    for phrase, images, *rest in parts or (("hat", picture(1)), ("dog", picture(2))):
        strength, mask = (*rest, 1.0, None)[:2] if not rest else (*rest, None)[:2]
        made = AttnDirSubject.execute(phrase, images, strength, mask, made).args[0]
    return made


def identity(model: Any, clip: Any, given: Any, text: Any, parts: tuple | None = None, **changes: Any) -> tuple:
    """IdentityInject.execute as the host calls it: (model, positive)."""
    from attention_director.nodes.identity_inject import IdentityInject

    settings = {"strength": 1.0, "start_percent": 0.3, "strength_model": 1.0, "localise": 0.0} | changes
    with torch.inference_mode():
        return IdentityInject.execute(model, clip, text, subjects() if parts is None else parts, adapter=given,
                                      **settings).args
