"""The adapter's own CLIP vision tower, on the host's classes.

Method: FastComposer, arXiv 2305.10431. Written from the paper; no code copied.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import comfy.model_management
import comfy.ops
import torch
from comfy.clip_model import CLIPVisionModelProjection
from comfy.clip_vision import ClipVisionModel

from ..tensor_files import Shaped
from ..untrusted import Unreadable

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
HEAD_WIDTH = 64
MOST_SIDE, MOST_LAYERS = 16_384, 64

_CLASS = "vision_model.embeddings.class_embedding"
_PATCHES = "vision_model.embeddings.patch_embedding.weight"
_PLACES = "vision_model.embeddings.position_embedding.weight"
_LAYER = "vision_model.encoder.layers."
_PROJECTION = "visual_projection.weight"


def squared(images: torch.Tensor, size: int) -> torch.Tensor:
    """Pictures [B, H, W, 3] in 0..1 as CLIP reads them: [B, 3, size, size].

    Padded to a square with black, resized bilinearly with antialiasing, normalised by CLIP's mean and
    spread, as FastComposer's references are.
    """
    x = images[..., :3].movedim(-1, 1).to(torch.float32)
    height, width = x.shape[-2:]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    x = torch.nn.functional.pad(x, (left, side - width - left, top, side - height - top))
    if side != size:
        x = torch.nn.functional.interpolate(x, size=(size, size), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(v)[:, None, None] for v in (MEAN, STD))
    return (x.clamp(0.0, 1.0) - mean) / std


def tower_config(shapes: Mapping[str, Shaped]) -> dict[str, Any]:
    """The settings of a CLIP vision tower, read from its shapes; heads are 64 wide, as in every CLIP.

    Raises KeyError, with the name, where a tensor that tells a size is missing, and Unreadable for a size that no
    tower has.
    """
    hidden = _side(shapes, _CLASS, 1, 0)
    patch = _side(shapes, _PATCHES, 4, 3)
    places = _side(shapes, _PLACES, 2, 0) - 1
    if not places or math.isqrt(places) ** 2 != places:
        raise Unreadable(f"{_PLACES} is of {places + 1} places, which are no square and one")
    return {
        "hidden_act": "quick_gelu",
        "hidden_size": hidden,
        "image_size": math.isqrt(places) * patch,
        "intermediate_size": _side(shapes, f"{_LAYER}0.mlp.fc1.weight", 2, 0),
        "model_type": "clip_vision_model",
        "num_attention_heads": max(1, hidden // HEAD_WIDTH),
        "num_channels": 3,
        "num_hidden_layers": _layers(shapes),
        "patch_size": patch,
        "projection_dim": _side(shapes, _PROJECTION, 2, 0),
    }


def _side(shapes: Mapping[str, Shaped], name: str, axes: int, axis: int) -> int:
    """The length of one axis of a tensor of so many. Raises KeyError or Unreadable."""
    shape = shapes[name].shape
    if len(shape) != axes or not 0 < shape[axis] <= MOST_SIDE:
        raise Unreadable(f"{name} is {'x'.join(map(str, shape)) or 'a number'}, which no vision tower has")
    return int(shape[axis])


def _layers(shapes: Mapping[str, Shaped]) -> int:
    numbers = {name.removeprefix(_LAYER).split(".")[0] for name in shapes if name.startswith(_LAYER)}
    if len(numbers) > MOST_LAYERS or numbers != {str(n) for n in range(len(numbers))}:
        raise Unreadable(f"its layers are not numbered from 0 to {MOST_LAYERS - 1} at most")
    return len(numbers)


def tower_state(config: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """All tensors of a tower with these settings, by name, without values."""
    with torch.device("meta"):
        tower = CLIPVisionModelProjection(config, torch.float32, torch.device("meta"), comfy.ops.disable_weight_init)
    return dict(tower.state_dict())


def build_tower(config: dict[str, Any]) -> Any:
    """The host's ClipVisionModel, yet without weights; device and memory are in the host's hands."""
    return ClipVisionModel(config)


def embed(tower: Any, images: torch.Tensor) -> torch.Tensor:
    """Vectors of pictures [B, H, W, C]: the projected class token, not normalised, float32 [B, C] on the CPU."""
    comfy.model_management.load_model_gpu(tower.patcher)
    pixels = squared(images, tower.image_size).to(tower.load_device)
    return tower.model(pixel_values=pixels)[2].to("cpu", torch.float32)
