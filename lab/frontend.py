"""The newest frontend beside the one that the host pins: people update it by itself, so the browser tests try both.

Fetched once into the user's cache by pip. Standard library only.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from host import cache_folder

NEWEST = "1.58.1"
PACKAGE = "comfyui-frontend-package"


class FrontendError(RuntimeError):
    """The frontend cannot be had; ``str()`` says why."""


def frontend_folder(version: str = NEWEST) -> Path:
    """What the host's --front-end-root takes, fetched when it is not there yet. Raises FrontendError."""
    folder = cache_folder() / f"frontend-{version}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile",
                       "--target", scratch, f"{PACKAGE}=={version}"]
            done = subprocess.run(command, capture_output=True, text=True)
            static = Path(scratch) / "comfyui_frontend_package" / "static"
            if done.returncode or not (static / "index.html").is_file():
                raise FrontendError(f"pip could not install {PACKAGE}=={version}:\n{done.stderr[-1000:]}")
            static.rename(folder)
    return folder
