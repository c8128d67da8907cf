"""What a check ran on: the model's kind, the card, the programs. Nothing that names a person or a file."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import comfy.model_management
import torch

from ..families.checkpoint import family, fingerprint
from ..families.kernel import backend_name
from .case import attempt
from .report import Row
from .studio import MEGABYTE, Studio

PYPROJECT = Path(__file__).resolve().parent.parent.parent / "pyproject.toml"
FRONTEND = "comfyui-frontend-package"
UNKNOWN = "unknown"


def facts(studio: Studio) -> dict[str, str | float]:
    """By what each is called on the page; what cannot be found out is left out."""
    found = {name: attempt("machine", name, tell) for name, tell in _facts(studio).items()}
    return {name: value for name, value in found.items() if not isinstance(value, Row)}


def _facts(studio: Studio) -> dict[str, Callable[[], str | float]]:
    device = comfy.model_management.get_torch_device()
    model = studio.model
    return {
        "model": lambda: family(model), "checkpoint": lambda: fingerprint(model),
        "parameters, millions": lambda: sum(p.numel() for p in model.model.diffusion_model.parameters()) / 1e6,
        "weights": lambda: str(model.model_dtype()).removeprefix("torch."),
        "computed in": lambda: str(_computed_in(studio)).removeprefix("torch."),
        "attention": backend_name, "card": lambda: comfy.model_management.get_torch_device_name(device),
        "card's memory, MB": lambda: _memory(device) / MEGABYTE,
        **{name: lambda value=value: value for name, value in studio.sampling.facts().items()},
        "ComfyUI": host_version, "frontend": lambda: _installed(FRONTEND), "torch": lambda: str(torch.__version__),
        "Python": platform.python_version, "system": platform.system, "Attention Director": own_version,
    }


def _memory(device: torch.device) -> float:
    found: Any = comfy.model_management.get_total_memory(device)
    return float(found)


def _computed_in(studio: Studio) -> Any:
    return getattr(studio.model.model, "manual_cast_dtype", None) or studio.model.model_dtype()


def host_version() -> str:
    """The host's own word for it; hosts of old say nothing."""
    try:
        from comfyui_version import __version__
    except ImportError:
        return UNKNOWN
    return __version__


def own_version() -> str:
    """Of this pack, as published."""
    found = re.search(r'^version = "([^"]+)"', PYPROJECT.read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else UNKNOWN


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return UNKNOWN
