"""The one part of the tests that no Python package brings: a Chromium. Standard library only."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


def installed() -> str:
    """Path of a Chromium on PATH, "" where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), "")


def bring(say: Callable[[str], None]) -> None:
    """Install Debian's chromium where this is root's own machine, a container mostly, and has none.

    Anywhere else, and where that fails, the browser tests say what is missing.
    """
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if os.environ.get("ATTENTION_DIRECTOR_BROWSER") or installed() or not (root and shutil.which("apt-get")):
        return
    say("installing chromium by apt-get for the browser tests")
    for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-yq", "--no-install-recommends", "chromium"]):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                              env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
        if done.returncode:
            say(f"{' '.join(command)} failed: {(done.stderr or done.stdout).strip()[-300:]}")
            return
