"""The adapter's own UNet weights as the host's weight patches.

Method: FastComposer, arXiv 2305.10431. Written from the paper; no code copied.
"""

from __future__ import annotations

from typing import Any
from uuid import uuid5

import comfy.lora
import comfy.utils

from ..errors import DirectorError
from .adapter import LOW_RANK, UNET, Adapter, Weights, first_of

PREFIX = "diffusion_model."


def with_unet(node: str, model: Any, adapter: Adapter, strength: float, base: Any = None) -> Any:
    """A clone of the model with the adapter's UNet weights; the model itself where there is nothing to add.

    A whole UNet W' replaces: (1 - s) W + s W'; with the ``base`` MODEL it was trained from only the
    difference is added: W + s (W' - W_base). Low-rank changes are added, s up down. Raises DirectorError
    unless every tensor finds its place.
    """
    if not strength or not (adapter.unet or adapter.low_rank):
        return model
    clone = model.clone()
    if adapter.low_rank:
        _add_low_rank(node, clone, adapter, strength)
    else:
        _add_whole(node, clone, adapter, strength, base)
    # The same patches on the same model have the same name, so that the host does not put them on the weights
    # again when only a picture or the prompt has changed.
    names = (model.patches_uuid, strength, None if base is None else base.patches_uuid)
    clone.patches_uuid = uuid5(adapter.key, repr(names))
    return clone


def _add_whole(node: str, clone: Any, adapter: Adapter, strength: float, base: Any) -> None:
    weights = host_weights(node, clone, adapter)
    if base is None:
        _expect_all(node, adapter, weights, clone.add_patches({k: (w,) for k, w in weights.items()}, strength,
                                                              1.0 - strength))
        return
    _check_base(node, clone, base)
    _expect_all(node, adapter, weights, clone.add_patches({k: (w,) for k, w in weights.items()}, strength))
    removed = base.get_key_patches(PREFIX)
    _expect_all(node, adapter, removed, clone.add_patches(removed, -strength))


def host_weights(node: str, model: Any, adapter: Adapter) -> Weights:
    """The whole UNet by the host's names. Raises DirectorError, naming what is missing or does not fit."""
    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    own = {k: v.shape for k, v in model.model.state_dict().items() if k.startswith(PREFIX)}
    # Names that this UNet has none of belong to other layouts that the host's list also knows.
    names = {theirs: PREFIX + ours for theirs, ours in names.items() if PREFIX + ours in own}
    missing = [UNET + name for name in names if name not in adapter.unet]
    strange = [UNET + name for name in adapter.unet if name not in names]
    for found in (missing, strange):
        if found:
            raise DirectorError(node, f'"{adapter.name}" {"lacks" if found is missing else "contains the unknown"} '
                                      f"{first_of(sorted(found))}; set strength_model to 0 or use an "
                                      "adapter for this model.")
    wrong = [f"{UNET}{name} is {tuple(adapter.unet[name].shape)}, this model's {tuple(own[ours])}"
             for name, ours in names.items() if adapter.unet[name].shape != own[ours]]
    if wrong:
        raise DirectorError(node, f'"{adapter.name}": {wrong[0]}; set strength_model to 0 or use an '
                                  "adapter for this model.")
    return {ours: adapter.unet[theirs] for theirs, ours in names.items()}


def _expect_all(node: str, adapter: Adapter, wanted: Any, taken: list[Any]) -> None:
    """The host skips keys it does not know without a word."""
    lost = sorted(set(map(str, wanted)) - set(map(str, taken)))
    if lost:
        raise DirectorError(node, f'"{adapter.name}": {len(lost)} of {len(wanted)} UNet tensors do not exist in this '
                                  f"model, such as {lost[0]}; set strength_model to 0 or use another adapter.")


def _add_low_rank(node: str, clone: Any, adapter: Adapter, strength: float) -> None:
    layers = {name.rpartition(".lora_")[0] for name in adapter.low_rank}
    own = {k: v.shape for k, v in clone.model.state_dict().items()}
    patches = comfy.lora.load_lora(dict(adapter.low_rank), comfy.lora.model_lora_keys_unet(clone.model, {}))
    missing = sorted(layers - {str(key).removesuffix(".weight") for key in patches})
    if missing:
        raise DirectorError(node, f'"{adapter.name}": {len(missing)} of {len(layers)} changed layers are not in this '
                                  f"model, such as {LOW_RANK}{missing[0]}; it is for another model.")
    for layer in layers:
        up, down = (adapter.low_rank[f"{layer}.lora_{which}.weight"] for which in ("up", "down"))
        shape = own[f"{layer}.weight"]
        if (up.shape[0], down[0].numel()) != (shape[0], shape[1:].numel()):
            raise DirectorError(node, f'"{adapter.name}": {LOW_RANK}{layer} changes {up.shape[0]} x {down[0].numel()} '
                                      f"weights and this model's layer is {tuple(shape)}; it is for another model.")
    _expect_all(node, adapter, patches, clone.add_patches(patches, strength))


def _check_base(node: str, model: Any, base: Any) -> None:
    shapes = [{k: v.shape for k, v in m.model.state_dict().items() if k.startswith(PREFIX)} for m in (model, base)]
    if shapes[0] != shapes[1]:
        raise DirectorError(node, "base_model and model belong to different families; wire the checkpoint that the "
                                  "adapter was trained from, or leave base_model empty.")
