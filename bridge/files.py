"""Files of the pack and of the person: the assets, model folders, and writing without half-written files.

Generic only: what a bank, a predictor or an adapter holds is known in its own room.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import folder_paths
from safetensors import SafetensorError

from .errors import DirectorError
from .untrusted import reading

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

    def stamp(self, node: str, name: str) -> str:
        """Changes when the file is replaced or written to; for a loader's fingerprint. Raises DirectorError."""
        path = self.path(node, name)
        with reading(node, f'"{name}" cannot be read', "put it there again."):
            found = path.stat()
        return f"{path} {found.st_mtime_ns} {found.st_size} {found.st_ino}"

    def output(self) -> Path:
        """Where the pack writes files of this kind."""
        return Path(folder_paths.get_output_directory()) / self.name

    def _register(self) -> None:
        """Tell the host of both folders. Idempotent."""
        for root in (folder_paths.models_dir, folder_paths.get_output_directory()):
            folder_paths.add_model_folder_path(self.name, os.path.join(root, self.name))
        folder_paths.folder_names_and_paths[self.name] = (folder_paths.get_folder_paths(self.name), set(self.kinds))


def save_numbered(node: str, prefix: str, write: Callable[[Path], object], kind: str = ".safetensors") -> Path:
    """Write a file under the next free number of a prefix in the output folder; its path.

    kind: its ending, with the dot. write: puts everything at the path it is given. Two that save at once get a number
    each. Raises DirectorError for a place outside of the output folder, and for whatever keeps the file from being
    written.
    """
    with saving(node, prefix):
        output = os.path.realpath(folder_paths.get_output_directory())
        if not Path(os.path.realpath(os.path.join(output, prefix))).is_relative_to(output):
            raise DirectorError(node, f'"{prefix}" leads out of the output folder; take the dots or the slash away.')
        folder, name, counter, *_ = folder_paths.get_save_image_path(prefix, output)
        with _beside(Path(folder)) as written:
            write(written)
            path = _claimed(Path(folder), name, counter, kind)
            try:
                os.replace(written, path)
            except OSError:
                path.unlink(missing_ok=True)
                raise
    return path


def save_at(node: str, path: Path, write: Callable[[Path], object]) -> Path:
    """Write a file at a path, in place of one that is there. Raises DirectorError where it cannot be written."""
    with saving(node, path.name):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _beside(path.parent) as written:
            write(written)
            os.replace(written, path)
    return path


def _claimed(folder: Path, name: str, counter: int, kind: str) -> Path:
    """The first free number, made ours by an empty file, which only one of two savers can make."""
    while True:
        path = folder / f"{name}_{counter:05}_{kind}"
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            return path
        except FileExistsError:
            counter += 1


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A path in the folder that no other saver has: a stopped run leaves no half file."""
    written = folder / f".{uuid4().hex}.part"
    try:
        yield written
    finally:
        with suppress(OSError):
            written.unlink(missing_ok=True)


@contextmanager
def saving(node: str, name: str) -> Iterator[None]:
    """Say in one sentence why a file could not be written."""
    try:
        yield
    except DirectorError:
        raise
    except (OSError, ValueError, SafetensorError) as error:
        code = _code_of(error)
        why = _WHY.get(code) if code else _ODD_NAME if isinstance(error, ValueError) else None
        why = why or f"{os.strerror(code) if code else type(error).__name__}; look at the disk and run again"
        raise DirectorError(node, f'"{name}" could not be saved: {why}.') from error


_ODD_NAME = "the name has characters that no file can have; choose another one"
_READ_ONLY = "the output folder cannot be written to; change that and run again"
_FULL = "the disk is full; make room and run again"
_IN_THE_WAY = "a file stands where its folder should be; move it away or choose another name"
_WHY = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EROFS: _READ_ONLY, errno.EACCES: _READ_ONLY,
        errno.EPERM: _READ_ONLY, errno.ENOTDIR: _IN_THE_WAY, errno.EEXIST: _IN_THE_WAY,
        errno.ENAMETOOLONG: "the name is too long; choose a shorter one", errno.EINVAL: _ODD_NAME}


def _code_of(error: Exception) -> int | None:
    """The system's number of an error; safetensors only writes it into its sentence."""
    if isinstance(error, OSError):
        return error.errno
    found = re.search(r"os error (\d+)", str(error)) if isinstance(error, SafetensorError) else None
    return int(found[1]) if found else None
