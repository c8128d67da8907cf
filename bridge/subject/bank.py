"""Anchors as things one keeps: a bank of what the subject's layers read, in memory and as safetensors.

Kept are the inputs of the decoder's self-attention at the subject's pixels (half the size of its keys
and values, and a LoRA of the new run still applies), the outputs that are injected, and the features
and masks that say which patch is which.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ...core.network import LayerAddress
from ..errors import DirectorError
from ..files import replacing

FORMAT = "attention_director.subject_bank"
VERSION = 2
MAX_TENSORS = 20_000
MAX_HEADER = 1_000_000
_NAME = re.compile(r"(in|out)\.\d{1,3}\.(input|output)\.\d{1,3}\.\d{1,3}(\.(cond|uncond))?"
                   r"|subjects\.\d{1,3}\.\d{1,4}x\d{1,4}|features|feature_subjects|preview")
# Banks of the last runs that kept one, for the node that saves them.
_KEPT_RUNS = 2
_recent: OrderedDict[str, SubjectBank] = OrderedDict()


def input_name(level: int, layer: LayerAddress, half: str) -> str:
    return f"in.{level}.{layer.stage}.{layer.block}.{layer.depth}.{half}"


def output_name(level: int, layer: LayerAddress) -> str:
    return f"out.{level}.{layer.stage}.{layer.block}.{layer.depth}"


def subjects_name(level: int, grid: tuple[int, int]) -> str:
    return f"subjects.{level}.{grid[0]}x{grid[1]}"


@dataclass(frozen=True, eq=False)
class SubjectBank:
    """One subject's anchors. model: fingerprint of the model they were drawn with; progress: the kept
    noise levels as shares of the timesteps, noisiest first; photographs: inverted, not drawn."""

    model: str
    anchors: int
    scenes: tuple[str, ...]
    subjects: tuple[str, ...]
    seed: int
    progress: tuple[float, ...]
    photographs: bool = False
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def nearest(self, progress: float, tolerance: float) -> int | None:
        """The kept noise level nearest to a step, None when all are further than the tolerance."""
        level = min(range(len(self.progress)), key=lambda i: abs(self.progress[i] - progress), default=None)
        return None if level is None or abs(self.progress[level] - progress) > tolerance else level

    @property
    def megabytes(self) -> float:
        return sum(t.numel() * t.element_size() for t in self.tensors.values()) / 1e6

    def preview(self) -> torch.Tensor:
        """Rough pictures of the anchors as an IMAGE [A, H, W, 3]; grey where there is none."""
        kept = self.tensors.get("preview")
        return torch.full((1, 64, 64, 3), 0.5) if kept is None else kept.to(torch.float32).movedim(1, -1)

    def facts(self) -> dict[str, Any]:
        return {"model": self.model, "anchors": self.anchors, "scenes": list(self.scenes),
                "subjects": list(self.subjects), "seed": self.seed, "progress": list(self.progress),
                "photographs": self.photographs}


def remember(digest: str, bank: SubjectBank) -> None:
    """Keep a run's bank until it is saved; the last two runs are kept."""
    _recent.pop(digest, None)
    _recent[digest] = bank
    while len(_recent) > _KEPT_RUNS:
        _recent.popitem(last=False)


def recall(digest: str) -> SubjectBank | None:
    return _recent.get(digest)


def save_bank(bank: SubjectBank, path: Path, dtype: torch.dtype) -> None:
    """Write a bank; floats in the given precision."""
    tensors = {name: (t.to(dtype) if t.is_floating_point() else t).contiguous() for name, t in bank.tensors.items()}
    facts = {"format": FORMAT, "version": str(VERSION), "bank": json.dumps(bank.facts())}
    with replacing(path) as beside:
        save_file(tensors, beside, metadata=facts)


def load_bank(node: str, path: Path) -> SubjectBank:
    """Read a bank; every name, shape and fact is checked. Raises DirectorError."""
    name = path.name
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            if facts.get("format") != FORMAT:
                raise DirectorError(node, f"{name} is not a subject bank; save one with Save Subject Bank.")
            if facts.get("version") != str(VERSION):
                raise DirectorError(node, f"{name} is of version {facts.get('version')}; update Attention Director.")
            names = list(file.keys())
            if len(names) > MAX_TENSORS or not all(_NAME.fullmatch(n) for n in names):
                raise DirectorError(node, f"{name} holds tensors that no subject bank has; make it again.")
            bank = _checked(json.loads(facts["bank"][:MAX_HEADER]), {n: file.get_tensor(n) for n in names})
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DirectorError):
            raise
        raise DirectorError(node, f"{name} cannot be read ({type(error).__name__}: {error}); make it again.") from error
    return bank


def _checked(facts: dict[str, Any], tensors: dict[str, torch.Tensor]) -> SubjectBank:
    """The bank of a file's facts and tensors. Raises ValueError where they do not fit together."""
    progress = tuple(float(p) for p in facts["progress"])
    if not progress or any(not 0.0 <= p <= 1.0 for p in progress):
        raise ValueError("its noise levels are not shares of the timesteps")
    wrong = [n for n, t in tensors.items() if t.ndim not in (2, 4) or int((n.split(".") + ["0"])[1] or 0) >= len(
        progress) and n.count(".")]
    if wrong:
        raise ValueError(f"{wrong[0]} has no place in it")
    if ("features" in tensors) != ("feature_subjects" in tensors):
        raise ValueError("its features lack their subjects")
    for flags in ("feature_subjects", *(n for n in tensors if n.startswith("subjects."))):
        if flags in tensors and tensors[flags].dtype != torch.bool:
            raise ValueError(f"{flags} is not a mask")
    return SubjectBank(str(facts["model"]), int(facts["anchors"]), tuple(map(str, facts["scenes"])),
                       tuple(map(str, facts["subjects"])), int(facts["seed"]), progress, bool(facts["photographs"]),
                       tensors)
