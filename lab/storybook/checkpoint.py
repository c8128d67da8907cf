"""The storybook's two models through the host's own classes: ``engine.enter()`` comes first.

Written as the pack's loader of the demo model is, whose place it takes when the weights are final.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfy.supported_models_base
import comfy.text_encoders.sd3_clip
import comfy.utils
import torch
from comfy import sd1_clip
from comfy.model_detection import detect_unet_config, model_config_from_unet

from .storage import NAMES, Weights, read
from .words import T5

KNOWN_WORDS = "attention_director_known_words"


class StorybookUnet(comfy.supported_models.SD15):
    """Stable Diffusion 1.5 with fewer channels and heads. Not in the host's list of models."""

    unet_config: dict[str, Any] = {}
    unet_extra_config = {"num_heads": 4, "num_head_channels": -1}


class StorybookText(sd1_clip.SD1ClipModel):
    """The host's T5, small, alone: Flux's text encoder without the CLIP whose pooled vector nothing reads."""

    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: dict[str, Any] | None = None) -> None:
        super().__init__(device=device, dtype=dtype, name="t5xxl", model_options=model_options or {},
                         clip_model=comfy.text_encoders.sd3_clip.T5XXLModel)


class StorybookTokenizer(sd1_clip.SD1Tokenizer):
    """The stock T5 tokenizer, padded to the 64 tokens the transformer was trained with."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: dict[str, Any] | None = None) -> None:
        super().__init__(embedding_directory=embedding_directory, tokenizer_data=tokenizer_data or {},
                         clip_name="t5xxl",
                         tokenizer=partial(comfy.text_encoders.sd3_clip.T5XXLTokenizer, min_length=T5.length))


def load_storybook(path: Path | str) -> tuple[Any, Any, Any]:
    """MODEL, CLIP, VAE of a file that storage.py wrote, UNet or transformer."""
    return load_model(str(path)), load_clip(str(path)), load_vae(str(path))


def configuration(weights: Weights, facts: dict[str, str], prefix: str) -> Any:
    """The host's model configuration: detected by the host, or SD1.5's with the file's own heads."""
    sizes = json.loads(facts["model_config"])
    if facts["model"] == "unet":
        extra = {"num_heads": sizes["heads"], "num_head_channels": -1}
        kind = type("StorybookUnet", (StorybookUnet,), {"unet_extra_config": extra})
        return kind(detect_unet_config(weights, prefix))
    config: Any = model_config_from_unet(weights, prefix)
    if list(sizes["axes"]) != config.unet_config["axes_dim"]:  # heads narrower than the host assumes
        heads = sizes["hidden"] // sum(sizes["axes"])
        config.unet_config |= {"axes_dim": list(sizes["axes"]), "num_heads": heads}
    return config


def load_model(path: str, disable_dynamic: bool = False) -> Any:
    """The host's ModelPatcher over the model."""
    weights, facts = read(Path(path))
    prefix = NAMES[facts["model"]].model
    weights = {key: value for key, value in weights.items() if key.startswith(prefix)}
    config = configuration(weights, facts, prefix)
    device = comfy.model_management.get_torch_device()
    parameters = comfy.utils.calculate_parameters(weights, prefix)
    dtype = comfy.model_management.unet_dtype(
        model_params=parameters, supported_dtypes=config.supported_inference_dtypes,
        weight_dtype=comfy.utils.weight_dtype(weights, prefix))
    cast = comfy.model_management.unet_manual_cast(dtype, device, config.supported_inference_dtypes)
    config.set_inference_dtype(dtype, cast, device=device)
    start = comfy.model_management.unet_inital_load_device(parameters, dtype)
    model = config.get_model(weights, prefix, device=start)
    kind = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = kind(model, load_device=device, offload_device=comfy.model_management.unet_offload_device())
    model.load_model_weights(weights, prefix, assign=patcher.is_dynamic())
    patcher.cached_patcher_init = (load_model, (path,))
    return patcher


def load_clip(path: str, disable_dynamic: bool = False) -> Any:
    """The host's CLIP: the small CLIP, or the small T5."""
    stored, facts = read(Path(path))
    model = facts["model"]
    names = NAMES[model]
    rows, ids = stored.pop(names.table + ".rows"), stored.pop(names.table + ".ids")
    stored[names.table + ".weight"] = token_table(rows, ids, names.words.size)
    if model == "unet":
        config = StorybookUnet({})
        target, own = config.clip_target(state_dict=stored), config.process_clip_state_dict(stored)
        options = {"clip_l_model_config": json.loads(facts["text_config"])}
    else:
        target = comfy.supported_models_base.ClipTarget(StorybookTokenizer, StorybookText)
        own = comfy.utils.state_dict_prefix_replace(stored, {"text_encoders.": ""}, filter_keys=True)
        options = {"t5xxl_model_config": json.loads(facts["text_config"])}
    clip = comfy.sd.CLIP(target, parameters=comfy.utils.calculate_parameters(own), state_dict=own,
                         tokenizer_data=own if model == "unet" else {}, disable_dynamic=disable_dynamic,
                         model_options=options)
    clip.patcher.cached_patcher_init = (load_clip_patcher, (path,))
    known = json.loads(facts["known_words"])
    clip.patcher.set_attachments(KNOWN_WORDS, frozenset(word for group in known.values() for word in group))
    return clip


def load_clip_patcher(path: str, disable_dynamic: bool = False) -> Any:
    return load_clip(path, disable_dynamic).patcher


def load_vae(path: str, disable_dynamic: bool = False) -> Any:
    """The host's VAE over TAESD, 4 or 16 channels."""
    stored, facts = read(Path(path))
    own = comfy.utils.state_dict_prefix_replace(stored, {NAMES[facts["model"]].vae: ""}, filter_keys=True)
    vae = comfy.sd.VAE(sd=own)
    vae.patcher.cached_patcher_init = (load_vae_patcher, (path,))
    return vae


def load_vae_patcher(path: str, disable_dynamic: bool = False) -> Any:
    return load_vae(path, disable_dynamic).patcher


def token_table(rows: torch.Tensor, ids: torch.Tensor, size: int) -> torch.Tensor:
    """The full embedding table [size, C]: stored rows at their tokens, the neutral row elsewhere."""
    table = rows[:1].expand(size, -1).clone()
    table[ids.long()] = rows[1:]
    return table
