"""The files of the demo models: full checkpoints under the usual names, made small.

A token table is kept as its trained rows: ``<table>.rows`` [1 + n, C], the one that all other tokens share first, and
``<table>.ids`` [n], the token of each further row. A matrix may be int8 with a scale for each row, ``<key>.scale``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import DirectorError
from ..files import ASSETS
from ..tensor_files import opened
from ..untrusted import reading

NODE = "AttnDirLoadDemoModel"
FILES = {"UNet": "tiny_world.safetensors", "transformer": "storybook_transformer.safetensors"}
Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Prefixes:
    """Where the parts of one kind of file lie, and the size of its stock vocabulary."""

    model: str
    vae: str
    text: str
    table: str
    tokens: int


PREFIXES = {
    "unet": Prefixes("model.diffusion_model.", "first_stage_model.", "cond_stage_model.",
                     "cond_stage_model.transformer.text_model.embeddings.token_embedding", 49408),
    "transformer": Prefixes("model.diffusion_model.", "vae.", "text_encoders.",
                            "text_encoders.t5xxl.transformer.shared", 32128),
}


@dataclass(frozen=True, eq=False)
class DemoFile:
    """A file as it was read. kind: "unet" or "transformer"; facts: its metadata."""

    path: str
    kind: str
    weights: Weights
    facts: dict[str, str]

    @property
    def prefixes(self) -> Prefixes:
        return PREFIXES[self.kind]

    def part(self, prefix: str) -> Weights:
        """The tensors under a prefix, still with it."""
        return {key: value for key, value in self.weights.items() if key.startswith(prefix)}

    def fact(self, name: str) -> Any:
        """A fact that is kept as JSON."""
        return json.loads(self.facts[name])


def path_of(choice: str) -> Path:
    """The file of a choice of the node. Raises DirectorError when it is missing."""
    path = ASSETS / FILES[choice]
    if not path.is_file():
        raise DirectorError(NODE, f"{path.name} is missing from the pack's assets; install the pack again.")
    return path


def read(path: str) -> DemoFile:
    """Read a file, matrices in half precision, the token table whole. Raises DirectorError for a broken one."""
    with reading(NODE, f"{Path(path).name} cannot be read", "install the pack again."), opened(Path(path)) as file:
        facts, weights = dict(file.metadata), unpacked(file.read())
        kind = facts.get("model", "unet")
        table, tokens = PREFIXES[kind].table, PREFIXES[kind].tokens
        weights[table + ".weight"] = token_table(weights.pop(table + ".rows"), weights.pop(table + ".ids"), tokens)
    return DemoFile(path, kind, weights, facts)


def unpacked(stored: Weights) -> Weights:
    """int8 matrices times their scales, as half precision; everything else as it is."""
    return {key: (value.float() * stored[f"{key}.scale"][:, None]).half() if value.dtype == torch.int8 else value
            for key, value in stored.items() if not key.endswith(".scale")}


def token_table(rows: torch.Tensor, ids: torch.Tensor, tokens: int) -> torch.Tensor:
    """The full embedding table [tokens, C]: stored rows at their tokens, the shared row elsewhere."""
    table = rows[:1].expand(tokens, -1).clone()
    table[ids.long()] = rows[1:]
    return table
