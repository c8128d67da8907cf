"""The two files of a check: the page, and the small JSON beside it."""

from __future__ import annotations

from pathlib import Path

from ..files import save_at, save_numbered
from .page import page
from .report import Report, to_json

SAVER = "AttnDirSaveSelfCheck"


def write(report: Report, folder: Path) -> tuple[Path, Path]:
    """Both files in a folder, over older ones. Raises DirectorError where they cannot be written."""
    made = folder / "check.html", folder / "check.json"
    for path, text in zip(made, (page(report), to_json(report)), strict=True):
        save_at(SAVER, path, lambda beside, text=text: beside.write_text(text, encoding="utf-8"))
    return made


def write_numbered(report: Report, prefix: str) -> tuple[Path, Path]:
    """Both files in the host's output folder, under the next free number. Raises DirectorError."""
    shown = save_numbered(SAVER, prefix, lambda beside: beside.write_text(page(report), encoding="utf-8"), ".html")
    told = shown.with_suffix(".json")
    save_at(SAVER, told, lambda beside: beside.write_text(to_json(report), encoding="utf-8"))
    return shown, told
