"""Two reports side by side, as text. Both are somebody's files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ..untrusted import Unreadable, reading
from .report import MOST_CHARACTERS, Report, from_json, rounded

NODE = "check"
WIDTHS = (34, 38, 38)


def read(path: Path) -> Report:
    """A report's JSON. Raises DirectorError for what is none."""
    with reading(NODE, f'"{path.name}" cannot be read', "give the .json file of a self check."):
        with open(path, "rb") as stream:
            text = stream.read(MOST_CHARACTERS + 1)
        if len(text) > MOST_CHARACTERS:
            raise Unreadable("it is longer than a self check")
        return from_json(text.decode("utf-8"))


def compare(a: Report, b: Report) -> str:
    """The machines, the verdicts, and every number of the parts as a whole."""
    lines = [_line(("", "A", "B")), *_machines(a, b), ""]
    for name in dict.fromkeys((*a.verdicts, *b.verdicts)):
        rows = [report.verdicts.get(name) for report in (a, b)]
        lines.append(_line((name, *(row.verdict if row else "-" for row in rows))))
        numbers = [dict(row.numbers) if row else {} for row in rows]
        lines += [_line((f"  {key}", *(_said(own.get(key)) for own in numbers)))
                  for key in dict.fromkeys((*numbers[0], *numbers[1]))]
    return "\n".join(lines)


def _machines(a: Report, b: Report) -> Iterator[str]:
    for name in dict.fromkeys((*a.machine, *b.machine)):
        values = [_said(report.machine.get(name)) for report in (a, b)]
        mark = "" if values[0] == values[1] else " *"
        yield _line((f"{name}{mark}", *values))


def _said(value: str | float | None) -> str:
    if value is None or isinstance(value, str):
        return value or "-"
    return f"{rounded(value):g}" if rounded(value) is not None else "-"


def _line(cells: Sequence[str]) -> str:
    return "  ".join(cell[:width].ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()
