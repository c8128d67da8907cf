"""The demo models through the host's own model, text encoder and VAE classes."""

from __future__ import annotations

from functools import partial
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfy.supported_models_base
import comfy.text_encoders.sd3_clip
import comfy.utils
import folder_paths
import torch
from comfy import sd1_clip
from comfy.model_detection import detect_unet_config, model_config_from_unet

from ..text.known_words import KNOWN_WORDS, KnownWords
from .file import DemoFile, path_of, read

HEADS = 4  # of a UNet whose file does not say
T5_TOKENS = 64  # what the transformer was trained with; the stock tokenizer pads to 256 and more


class DemoUnet(comfy.supported_models.SD15):
    """Stable Diffusion 1.5 with fewer channels and heads. Not in the host's list of models."""

    unet_config: dict[str, Any] = {}
    unet_extra_config = {"num_heads": HEADS, "num_head_channels": -1}


class SmallT5(sd1_clip.SD1ClipModel):
    """The host's T5 alone: Flux's text encoder without the CLIP, whose pooled vector the demo model does not read."""

    def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: dict[str, Any] | None = None) -> None:
        kind: Any = comfy.text_encoders.sd3_clip.T5XXLModel
        super().__init__(device=device, dtype=dtype, name="t5xxl", model_options=model_options or {}, clip_model=kind)


class SmallT5Tokenizer(sd1_clip.SD1Tokenizer):
    """The stock T5 tokenizer, padded to fewer tokens."""

    def __init__(self, embedding_directory: Any = None, tokenizer_data: dict[str, Any] | None = None) -> None:
        kind: Any = partial(comfy.text_encoders.sd3_clip.T5XXLTokenizer, min_length=T5_TOKENS)
        super().__init__(embedding_directory=embedding_directory, tokenizer_data=tokenizer_data or {},
                         clip_name="t5xxl", tokenizer=kind)


def load_demo_model(choice: str = "UNet") -> tuple[Any, Any, Any]:
    """MODEL, CLIP, VAE of "UNet" or "transformer". Raises DirectorError when the file is missing."""
    return load_file(str(path_of(choice)))


def load_file(path: str) -> tuple[Any, Any, Any]:
    """MODEL, CLIP, VAE of any file of this kind."""
    return _load_model(path), _load_clip(path), _load_vae(path)


def _configuration(file: DemoFile) -> Any:
    """The host's: SD1.5's with narrower heads, or whatever it detects in a transformer."""
    prefix = file.prefixes.model
    if file.kind == "unet":
        heads = file.fact("model_config")["heads"] if "model_config" in file.facts else HEADS
        extra = {"num_heads": heads, "num_head_channels": -1}
        return type("DemoUnet", (DemoUnet,), {"unet_extra_config": extra})(detect_unet_config(file.weights, prefix))
    config: Any = model_config_from_unet(file.part(prefix), prefix)
    if "shift" in file.facts:  # of the noise levels it generates best with; the host's default is another model's
        config.sampling_settings = config.sampling_settings | {"shift": file.fact("shift")}
    return config


def _load_model(path: str, disable_dynamic: bool = False) -> Any:
    file = read(path)
    prefix, weights = file.prefixes.model, file.part(file.prefixes.model)
    config = _configuration(file)
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
    patcher.cached_patcher_init = (_load_model, (path,))
    return patcher


def _text_encoder(file: DemoFile) -> tuple[Any, dict[str, torch.Tensor], str]:
    """The host's classes for it, their weights, and the name under which they take a configuration."""
    text = file.part(file.prefixes.text)
    if file.kind == "unet":
        config = DemoUnet({})
        return config.clip_target(state_dict=text), config.process_clip_state_dict(text), "clip_l_model_config"
    own = comfy.utils.state_dict_prefix_replace(text, {file.prefixes.text: ""}, filter_keys=True)
    return comfy.supported_models_base.ClipTarget(SmallT5Tokenizer, SmallT5), own, "t5xxl_model_config"


def _load_clip(path: str, disable_dynamic: bool = False) -> Any:
    file = read(path)
    target, own, config = _text_encoder(file)
    sizes = file.fact("text_config" if "text_config" in file.facts else "clip_l_model_config")
    clip = comfy.sd.CLIP(
        target, embedding_directory=folder_paths.get_folder_paths("embeddings"),
        tokenizer_data=own if file.kind == "unet" else {}, parameters=comfy.utils.calculate_parameters(own),
        state_dict=own, disable_dynamic=disable_dynamic, model_options={config: sizes})
    clip.patcher.cached_patcher_init = (_load_clip_patcher, (path,))
    words = frozenset(word for group in file.fact("known_words").values() for word in group)
    clip.patcher.set_attachments(KNOWN_WORDS, KnownWords(words, file.facts.get("example", "a red circle")))
    return clip


def _load_clip_patcher(path: str, disable_dynamic: bool = False) -> Any:
    return _load_clip(path, disable_dynamic).patcher


def _load_vae(path: str, disable_dynamic: bool = False) -> Any:
    file = read(path)
    own = comfy.utils.state_dict_prefix_replace(file.weights, {file.prefixes.vae: ""}, filter_keys=True)
    if "vae_scale" not in own:
        own |= {"vae_scale": torch.tensor(DemoUnet.latent_format().scale_factor), "vae_shift": torch.tensor(0.0)}
    vae = comfy.sd.VAE(sd=own)
    vae.patcher.cached_patcher_init = (_load_vae_patcher, (path,))
    return vae


def _load_vae_patcher(path: str, disable_dynamic: bool = False) -> Any:
    return _load_vae(path, disable_dynamic).patcher
