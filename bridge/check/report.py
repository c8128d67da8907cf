"""What a check found, as values, and the small JSON of it that a person can share.

It holds numbers, our own words, and what ComfyUI says of itself and the card: no paths, no files, no prompts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F

from ..errors import MOST_SENTENCE, readable, shortened
from ..untrusted import Unreadable, finite, parse_json

Verdict = Literal["works", "fails", "told", "refused", "left out", "broke"]
FORMAT = 1
MOST_CHARACTERS = 200_000
SHOT_PX = 384
MOST_ROWS, MOST_FACTS, MOST_NAME = 200, 40, 80
DIGITS = 4
_KINDS = r"\.(?:safetensors|sft|ckpt|pt|pth|bin|gguf|json|png|jpe?g|webp|py)\b"
_QUOTED = re.compile(rf"""(["'])[^"'\n]{{1,250}}?{_KINDS}\1""", re.IGNORECASE)  # a name may have spaces
_FILE = re.compile(rf"[\w-][\w.-]{{0,250}}{_KINDS}", re.IGNORECASE)
_PIECE = re.compile(r"""[^\s"'()]+""")


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture of the page. picture: uint8 [H, W, 3]. boxes: what was asked for where, in shares of its sides."""

    caption: str
    picture: torch.Tensor
    boxes: tuple[tuple[float, float, float, float], ...] = ()


def shot_of(caption: str, picture: torch.Tensor, boxes: tuple[tuple[float, float, float, float], ...] = ()) -> Shot:
    """A shot no larger than a page wants. picture: [H, W, 3] in 0..1."""
    shrink = min(1.0, SHOT_PX / max(picture.shape[:2]))
    if shrink < 1.0:
        small = F.interpolate(picture.movedim(-1, 0)[None], scale_factor=shrink, mode="area")
        picture = small[0].movedim(0, -1)
    return Shot(caption, (picture.clamp(0, 1) * 255).round().to("cpu", torch.uint8), boxes)


@dataclass(frozen=True, eq=False)
class Row:
    """One finding. check: of which part; case: "" for the part as a whole.

    verdict: "works" and "fails" judge; "told" only tells a number; "refused" quotes the node; "left out" says why;
    "broke" is an error of ours or the host's. says: a sentence or two. paste: text for a node.
    """

    check: str
    case: str
    verdict: Verdict
    says: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    shots: tuple[Shot, ...] = ()
    paste: str = ""


@dataclass(frozen=True, eq=False)
class Report:
    """machine: facts of the model, the card and the programs. seconds: that the check took."""

    machine: Mapping[str, str | float]
    rows: tuple[Row, ...]
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def verdicts(self) -> dict[str, Row]:
        """The last row of each part about it as a whole."""
        return {row.check: row for row in self.rows if not row.case}

    @property
    def in_short(self) -> str:
        """The verdicts in a line."""
        return "; ".join(f"{row.check}: {row.verdict}" for row in self.verdicts.values())

    def as_text(self) -> str:
        """A line for each part, and what can be pasted."""
        lines = [f"{row.check}: {row.verdict}; {row.says}" for row in self.verdicts.values()]
        return "\n".join([*lines, *(f"\n{row.paste}" for row in self.rows if row.paste)])


def shareable(text: str) -> str:
    """A sentence without what is a person's own: places on the disk and names of files."""
    short = shortened(text, 2 * MOST_SENTENCE)
    named = _FILE.sub("a file", _QUOTED.sub("a file", short))
    return readable(_PIECE.sub(lambda found: "..." if re.search(r"[/\\]", found[0]) else found[0], named))


def to_json(report: Report) -> str:
    """The report without its pictures."""
    rows = [{"check": row.check, "case": row.case, "verdict": row.verdict, "says": shareable(row.says),
             "numbers": {name: rounded(value) for name, value in row.numbers.items()},
             **({"paste": row.paste} if row.paste else {})} for row in report.rows[:MOST_ROWS]]
    whole = {"attention_director_check": FORMAT, "machine": {name: _fact(v) for name, v in report.machine.items()},
             "seconds": rounded(report.seconds), "interrupted": report.interrupted, "rows": rows}
    return json.dumps(whole, indent=1, ensure_ascii=True)


def rounded(value: float) -> float | None:
    """To so many digits that count; None for what is no number, which JSON has no word for."""
    return float(f"{value:.{DIGITS}g}") if value == value and abs(value) != float("inf") else None


def _fact(value: str | float) -> str | float | None:
    return shortened(shareable(value), MOST_NAME) if isinstance(value, str) else rounded(value)


def from_json(text: str) -> Report:
    """A report of somebody else's, without pictures. Raises what ``untrusted.reading`` turns into a sentence."""
    whole = parse_json(text, MOST_CHARACTERS)
    if not isinstance(whole, dict) or whole.get("attention_director_check") != FORMAT:
        raise Unreadable("it is no self check of this version")
    machine, rows = whole["machine"], whole["rows"]
    if len(rows) > MOST_ROWS or len(machine) > MOST_FACTS:
        raise Unreadable("it is longer than a self check")
    facts = {_words(name, MOST_NAME): _words(value, MOST_NAME) if isinstance(value, str) else _number(value)
             for name, value in machine.items()}
    return Report(facts, tuple(map(_row, rows)), finite(whole["seconds"]), whole["interrupted"] is True)


def _row(found: Mapping[str, Any]) -> Row:
    verdict = found["verdict"]
    if verdict not in get_args(Verdict) or len(found["numbers"]) > MOST_FACTS:
        raise Unreadable("it has rows that are none")
    numbers = {_words(name, MOST_NAME): _number(value) for name, value in found["numbers"].items()}
    return Row(_words(found["check"], MOST_NAME), _words(found["case"], MOST_NAME), verdict,
               _words(found["says"], MOST_SENTENCE), numbers)


def _words(value: Any, most: int) -> str:
    if not isinstance(value, str):
        raise Unreadable("it has something else where words belong")
    return shortened(readable(value), most)


def _number(value: Any) -> float:
    return float("nan") if value is None else finite(value)
