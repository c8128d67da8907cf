"""Adapter files: FastComposer's published checkpoint, and this project's own with low-rank UNet changes.

Published names: ``postfuse_module.*``, ``image_encoder.{vision_model,visual_projection}.*``, ``unet.*``
(diffusers), ``text_encoder.*`` and ``vae.*`` (not used: yours are). Ours: ``unet_lora.*`` in place of ``unet.*``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID, uuid4

import comfy.utils
import torch
from safetensors.torch import save_file

from ...core.fuse import FuseModule
from ..errors import DirectorError
from ..files import ModelFolder, save_at
from ..tensor_files import Shaped, WantsCode, Weights, opened, require_finite
from ..untrusted import Unreadable, reading
from .vision import build_tower, tower_config, tower_state

T = TypeVar("T")

FUSE, VISION, UNET, LOW_RANK = "postfuse_module.", "image_encoder.", "unet.", "unet_lora."
UNUSED = ("text_encoder.", "vae.", "image_encoder.vision_model.embeddings.position_ids")
# Where SD1.5's UNet has what; names depend on nothing else.
SD15_LAYOUT = {"num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 2, 4, 4],
               "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_output": [1] * 9 + [0] * 3,
               "transformer_depth_middle": 1}
DEMO = "demo_identity.safetensors"
FILES = ModelFolder("identity_adapters", (".safetensors", ".sft", ".bin", ".pt", ".pth", ".ckpt"), (DEMO,))
WRAPPED = "module."  # what training on several cards puts before every name
MOST_WIDTH = 16_384


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
    name = path.name
    with opened_adapter(node, path) as (shapes, read):
        if not any(k.startswith(FUSE) for k in shapes):
            raise DirectorError(node, f'"{name}" has no {FUSE}* tensors, so it is not a FastComposer adapter; choose '
                                      "another file.")
        fuse = _fuse_like(node, name, _part(shapes, FUSE))
        config = _tower_like(node, name, _part(shapes, VISION), fuse.layer_norm.weight.shape[0])
        _require_pairs(_part(shapes, LOW_RANK))
        weights = read(used_names(shapes))
        require_finite(weights)
    with torch.inference_mode(False):
        _fill(fuse, _part(weights, FUSE))
    tower = build_tower(config)
    _fill(tower.model, _part(weights, VISION))
    adapter = Adapter(name, fuse, tower, _part(weights, UNET), _part(weights, LOW_RANK))
    return adapter, report_of(list(shapes), adapter)


@contextmanager
def opened_adapter(node: str, path: Path) -> Iterator[tuple[Mapping[str, Shaped], Callable[[list[str]], Weights]]]:
    """(shapes by name, what reads some of them) of a safetensors file or a pickle, open as long as the block.

    Whatever fails inside is said in one sentence; a pickle that wants to run anything is refused.
    """
    with reading(node, f'"{path.name}" cannot be read', "it may be cut off, get it again."):
        try:
            with opened(path) as file:
                own = {name.removeprefix(WRAPPED): name for name in file.specs}
                if not own:
                    raise DirectorError(node, f'"{path.name}" contains no named weights; choose another file.')
                yield ({name: file.specs[theirs] for name, theirs in own.items()},
                       lambda names: {name: file.read([own[name]])[own[name]] for name in names})
        except WantsCode:
            raise DirectorError(node, f'"{path.name}" contains more than weights and could run code, so it was not '
                                      "opened; ask its author for a safetensors file.") from None


def used_names(shapes: Mapping[str, Shaped]) -> list[str]:
    """What of a file is read. Raises Unreadable for what is no weights under such a name."""
    names = [k for k in shapes if k.startswith((FUSE, VISION, UNET, LOW_RANK)) and k not in UNUSED]
    wrong = next((k for k in names if not shapes[k].dtype.is_floating_point), None)
    if wrong is not None:
        raise Unreadable(f"{wrong} holds no weights")
    return names


def _part(weights: Mapping[str, T], prefix: str) -> dict[str, T]:
    return {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix) and k not in UNUSED}


def _shape(tensor: Shaped) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def first_of(names: Sequence[str]) -> str:
    """One name, and how many there are beside it: layers have long names, a sentence is short."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _refuse_missing(node: str, name: str, missing: list[str]) -> None:
    if missing:
        raise DirectorError(node, f'"{name}" lacks {first_of(missing)}, so the adapter is incomplete; get it again.')


def _require_shapes(node: str, name: str, prefix: str, wanted: Mapping[str, torch.Tensor],
                    shapes: Mapping[str, Shaped]) -> None:
    """Raise DirectorError, naming what is missing or does not fit."""
    _refuse_missing(node, name, [prefix + k for k in wanted if k not in shapes])
    wrong = [f"{prefix}{k} is {_shape(shapes[k])} instead of {_shape(v)}" for k, v in wanted.items()
             if shapes[k].shape != v.shape]
    if wrong:
        raise DirectorError(node, f'"{name}": {wrong[0]}; its parts do not fit together, choose another file.')


def _fill(network: torch.nn.Module, weights: Weights) -> None:
    wanted = network.state_dict()
    network.load_state_dict({k: weights[k].to(v.dtype) for k, v in wanted.items()},
                            assign=any(v.is_meta for v in wanted.values()))


def _fuse_like(node: str, name: str, shapes: Mapping[str, Shaped]) -> FuseModule:
    """The module for a file's shapes, still without values. Raises DirectorError or Unreadable."""
    _refuse_missing(node, name, [] if "layer_norm.weight" in shapes else [FUSE + "layer_norm.weight"])
    width = shapes["layer_norm.weight"].shape
    if len(width) != 1 or not 0 < width[0] <= MOST_WIDTH:
        raise Unreadable(f"{FUSE}layer_norm.weight is {_shape(shapes['layer_norm.weight'])}, the width of no encoder")
    with torch.inference_mode(False), torch.device("meta"):
        fuse = FuseModule(width[0]).requires_grad_(False)
    _require_shapes(node, name, FUSE, fuse.state_dict(), shapes)
    return fuse


def _tower_like(node: str, name: str, shapes: Mapping[str, Shaped], width: int) -> dict[str, Any]:
    """The settings of the tower that a file's shapes belong to. Raises DirectorError or Unreadable."""
    try:
        config = tower_config(shapes)
    except KeyError as error:
        _refuse_missing(node, name, [VISION + str(error.args[0])])
        raise
    if config["projection_dim"] != width:
        raise DirectorError(node, f'"{name}": the vision tower has {config["projection_dim"]} outputs and the fuse '
                                  f"module takes {width}, so its parts belong to different adapters; choose another "
                                  "file.")
    _require_shapes(node, name, VISION, tower_state(config), shapes)
    return config


def _require_pairs(shapes: Mapping[str, Shaped]) -> None:
    """Raise Unreadable unless every low-rank change has both halves, of one rank."""
    for layer in {name.rpartition(".lora_")[0] for name in shapes}:
        up, down = (shapes.get(f"{layer}.lora_{which}.weight") for which in ("up", "down"))
        if up is None or down is None:
            raise Unreadable(f"{LOW_RANK}{layer} lacks one of its two halves")
        if not (len(up.shape) == len(down.shape) >= 2 and up.shape[1] == down.shape[0] > 0):
            raise Unreadable(f"the halves of {LOW_RANK}{layer} are {_shape(up)} and {_shape(down)}")


def published_unet_names() -> set[str]:
    """Diffusers names of the 686 tensors of SD1.5's UNet; the host's list also knows what other UNets have."""
    others = re.compile(r"(add|class)_embedding|down_blocks\.3\.downsamplers|up_blocks\.3\.upsamplers"
                        r"|(mid_block|down_blocks\.[03])\..*conv_shortcut"
                        r"|down_blocks\.[12]\.resnets\.1\.conv_shortcut")
    return {name for name in comfy.utils.unet_to_diffusers(SD15_LAYOUT) if not others.match(name)}


def report_of(held: Sequence[str], adapter: Adapter) -> str:
    """What the file holds, what of it is used, and every missing and unexpected name."""
    # Only a UNet of four levels claims to be SD1.5's; IdentityInject compares any with the model it meets.
    names = published_unet_names() if any(k.startswith("down_blocks.3.") for k in adapter.unet) else set(adapter.unet)
    lost = [UNET + n for n in sorted(names - set(adapter.unet))] if adapter.unet else []
    used = {*(FUSE + k for k in adapter.fuse.state_dict()), *(VISION + k for k in adapter.tower.model.state_dict()),
            *(UNET + n for n in names), *(LOW_RANK + k for k in adapter.low_rank)}
    spare = [k for k in held if k.startswith(UNUSED)]
    strange = sorted(k for k in held if k not in used and not k.startswith(UNUSED))
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
    with opened_adapter(node, path) as (shapes, read):
        kept = {k: v.contiguous().clone() for k, v in read(used_names(shapes)).items()}
        require_finite(kept)
    facts = {"format": "pt", "converted_from": path.name}
    return save_at(node, target, lambda beside: save_file(kept, beside, facts))


def converted_path(path: Path) -> Path:
    """Where the safetensors made of a pickle goes: output/identity_adapters."""
    return FILES.output() / f"{path.stem}.safetensors"
