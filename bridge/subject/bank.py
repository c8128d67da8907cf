"""A bank of anchors: what the subject's layers read, in memory and as safetensors.

Kept are the inputs of the decoder's self-attention at the subject's pixels (half the size of its keys
and values, and a LoRA of the new run still applies), the outputs that are injected, and the features
and masks that say which patch is which.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

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
# Whose rows inputs are: the prompt's, or those of any other conditioning.
Kind = Literal["cond", "uncond"]
# A layer's name is the family's own and stands last, so that it may be any printable text.
_INPUT = re.compile(r"in\.(\d{1,3})\.(cond|uncond)\.")
_LEVEL = re.compile(r"(?:in\.(\d{1,3})\.(?:cond|uncond)\.[ -~]{1,100}|out\.(\d{1,3})\.[ -~]{1,100}"
                    r"|subjects\.(\d{1,3})\.\d{1,4})")
_OTHER = ("features", "feature_subjects", "preview")


def input_name(level: int, kind: Kind, layer: LayerAddress) -> str:
    return f"in.{level}.{kind}.{layer}"


def output_name(level: int, layer: LayerAddress) -> str:
    return f"out.{level}.{layer}"


def subjects_name(level: int, stride: int) -> str:
    """By latent pixels a side of one cell, not by grid: a bank works for pictures of another size."""
    return f"subjects.{level}.{stride}"


@dataclass(frozen=True, eq=False)
class SubjectBank:
    """One subject's anchors.

    model: fingerprint of the model they were generated with. progress: the kept noise levels as shares of the
    timesteps, noisiest first. photographs: inverted, not generated.
    """

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

    @cached_property
    def _kinds(self) -> frozenset[tuple[int, str]]:
        return frozenset((int(found[1]), found[2]) for found in map(_INPUT.match, self.tensors) if found)

    def has(self, level: int, kind: Kind) -> bool:
        """False for the negative at a noise level where it was not evaluated, as everywhere at cfg 1."""
        return (level, kind) in self._kinds

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
                raise DirectorError(node, f"{name} has version {facts.get('version')}; update Attention Director.")
            names = list(file.keys())
            if len(names) > MAX_TENSORS or not all(n in _OTHER or _LEVEL.fullmatch(n) for n in names):
                raise DirectorError(node, f"{name} contains tensors that do not belong in a subject bank; make it "
                                          "again.")
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
    wrong = [n for n, t in tensors.items() if t.ndim not in (2, 4) or _level_of(n) >= len(progress)]
    if wrong:
        raise ValueError(f"it contains {wrong[0]}, which does not belong there")
    if ("features" in tensors) != ("feature_subjects" in tensors):
        raise ValueError("its features lack their subjects")
    for flags in ("feature_subjects", *(n for n in tensors if n.startswith("subjects."))):
        if flags in tensors and tensors[flags].dtype != torch.bool:
            raise ValueError(f"{flags} is not a mask")
    return SubjectBank(str(facts["model"]), int(facts["anchors"]), tuple(map(str, facts["scenes"])),
                       tuple(map(str, facts["subjects"])), int(facts["seed"]), progress, bool(facts["photographs"]),
                       tensors)


def _level_of(name: str) -> int:
    """The noise level in a tensor's name, 0 for one of no level."""
    found = _LEVEL.fullmatch(name)
    return int(next(level for level in found.groups() if level)) if found else 0
