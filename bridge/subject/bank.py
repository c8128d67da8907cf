"""A bank of anchors: what the subject's layers read, in memory and as safetensors.

Kept are the inputs of the decoder's self-attention at the subject's pixels (half the size of its keys
and values, and a LoRA of the new run still applies), the outputs that are injected, and the features
and masks that say which patch is which. Where text and image share the attention, keys without their positions and
values are kept, and where these stand.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file

from ...core.network import LayerAddress
from ..errors import DirectorError
from ..tensor_files import Shaped, opened, require_finite
from ..untrusted import Unreadable, as_text, finite, parse_json, reading, whole

FORMAT = "attention_director.subject_bank"
VERSION = 2
MOST_FACTS = 1_000_000  # characters
MOST_ANCHORS = 8
MOST_LEVELS = 1000
MOST_PREVIEW_PX = 8192
# Whose rows inputs are: the prompt's, or those of any other conditioning.
Kind = Literal["cond", "uncond"]
KINDS: tuple[Kind, ...] = ("cond", "uncond")
# A layer's name is the family's own and stands last, so that it may be any printable text.
_INPUT = re.compile(r"(?:in|key|value)\.(\d{1,3})\.(cond|uncond)\.")
_LEVEL = re.compile(r"(?:(?:in|key|value)\.(\d{1,3})\.(?:cond|uncond)\.[ -~]{1,100}|out\.(\d{1,3})\.[ -~]{1,100}"
                    r"|subjects\.(\d{1,3})\.\d{1,4}|places\.(\d{1,3}))")
_OTHER = ("features", "feature_subjects", "feature_places", "preview")
KEY, VALUE = "key", "value"
_PAIR = {KEY: VALUE, VALUE: KEY}
# Columns of where a key and a feature stand: its anchor and cell (y, x), and a key's subject's box there.
_COLUMNS = {"places": 7, "feature_places": 3}


def input_name(level: int, kind: Kind, layer: LayerAddress) -> str:
    return f"in.{level}.{kind}.{layer}"


def token_name(what: str, level: int, kind: Kind, layer: LayerAddress) -> str:
    """Of KEY or VALUE."""
    return f"{what}.{level}.{kind}.{layer}"


def places_name(level: int) -> str:
    return f"places.{level}"


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
    save_file(tensors, path, metadata=facts)


def load_bank(node: str, path: Path) -> SubjectBank:
    """Read a bank; every name, shape and fact is checked before a value is read. Raises DirectorError."""
    name = path.name
    with reading(node, f"{name} cannot be read", "make it again."), opened(path) as file:
        if file.metadata.get("format") != FORMAT:
            raise DirectorError(node, f"{name} is not a subject bank; save one with Save Subject Bank.")
        version = file.metadata.get("version")
        if version != str(VERSION):
            raise DirectorError(node, f"{name} has version {as_text(version)}; update Attention Director.")
        if not all(n in _OTHER or _LEVEL.fullmatch(n) for n in file.specs):
            raise DirectorError(node, f"{name} contains tensors that do not belong in a subject bank; make it again.")
        bank = _bank_of(parse_json(file.metadata["bank"], MOST_FACTS))
        require_shapes(bank, file.specs)
        tensors = file.read()
        require_finite(tensors)
        return replace(bank, tensors=tensors)


def _bank_of(facts: dict[str, Any]) -> SubjectBank:
    """A file's facts as a bank without tensors yet. Raises Unreadable, KeyError or TypeError."""
    progress = tuple(finite(p) for p in facts["progress"])
    if not 0 < len(progress) <= MOST_LEVELS or any(not 0.0 <= p <= 1.0 for p in progress):
        raise Unreadable("its noise levels are not shares of the timesteps")
    scenes, subjects = (tuple(map(str, facts[name])) for name in ("scenes", "subjects"))
    if not subjects:
        raise Unreadable("it is of no subject")
    return SubjectBank(str(facts["model"]), whole(facts["anchors"], 1, MOST_ANCHORS), scenes, subjects,
                       whole(facts["seed"], -2**63, 2**64 - 1), progress, bool(facts["photographs"]))


def require_shapes(bank: SubjectBank, tensors: Mapping[str, Shaped]) -> None:
    """Compare tensors, by their names in a file, with a bank's facts and with each other. Raises Unreadable."""
    subjects, flags = len(bank.subjects), {"feature_subjects", *(n for n in tensors if n.startswith("subjects."))}
    for name, value in tensors.items():
        if _level_of(name) >= len(bank.progress) or len(value.shape) != (4 if name == "preview" else 2):
            raise Unreadable(f"it contains {name}, which does not belong there")
        if (value.dtype == torch.bool) != (name in flags) or not (name in flags or value.dtype.is_floating_point):
            raise Unreadable(f"{name} is of another kind than it should be")
        if name in flags and value.shape[1] != subjects:
            raise Unreadable(f"{name} is of {value.shape[1]} subjects, the bank of {subjects}")
        if value.shape[1] != _COLUMNS.get(name.split(".")[0], value.shape[1]):
            raise Unreadable(f"{name} does not say where patches stand")
    joint = any(name.startswith(f"{KEY}.") for name in tensors)
    if ("features" in tensors) != ("feature_subjects" in tensors) or (
            "feature_places" in tensors) != (joint and "features" in tensors):
        raise Unreadable("its features lack their subjects")
    preview = tensors.get("preview")
    if preview is not None and not (preview.shape[:2] == (bank.anchors, 3) and
                                    all(0 < side <= MOST_PREVIEW_PX for side in preview.shape[2:])):
        raise Unreadable(f"its preview is not {bank.anchors} pictures")
    _require_rows(tensors)


def _require_rows(tensors: Mapping[str, Shaped]) -> None:
    """What is kept of one set of patches has one row for each of them."""
    patches: dict[int, set[int]] = {}
    for name, value in tensors.items():
        if name.startswith("subjects."):
            patches.setdefault(_level_of(name), set()).add(value.shape[0])
    found = tensors["features"].shape[0] if "features" in tensors else 0
    for name, value in tensors.items():
        level, what = _level_of(name), name.split(".")[0]
        fits = (value.shape[0] in patches.get(level, ()) if what in ("in", KEY, VALUE, "places") else
                value.shape[0] == found if what in ("out", "feature_subjects", "feature_places") else True)
        if not fits or any(twin.shape != value.shape for twin in _twins(name, tensors)):
            raise Unreadable(f"{name} has {value.shape[0]} rows, which does not fit the rest")


def _twins(name: str, tensors: Mapping[str, Shaped]) -> list[Shaped]:
    """What is of the same patches and layer: the negative's, and a key's value. Raises Unreadable without it."""
    if not _INPUT.match(name):
        return []
    what, rest = name.split(".", 1)
    named = [name.replace(".uncond.", ".cond.", 1)]
    if what in _PAIR:
        named.append(f"{_PAIR[what]}.{rest}")
        if named[-1] not in tensors or places_name(_level_of(name)) not in tensors:
            raise Unreadable(f"{name} lacks what belongs to it")
    return [tensors[twin] for twin in named if twin in tensors]


def _level_of(name: str) -> int:
    """The noise level in a tensor's name, 0 for one of no level."""
    found = _LEVEL.fullmatch(name)
    return int(next(level for level in found.groups() if level)) if found else 0
