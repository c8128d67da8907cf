"""Where subject banks lie: the model folder "subject_banks" and the output folder of the same name."""

from __future__ import annotations

from pathlib import Path

import torch

from ..files import ModelFolder, save_numbered
from .bank import SubjectBank, load_bank, save_bank

FILES = ModelFolder("subject_banks", (".safetensors",))
DTYPES = {"fp16": torch.float16, "fp32": torch.float32}


def read_bank(node: str, name: str) -> SubjectBank:
    """Load a bank by its name in the combo. Raises DirectorError."""
    return load_bank(node, FILES.path(node, name))


def write_bank(node: str, bank: SubjectBank, prefix: str, dtype: str) -> Path:
    """Save under a new number in the output folder; returns the path. Raises DirectorError."""
    return save_numbered(node, prefix, lambda path: save_bank(bank, path, DTYPES[dtype]))
