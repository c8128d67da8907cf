"""Where subject banks lie: the model folder "subject_banks" and the output folder of the same name."""

from __future__ import annotations

import os

import folder_paths
import torch

from .errors import DirectorError
from .subject_bank import SubjectBank, load_bank, save_bank

FOLDER = "subject_banks"
DTYPES = {"fp16": torch.float16, "fp32": torch.float32}


def bank_names() -> list[str]:
    """Names of the banks that can be loaded, newest listing each time."""
    for root in (folder_paths.models_dir, folder_paths.get_output_directory()):
        folder_paths.add_model_folder_path(FOLDER, os.path.join(root, FOLDER))
    folder_paths.folder_names_and_paths[FOLDER] = (folder_paths.get_folder_paths(FOLDER), {".safetensors"})
    return folder_paths.get_filename_list(FOLDER)


def bank_path(node: str, name: str) -> str:
    """The file of a listed bank. Raises DirectorError for a name that is not in the host's folders."""
    path = folder_paths.get_full_path(FOLDER, name) if name in bank_names() else None
    if path is None:
        raise DirectorError(node, f'there is no bank "{name}"; refresh the list, or save one first.')
    return path


def read_bank(node: str, name: str) -> SubjectBank:
    return load_bank(node, bank_path(node, name))


def write_bank(node: str, bank: SubjectBank, prefix: str, dtype: str) -> str:
    """Save under a new number in the output folder; returns the path. Raises DirectorError outside of it."""
    output = folder_paths.get_output_directory()
    folder, name, counter, *_ = folder_paths.get_save_image_path(prefix, output)
    if os.path.commonpath((os.path.realpath(output), os.path.realpath(folder))) != os.path.realpath(output):
        raise DirectorError(node, f'"{prefix}" leads out of the output folder; take the dots or the slash away.')
    while os.path.exists(path := os.path.join(folder, f"{name}_{counter:05}_.safetensors")):
        counter += 1
    save_bank(bank, path, DTYPES[dtype])
    return path
