"""Adapter files: FastComposer's published checkpoint, and this project's own with low-rank UNet changes.

Published names: ``postfuse_module.*``, ``image_encoder.{vision_model,visual_projection}.*``, ``unet.*``
(diffusers), ``text_encoder.*`` and ``vae.*`` (not used: yours are). Ours: ``unet_lora.*`` in place of ``unet.*``.
"""

from __future__ import annotations

import pickle
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import comfy.utils
import safetensors.torch
import torch

from ...core.fuse import FuseModule
from ..errors import DirectorError
from ..files import ModelFolder, replacing
from .vision import build_tower, tower_config, tower_names

Weights = dict[str, torch.Tensor]

FUSE, VISION, UNET, LOW_RANK = "postfuse_module.", "image_encoder.", "unet.", "unet_lora."
UNUSED = ("text_encoder.", "vae.", "image_encoder.vision_model.embeddings.position_ids")
# Where SD1.5's UNet has what; names depend on nothing else.
SD15_LAYOUT = {"num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4],
               "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_output": [1] * 9 + [0] * 3,
               "transformer_depth_middle": 1}
DEMO = "demo_identity.safetensors"
FILES = ModelFolder("identity_adapters", (".safetensors", ".sft", ".bin", ".pt", ".pth", ".ckpt"), (DEMO,))
NAMED = 4  # so many names in a sentence, all of them in the report


@dataclass(frozen=True, eq=False)
class Adapter:
    """What IdentityInject needs of a file. unet: a whole UNet by diffusers names; low_rank: changes of one.

    key: names what was read this time; a file read again may hold something else.
    """

    name: str
    fuse: FuseModule
    tower: Any
    unet: Weights
    low_rank: Weights
    key: UUID = field(default_factory=uuid4)

    @property
    def width(self) -> int:
        """Width of the text encoder it was trained with."""
        return self.fuse.layer_norm.weight.shape[0]


def load_adapter(node: str, path: Path) -> tuple[Adapter, str]:
    """Read an adapter and say what was in the file. Raises DirectorError; executes nothing."""
    weights = read_weights(node, path)
    if not any(name.startswith(FUSE) for name in weights):
        raise DirectorError(node, f'"{path.name}" has no {FUSE}* tensors, so it is not a FastComposer adapter; '
                                  "choose another file.")
    fuse = _fuse_of(node, path.name, _part(weights, FUSE))
    vision = {k: v for k, v in _part(weights, VISION).items() if VISION + k not in UNUSED}
    tower = _tower_of(node, path.name, vision, fuse.layer_norm.weight.shape[0])
    adapter = Adapter(path.name, fuse, tower, _part(weights, UNET), _part(weights, LOW_RANK))
    return adapter, report_of(weights, adapter)


def read_weights(node: str, path: Path) -> Weights:
    """All tensors of a safetensors file or of a pickle; a pickle that wants to run anything is refused."""
    try:
        if path.suffix.lower() in (".safetensors", ".sft"):
            return safetensors.torch.load_file(str(path))
        found = _read_pickle(path)
    except (pickle.UnpicklingError, AttributeError, ModuleNotFoundError):
        raise DirectorError(node, f'"{path.name}" contains more than weights and could run code, so it was not opened; '
                                  "ask its author for a safetensors file.") from None
    except Exception as error:  # whatever a broken file makes of its reader
        reason = (str(error) or type(error).__name__).splitlines()[0][:80]
        raise DirectorError(node, f'"{path.name}" cannot be read ({reason}); it may be cut off, get it again.'
                            ) from None
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    weights = {k: v for k, v in found.items() if torch.is_tensor(v)} if isinstance(found, Mapping) else {}
    if not weights or not all(isinstance(k, str) for k in weights):
        raise DirectorError(node, f'"{path.name}" contains no named weights; choose another file.')
    return {k.removeprefix("module."): v for k, v in weights.items()}


def _read_pickle(path: Path) -> Any:
    """torch.load with weights only; mapped where the file allows it, because the published one has gigabytes."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except RuntimeError as error:
        if "mmap" not in str(error):
            raise
        return torch.load(path, map_location="cpu", weights_only=True)


def _part(weights: Weights, prefix: str) -> Weights:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _refuse_missing(node: str, name: str, missing: list[str]) -> None:
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        raise DirectorError(node, f'"{name}" lacks {", ".join(missing[:NAMED])}{more}, so the adapter is incomplete; '
                                  "get it again.")


def _load(node: str, name: str, prefix: str, network: torch.nn.Module, weights: Weights) -> None:
    """Load by name and shape. Raises DirectorError, naming what is missing or does not fit."""
    wanted = network.state_dict()
    _refuse_missing(node, name, [prefix + k for k in wanted if k not in weights])
    wrong = [f"{prefix}{k} is {_shape(weights[k])} instead of {_shape(v)}" for k, v in wanted.items()
             if weights[k].shape != v.shape]
    if wrong:
        raise DirectorError(node, f'"{name}": {"; ".join(wrong[:NAMED])}; its parts do not fit together, choose '
                                  "another file.")
    network.load_state_dict({k: weights[k].to(wanted[k].dtype) for k in wanted})


def _fuse_of(node: str, name: str, weights: Weights) -> FuseModule:
    _refuse_missing(node, name, [] if "layer_norm.weight" in weights else [FUSE + "layer_norm.weight"])
    with torch.inference_mode(False):
        fuse = FuseModule(weights["layer_norm.weight"].shape[0]).requires_grad_(False)
        _load(node, name, FUSE, fuse, weights)
    return fuse


def _tower_of(node: str, name: str, weights: Weights, width: int) -> Any:
    try:
        config = tower_config(weights)
    except KeyError as error:
        _refuse_missing(node, name, [VISION + str(error.args[0])])
        raise
    if config["projection_dim"] != width:
        raise DirectorError(node, f'"{name}": the vision tower has {config["projection_dim"]} outputs and the fuse '
                                  f"module takes {width}, so its parts belong to different adapters; choose another "
                                  "file.")
    _refuse_missing(node, name, [VISION + k for k in tower_names(config) if k not in weights])
    tower = build_tower(config)
    _load(node, name, VISION, tower.model, weights)
    return tower


def published_unet_names() -> set[str]:
    """Diffusers names of the 686 tensors of SD1.5's UNet; the host's list also knows what other UNets have."""
    others = re.compile(r"(add|class)_embedding|down_blocks\.3\.downsamplers|up_blocks\.3\.upsamplers"
                        r"|(mid_block|down_blocks\.[03])\..*conv_shortcut"
                        r"|down_blocks\.[12]\.resnets\.1\.conv_shortcut")
    return {name for name in comfy.utils.unet_to_diffusers(SD15_LAYOUT) if not others.match(name)}


def report_of(weights: Weights, adapter: Adapter) -> str:
    """What the file holds, what of it is used, and every missing and unexpected name."""
    # Only a UNet of four levels claims to be SD1.5's; IdentityInject compares any with the model it meets.
    names = published_unet_names() if any(k.startswith("down_blocks.3.") for k in adapter.unet) else set(adapter.unet)
    lost = [UNET + n for n in sorted(names - set(adapter.unet))] if adapter.unet else []
    used = {*(FUSE + k for k in adapter.fuse.state_dict()), *(VISION + k for k in adapter.tower.model.state_dict()),
            *(UNET + n for n in names), *(LOW_RANK + k for k in adapter.low_rank)}
    spare = [k for k in weights if k.startswith(UNUSED)]
    strange = sorted(k for k in weights if k not in used and k not in set(spare))
    config = adapter.tower.config
    lines = [
        f"{adapter.name}: for a text encoder of width {adapter.width}{family_of(adapter.width)}",
        f"fuse module: {sum(p.numel() for p in adapter.fuse.parameters()):,} parameters",
        f"vision tower: {config['num_hidden_layers']} layers of {config['hidden_size']}, pictures of "
        f"{config['image_size']} pixels",
        _unet_line(adapter, len(names) - len(lost), len(names)),
        _listed("not used (your checkpoint's are used)", [f"{k} ({n})" for k, n in
                                                     Counter(k.split(".")[0] for k in spare).items()]),
        _listed("missing", lost),
        _listed("unexpected", strange),
    ]
    return "\n".join(lines)


def _unet_line(adapter: Adapter, found: int, names: int) -> str:
    if adapter.unet:
        return f"UNet: {found} of {names} tensors of a whole UNet"
    if adapter.low_rank:
        return f"UNet: low-rank changes of {sum(k.endswith('lora_up.weight') for k in adapter.low_rank)} layers"
    return "UNet: no weights; strength_model does nothing"


def _listed(title: str, names: list[str]) -> str:
    return f"{title}: {', '.join(names) or 'none'}"


def family_of(width: int) -> str:
    """Which models have text encoders of this width, in brackets; "" when none is known."""
    known = {768: "SD1.5", 1024: "SD2.x", 2048: "SDXL", 128: "the demo model"}
    return f" ({known[width]})" if width in known else ""


def save_converted(node: str, path: Path, target: Path) -> Path:
    """The used part of an adapter file as safetensors; an older conversion is replaced."""
    weights = read_weights(node, path)
    kept = {k: v.contiguous().clone() for k, v in weights.items()
            if k.startswith((FUSE, VISION, UNET, LOW_RANK)) and k not in UNUSED}
    with replacing(target) as beside:
        safetensors.torch.save_file(kept, beside, {"format": "pt", "converted_from": path.name})
    return target


def converted_path(path: Path) -> Path:
    """Where the safetensors made of a pickle goes: output/identity_adapters."""
    return FILES.output() / f"{path.stem}.safetensors"
