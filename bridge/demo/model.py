"""The tiny world through the host's own model classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfy.utils
import folder_paths
import torch
from comfy.model_detection import detect_unet_config

from ..errors import DirectorError
from ..files import ASSETS
from ..text.known_words import KNOWN_WORDS

NODE = "AttnDirLoadDemoModel"
ASSET = ASSETS / "tiny_world.safetensors"
UNET_PREFIX = "model.diffusion_model."
TOKEN_TABLE = "cond_stage_model.transformer.text_model.embeddings.token_embedding."
VOCABULARY_SIZE = 49408


class TinyWorld(comfy.supported_models.SD15):
    """Stable Diffusion 1.5 with fewer channels and heads. Not in the host's list of models."""

    unet_config: dict[str, Any] = {}
    unet_extra_config = {"num_heads": 4, "num_head_channels": -1}


def load_demo_model() -> tuple[Any, Any, Any]:
    """MODEL, CLIP, VAE. Raises DirectorError when the file is missing."""
    return (_load_model(str(ASSET)), _load_clip(str(ASSET)), _load_vae(str(ASSET)))


def _read(path: str) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    if not Path(path).is_file():
        raise DirectorError(NODE, f"{Path(path).name} is missing from the pack's assets; install the pack again.")
    weights, facts = comfy.utils.load_torch_file(path, safe_load=True, return_metadata=True)
    return weights, facts or {}


def _load_model(path: str, disable_dynamic: bool = False) -> Any:
    weights, _ = _read(path)
    config = TinyWorld(detect_unet_config(weights, UNET_PREFIX))
    device = comfy.model_management.get_torch_device()
    parameters = comfy.utils.calculate_parameters(weights, UNET_PREFIX)
    dtype = comfy.model_management.unet_dtype(
        model_params=parameters, supported_dtypes=config.supported_inference_dtypes,
        weight_dtype=comfy.utils.weight_dtype(weights, UNET_PREFIX))
    cast = comfy.model_management.unet_manual_cast(dtype, device, config.supported_inference_dtypes)
    config.set_inference_dtype(dtype, cast, device=device)
    start = comfy.model_management.unet_inital_load_device(parameters, dtype)
    model = config.get_model(weights, UNET_PREFIX, device=start)
    kind = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = kind(model, load_device=device, offload_device=comfy.model_management.unet_offload_device())
    model.load_model_weights(weights, UNET_PREFIX, assign=patcher.is_dynamic())
    patcher.cached_patcher_init = (_load_model, (path,))
    return patcher


def _load_clip(path: str, disable_dynamic: bool = False) -> Any:
    weights, facts = _read(path)
    weights[TOKEN_TABLE + "weight"] = token_table(weights.pop(TOKEN_TABLE + "rows"), weights.pop(TOKEN_TABLE + "ids"))
    target = TinyWorld({}).clip_target(state_dict=weights)
    own = TinyWorld({}).process_clip_state_dict(weights)
    clip = comfy.sd.CLIP(
        target, embedding_directory=folder_paths.get_folder_paths("embeddings"), tokenizer_data=own,
        parameters=comfy.utils.calculate_parameters(own), state_dict=own, disable_dynamic=disable_dynamic,
        model_options={"clip_l_model_config": json.loads(facts["clip_l_model_config"])})
    clip.patcher.cached_patcher_init = (_load_clip_patcher, (path,))
    known = json.loads(facts["known_words"])
    clip.patcher.set_attachments(KNOWN_WORDS, frozenset(word for group in known.values() for word in group))
    return clip


def _load_clip_patcher(path: str, disable_dynamic: bool = False) -> Any:
    return _load_clip(path, disable_dynamic).patcher


def _load_vae(path: str, disable_dynamic: bool = False) -> Any:
    weights, _ = _read(path)
    prefix = "first_stage_model."
    own = comfy.utils.state_dict_prefix_replace(weights, {prefix: ""}, filter_keys=True)
    own |= {"vae_scale": torch.tensor(TinyWorld.latent_format().scale_factor), "vae_shift": torch.tensor(0.0)}
    vae = comfy.sd.VAE(sd=own)
    vae.patcher.cached_patcher_init = (_load_vae_patcher, (path,))
    return vae


def _load_vae_patcher(path: str, disable_dynamic: bool = False) -> Any:
    return _load_vae(path, disable_dynamic).patcher


def token_table(rows: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The full embedding table [49408, C]: stored rows at their tokens, the neutral row elsewhere."""
    table = rows[:1].expand(VOCABULARY_SIZE, -1).clone()
    table[ids.long()] = rows[1:]
    return table
