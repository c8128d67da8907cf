"""The graph editor with the pack in it: python3 lab/run.py serve [--port N] [the host's own arguments]."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import host
from client import Server


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 lab/run.py serve", description=__doc__)
    parser.add_argument("--port", type=int, default=8188)
    parser.add_argument("--base", type=Path, default=host.cache_folder() / "serve",
                        help="folder for models, pictures and settings; it is kept")
    own, arguments = parser.parse_known_args()
    with contextlib.suppress(KeyboardInterrupt), \
            Server(arguments=tuple(arguments), base=own.base, port=own.port, echo=True) as server:
        print(f"\nAttention Director is at http://{server.address}: open Templates, Attention Director, 01. "
              "Ctrl+C stops it.", flush=True)
        server.process.wait()


if __name__ == "__main__":
    main()
