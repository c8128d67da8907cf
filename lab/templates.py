"""The workflows that the editor lists as cards, and the numbers of those for the demo models.

A number says where an example stands: by method, then in the order of the numbers that the files have. `lab/run.py
variants` renumbers, so a new example may begin with any number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "workflows"
METHODS = ("Region Prompt", "Attention Edit", "Attention Readout", "Shared Subject", "Sketch Guidance",
           "Identity Inject", "Self Check")


def split(stem: str) -> tuple[int, str]:
    """(number, name) of an example; (0, "") for the name of a workflow that has no number."""
    found = re.fullmatch(r"(\d+) (.+)", stem)
    return (int(found[1]), found[2]) if found else (0, "")


def examples() -> list[Path]:
    return sorted(path for path in FOLDER.glob("*.json") if split(path.stem)[0])


def example(name: str) -> Path:
    """The example of this name, whatever its number. Raises StopIteration when there is none."""
    return next(path for path in examples() if split(path.stem)[1] == name)


def numbered(stems: Iterable[str]) -> dict[str, str]:
    """Each example's stem -> the one it should have. Raises ValueError for a method that METHODS does not name."""
    def place(stem: str) -> tuple[int, int, str]:
        number, name = split(stem)
        method = name.partition(" - ")[0]
        if method not in METHODS:
            raise ValueError(f"{stem}: METHODS does not name {method}")
        return METHODS.index(method), number, name

    return {stem: f"{number:02} {split(stem)[1]}" for number, stem in enumerate(sorted(stems, key=place), 1)}


def renumber() -> None:
    """Give every example its number: in its files' names, and in those of the pictures that it saves."""
    files, gone = {}, []
    for old, new in numbered(path.stem for path in examples()).items():
        was, becomes = (f"attention_director/{stem.partition(' ')[0]}" for stem in (old, new))
        for ending in (".json", ".jpg"):
            path = FOLDER / (old + ending)
            files[new + ending] = path.read_bytes()
            gone.append(path)
        files[new + ".json"] = files[new + ".json"].replace(was.encode(), becomes.encode())
    for path in gone:  # only when every file was there
        path.unlink()
    for name, data in files.items():
        (FOLDER / name).write_bytes(data)
