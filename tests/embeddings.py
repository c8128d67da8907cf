"""Text encoders that find a textual inversion."""

from __future__ import annotations

import copy
from typing import Any

import torch
from safetensors.torch import save_file


def with_embedding(clip: Any, folder: Any, name: str, tensors: dict[str, torch.Tensor]) -> Any:
    """A clone of the CLIP whose tokenizers look for embeddings in a folder."""
    save_file(tensors, folder / f"{name}.safetensors")
    made = clip.clone()
    made.tokenizer = copy.copy(clip.tokenizer)
    for key, part in vars(clip.tokenizer).items():
        if hasattr(part, "embedding_directory"):
            finds = copy.copy(part)
            finds.embedding_directory = str(folder)
            setattr(made.tokenizer, key, finds)
    return made
