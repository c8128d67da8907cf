"""Files of the pack and of the person: the assets, model folders, and writing without half-written files.

Generic only: what a bank, a predictor or an adapter holds is known in its own room.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import folder_paths

from .errors import DirectorError

ASSETS = Path(__file__).resolve().parent.parent / "assets"


@dataclass(frozen=True)
class ModelFolder:
    """One kind of file: models/<name>, output/<name>, and what the pack bundles.

    kinds: endings that count, in lower case, with the dot. bundled: names of assets, listed first.
    """

    name: str
    kinds: tuple[str, ...]
    bundled: tuple[str, ...] = ()

    def names(self) -> list[str]:
        """What a combo lists; read anew each time."""
        self._register()
        found = folder_paths.get_filename_list(self.name)
        own = sorted(name for name in found if name.lower().endswith(self.kinds) and name not in self.bundled)
        return [*self.bundled, *own]

    def path(self, node: str, name: str) -> Path:
        """The file of a name in the combo; never outside the host's folders. Raises DirectorError."""
        if name in self.bundled:
            path = ASSETS / name
            if not path.is_file():
                raise DirectorError(node, f"{name} is missing from the pack's assets; install the pack again.")
            return path
        self._register()
        found = folder_paths.get_full_path(self.name, name) if name.lower().endswith(self.kinds) else None
        if found is None:
            raise DirectorError(node, f'"{name}" is not in models/{self.name} or output/{self.name}; put it there and '
                                      "press R to read the list again.")
        return Path(found)

    def output(self) -> Path:
        """Where the pack writes files of this kind."""
        return Path(folder_paths.get_output_directory()) / self.name

    def _register(self) -> None:
        """Tell the host of both folders. Idempotent."""
        for root in (folder_paths.models_dir, folder_paths.get_output_directory()):
            folder_paths.add_model_folder_path(self.name, os.path.join(root, self.name))
        folder_paths.folder_names_and_paths[self.name] = (folder_paths.get_folder_paths(self.name), set(self.kinds))


def numbered_path(node: str, prefix: str) -> Path:
    """The next free file name for a prefix in the output folder. Raises DirectorError for a place outside of it."""
    output = os.path.realpath(folder_paths.get_output_directory())
    if not Path(os.path.realpath(os.path.join(output, prefix))).is_relative_to(output):
        raise DirectorError(node, f'"{prefix}" leads out of the output folder; take the dots or the slash away.')
    folder, name, counter, *_ = folder_paths.get_save_image_path(prefix, output)
    while os.path.exists(path := os.path.join(folder, f"{name}_{counter:05}_.safetensors")):
        counter += 1
    return Path(path)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to, renamed to it at the end: a stopped run leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
