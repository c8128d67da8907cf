"""The front door: python3 lab/run.py COMMAND, see COMMANDS. Standard library only.

The first call makes one environment in the user's cache, with the real host in it; later calls start
at once. Settings of pip (PIP_* variables, pip.conf) hold here as everywhere: an extra index with CPU
builds of torch saves gigabytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import browser
import host

ROOT = Path(__file__).resolve().parent.parent
LAB = ROOT / "lab"
COMMANDS = ("demo", "test", "serve", "check", "bench", "train", "variants", "cards")
TORCH = "torch==2.13.0"
# These would pull another torch, so they come without dependencies; pinned ones keep the host's pin.
BARE = ("torchvision==0.28.0", "kornia", "kornia_rs", "spandrel", "torchsde", "trampoline")
BARE_AS_PINNED = ("comfy-kitchen", "comfy-aimdo", "comfyui-frontend-package", "comfyui-workflow-templates",
                  "comfyui-embedded-docs")
LEFT_OUT = ("torch", "torchvision", "torchaudio", "kornia", "spandrel", "torchsde", *BARE_AS_PINNED)
STARTED = time.monotonic()


def say(text: str) -> None:
    print(f"[{time.monotonic() - STARTED:5.0f} s] {text}", flush=True)


def environment_folder() -> Path:
    """Named by a hash of all that it holds, so that a change of any list makes another one."""
    lists = (LAB / "requirements.txt").read_text(encoding="utf-8")
    parts = [TORCH, *BARE, *LEFT_OUT, lists, host.identity(), sys.version, sys.platform]
    return host.cache_folder() / f"env-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:12]}"


def python_of(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """One maker at a time; the system drops the lock of a process that dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if os.name == "nt":
            import msvcrt

            file.seek(0)
            while True:  # msvcrt gives up after ten seconds
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
                except OSError:
                    continue
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ready() -> tuple[Path, Path]:
    """(python, host folder), made when they are not there yet."""
    folder = environment_folder()
    with lock(host.cache_folder() / "making.lock"):
        if not (folder / "complete").is_file():
            make_environment(folder)
        return python_of(folder), host.get_host(python_of(folder))


def make_environment(folder: Path) -> None:
    """A virtual environment cannot be moved, so a marker file, written last, says that it is whole."""
    say(f"making the environment in {folder} (once; about 2.5 GB and some minutes)")
    if folder.exists():
        shutil.rmtree(folder)
    try:
        venv.create(folder, with_pip=True)
    except (subprocess.CalledProcessError, ImportError) as error:
        raise SystemExit(f"this Python cannot make virtual environments ({error}); where its venv module is a package "
                         "of its own, such as python3-venv, install that") from None
    python = python_of(folder)
    say(f"getting the host, ComfyUI {host.VERSION}" if not host.named_folder() else "taking the host in COMFYUI_PATH")
    comfyui = host.get_host(python)
    general, bare = split_requirements((comfyui / "requirements.txt").read_text(encoding="utf-8"))
    say(f"installing {TORCH}, the largest part")
    install(python, folder, [TORCH])
    say(f"installing what the host requires ({len(general)} packages) and the lab's tools")
    install(python, folder, [*general, "-r", str(LAB / "requirements.txt")])
    say(f"installing {len(bare)} packages that must not bring another torch")
    install(python, folder, ["--no-deps", *bare])
    (folder / "complete").write_text(f"{TORCH}\n", encoding="utf-8")
    say("the environment is complete")


def split_requirements(text: str) -> tuple[list[str], list[str]]:
    """The host's requirement lines: those to install as they are, and those without dependencies."""
    lines = [line.split("#")[0].strip() for line in text.splitlines()]
    named = {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower(): line for line in lines if line}
    general = [line for name, line in named.items() if name not in LEFT_OUT]
    return general, [*BARE, *(named[name] for name in BARE_AS_PINNED if name in named)]


def install(python: Path, folder: Path, what: Sequence[str]) -> None:
    """pip install, its words in a log beside the environment."""
    log = folder / "install.log"
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", *what]
    with log.open("a", encoding="utf-8") as out:
        failed = subprocess.run(command, stdout=out, stderr=subprocess.STDOUT).returncode
    if failed:
        tail = "\n".join(log.read_text(encoding="utf-8").splitlines()[-15:])
        raise SystemExit(f"{tail}\npip could not install {' '.join(what)}; the whole log is {log}")


def call(command: Sequence[str | Path], variables: dict[str, str], folder: Path = ROOT) -> int:
    """Run to the end. Ctrl+C reaches the child by itself; it is given the time to clean up."""
    child = subprocess.Popen([str(part) for part in command], cwd=folder, env={**os.environ, **variables})

    def stop(*_: object) -> None:
        child.terminate()
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, stop)
    interrupted = False
    while True:
        try:
            code = child.wait()
        except KeyboardInterrupt:
            interrupted = True
        else:
            break
    if interrupted:
        raise SystemExit(130)
    return code


def type_settings(comfyui: Path) -> Path:
    """The type checker's settings plus the host's folder, which is another one on every machine."""
    path = environment_folder() / "types.json"
    path.write_text(json.dumps({"extends": str(ROOT / "pyproject.toml"), "extraPaths": [str(comfyui), str(LAB)],
                                "include": [str(ROOT / part) for part in ("core", "bridge", "nodes", "lab")]}),
                    encoding="utf-8")
    return path


def run_tests(python: Path, comfyui: Path, extra: list[str], variables: dict[str, str]) -> int:
    """All checkers, also after one has failed."""
    checks = {
        "ruff": [python, "-m", "ruff", "check", "."],
        "types": [python, "-m", "basedpyright", "-p", type_settings(comfyui), "--pythonpath", python],
        "web types": [python, LAB / "web.py", "types"],
        "web tests": [python, LAB / "web.py", "tests"],
        "tests": [python, "-m", "pytest", *(extra or ("-n", "auto", "--dist", "loadgroup", "--durations=25"))],
    }
    results = {}
    for name, command in checks.items():
        say(name)
        results[name] = call(command, variables)
    say("; ".join(f"{name}: {'failed' if code else 'ok'}" for name, code in results.items()))
    return int(any(results.values()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 lab/run.py", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    command, extra = parser.parse_known_args()
    if sys.version_info < (3, 10):  # noqa: UP036  (any Python may start this file)
        raise SystemExit("Attention Director needs Python 3.10 or newer")
    try:
        python, comfyui = ready()
    except host.HostError as error:
        raise SystemExit(str(error)) from None
    # OpenMP threads that spin while they wait make two busy processes on few cores crawl.
    # A training has the machine to itself, and its threads meet too often to sleep in between.
    waiting = {} if command.command == "train" else {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "0")}
    variables = {"COMFYUI_PATH": str(comfyui), **waiting,
                 "PYTHONUNBUFFERED": "1"}
    if command.command == "test":
        browser.bring(say)
        return run_tests(python, comfyui, extra, variables)
    # A check names files of a person, who is somewhere else.
    folder = Path.cwd() if command.command == "check" else ROOT
    return call([python, LAB / f"{command.command}.py", *extra], variables, folder)


if __name__ == "__main__":
    sys.exit(main())
