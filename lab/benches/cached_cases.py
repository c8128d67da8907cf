"""One case after another, on all cores, each kept as soon as it is measured: a bench that was cut goes on.

What is kept lies in the user's cache, in a file whose name depends on the weights and on the code that draws
and judges: nothing that was measured of other pictures is ever counted. Such files of several machines may be
joined end to end.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import engine
import host
import torch
from pack import load_pack
from world.draw import World, load_world

ROOT = Path(__file__).resolve().parents[2]
# What a picture and its judgement depend on, beside the bench's own files.
SOURCES = ("assets/tiny_world.safetensors", "core/**/*.py", "bridge/**/*.py", "lab/world/[!t]*.py",
           "lab/benches/cached_cases.py")
STORYBOOK = ("assets/storybook_transformer.safetensors", "lab/storybook/*.npz", "lab/storybook/oracle.safetensors",
             "lab/storybook/[!t]*.py")
OWN = {"storybook_layout": STORYBOOK, "storybook_edit": STORYBOOK,
       "storybook_subject": (*STORYBOOK, "lab/benches/subject_methods.py"),
       "storybook_landing": (*STORYBOOK, "lab/benches/storybook_layout*.py"),
       "storybook_identity": (*STORYBOOK, "lab/benches/storybook_layout*.py"),
       "storybook_sketch": (*STORYBOOK, "assets/storybook_edges.safetensors", "lab/benches/sketch_cases.py",
                            "lab/benches/sketch_methods.py"),
       "sketch": ("assets/demo_edges.safetensors",),
       "identity": ("assets/demo_identity.safetensors", "lab/identity/patterns.py", "lab/identity/records.py")}
THREADS = 1  # a batch of two is too small to share among cores
WORKER: dict[str, World] = {}


def start_worker(choice: str) -> None:
    """Each worker process holds a world of its own. choice: of the demo models."""
    engine.enter()
    load_pack()
    torch.set_num_threads(THREADS)
    WORKER["world"] = load_world(choice)


def digest(bench: str) -> str:
    """Of everything that the measurements of a bench depend on.

    Weights count by their bytes, code by its top-level statements: which file a function lies in, how it is
    imported and what its docstring says change no measurement.
    """
    parts: set[str] = set()
    for pattern in (*SOURCES, *OWN.get(bench, ()), f"lab/benches/{bench}*.py"):
        for path in ROOT.glob(pattern):
            parts |= statements(path.read_text(encoding="utf-8")) if path.suffix == ".py" else {_sha(path.read_bytes())}
    return _sha("".join(sorted(parts)).encode())[:10]


def statements(code: str) -> set[str]:
    """A hash of each top-level statement, without imports and docstrings."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not (isinstance(s, (ast.Import, ast.ImportFrom)) or _is_text(s))]  # type: ignore[attr-defined]
    return {_sha(ast.dump(statement).encode()) for statement in tree.body}


def _is_text(statement: ast.stmt) -> bool:
    return (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            and isinstance(statement.value.value, str))


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Cases:
    """The cases of one bench: a pool of workers, and what they measured, now or in another run."""

    def __init__(self, bench: str, kept: Path | None = None, choice: str = "UNet") -> None:
        self.bench = bench
        self.kept = kept or host.cache_folder() / "bench" / f"{bench}-{digest(bench)}.jsonl"
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        self.known = self._read()
        workers = 1 if torch.cuda.is_available() else max(1, engine.cores() // THREADS)
        self.pool = ProcessPoolExecutor(workers, get_context("spawn"), start_worker, (choice,))

    def _read(self) -> dict[str, Any]:
        text = self.kept.read_text(encoding="utf-8") if self.kept.exists() else ""
        whole = text[:text.rfind("\n") + 1]  # a last line without an end was being written when the bench was cut
        if whole != text:
            self.kept.write_text(whole, encoding="utf-8")
        return {json.dumps(job): found for job, found in map(json.loads, whole.splitlines())}

    def each(self, measure: Callable[[Any], Any], jobs: Iterable[Any]) -> list[Any]:
        """``measure(job)`` of every job, in their order; both are what JSON holds, tuples become lists."""
        keys = {json.dumps([measure.__name__, job]): job for job in jobs}
        missing = [key for key in keys if key not in self.known]
        with self.kept.open("a", encoding="utf-8") as file:
            found = self.pool.map(measure, [keys[key] for key in missing])
            for done, (key, value) in enumerate(zip(missing, found, strict=True), 1):
                line = json.dumps([json.loads(key), value], default=float)
                file.write(line + "\n")
                file.flush()
                self.known[key] = json.loads(line)[1]
                if done % 10 == 0 or done == len(missing):
                    print(f"{self.bench}: {measure.__name__} {done}/{len(missing)}", flush=True)
        return [self.known[key] for key in keys]

    def __enter__(self) -> Cases:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(cancel_futures=True)
