"""Where adapter files lie: the built-in one, the model folder and the output folder."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from .errors import DirectorError

FOLDER = "identity_adapters"
KINDS = (".safetensors", ".sft", ".bin", ".pt", ".pth", ".ckpt")
DEMO = "demo_identity.safetensors"
ASSETS = Path(__file__).resolve().parent.parent / "assets"


def register_folder() -> None:
    """Tell the host of models/identity_adapters and output/identity_adapters. Twice does no harm."""
    for root in (folder_paths.models_dir, folder_paths.get_output_directory()):
        folder_paths.add_model_folder_path(FOLDER, os.path.join(root, FOLDER))


def adapter_names() -> list[str]:
    """What the combo lists, the built-in adapter first."""
    register_folder()
    found = [name for name in folder_paths.get_filename_list(FOLDER) if name.lower().endswith(KINDS)]
    return [DEMO, *(name for name in found if name != DEMO)]


def adapter_path(node: str, name: str) -> Path:
    """The file of a name in the combo; never outside the host's folders. Raises DirectorError."""
    if name == DEMO:
        path = ASSETS / DEMO
        if not path.is_file():
            raise DirectorError(node, f"{DEMO} is missing from the pack's assets; install the pack again.")
        return path
    register_folder()
    found = folder_paths.get_full_path(FOLDER, name)
    if found is None or not name.lower().endswith(KINDS):
        raise DirectorError(node, f'"{name}" is not in models/{FOLDER} or output/{FOLDER}; put it there and refresh.')
    return Path(found)


def converted_path(path: Path) -> Path:
    """Where the safetensors made of a pickle goes: output/identity_adapters."""
    return Path(folder_paths.get_output_directory()) / FOLDER / f"{path.stem}.safetensors"
