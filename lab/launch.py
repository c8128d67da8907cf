"""Run the host's main.py with what a bare machine lacks declared first; arguments are the host's.

--with-parent, ours: leave when standard input closes, so that a killed parent leaves no server.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
from pathlib import Path

import engine


def leave_with_parent() -> None:
    """Wait, beside the server, for the parent's end of the pipe to close."""

    def wait() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock Python wants when it ends
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def without_accelerator() -> bool:
    import torch

    return not (torch.cuda.is_available() or torch.backends.mps.is_available()
                or (hasattr(torch, "xpu") and torch.xpu.is_available()))


def main() -> None:
    host = Path(os.environ["COMFYUI_PATH"])
    arguments = sys.argv[1:]
    if "--with-parent" in arguments:
        arguments.remove("--with-parent")
        leave_with_parent()
    engine.prepare()
    if "--cpu" not in arguments and without_accelerator():
        arguments.append("--cpu")
    sys.argv = [str(host / "main.py"), *arguments]
    sys.path[0] = str(host)
    runpy.run_path(str(host / "main.py"), run_name="__main__")


if __name__ == "__main__":
    main()
