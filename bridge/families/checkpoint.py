"""Which checkpoint a model is, whatever has been patched on it since."""

from __future__ import annotations

import hashlib
from typing import Any

import comfy.supported_models as supported
import torch

PREFIX = "diffusion_model."
TENSORS = 16
VALUES = 64
# Refined kinds first: a later one may be their parent.
_FAMILIES = (("SDXL refiner", supported.SDXLRefiner), ("SDXL", supported.SDXL), ("SD2", supported.SD20),
             ("SD1.5", supported.SD15))


def fingerprint(model: Any) -> str:
    """16 hexadecimal digits from the shapes of all weights and values of a few.

    The same for every clone and for LoRAs on it, loaded or not; and, values being rounded to bfloat16, for
    the usual precisions a checkpoint is loaded in.
    """
    weights = {name: value for name, value in model.model.diffusion_model.state_dict().items()
               if name.endswith((".weight", ".bias"))}
    digest = hashlib.sha256(repr([(name, tuple(value.shape)) for name, value in sorted(weights.items())]).encode())
    large = sorted(name for name, value in weights.items() if value.ndim > 1)
    for name in large[::max(1, len(large) // TENSORS)]:
        digest.update(_values(_unpatched(model, name, weights[name])))
    return digest.hexdigest()[:16]


def family(model: Any) -> str:
    """"SD1.5", "SD2", "SDXL"; the host's own name for what is none of these."""
    config = model.model.model_config
    return next((name for name, kind in _FAMILIES if isinstance(config, kind)), type(config).__name__)


def _unpatched(model: Any, name: str, value: torch.Tensor) -> torch.Tensor:
    """A loaded LoRA is added to the weight itself; the host keeps what was there."""
    hooked = getattr(model, "hook_backup", {}).get(PREFIX + name)
    kept = getattr(model, "backup", {}).get(PREFIX + name)
    return kept.weight if kept is not None else hooked[0] if hooked is not None else value


def _values(weight: torch.Tensor) -> bytes:
    if type(weight) not in (torch.Tensor, torch.nn.Parameter) and hasattr(weight, "dequantize"):
        weight = weight.dequantize()
    flat = weight.detach().flatten()
    few = flat[::max(1, flat.numel() // VALUES)][:VALUES]
    return few.to("cpu", torch.float32).bfloat16().view(torch.int16).numpy().tobytes()
