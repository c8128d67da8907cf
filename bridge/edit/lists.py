"""AttentionEdit's lists, one entry per line, as phrases with numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from ...core.local_blend import positions_of
from ...core.schedule import Schedule
from ...core.text import Phrase, TextLayout
from ..errors import DirectorError
from ..text.prompt import tokenise_phrase
from ..text.refusals import missing

# Two runs of digits side by side would try each way to part a long one.
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)"
_SHARE = r"(?:\d+(?:\.\d+)?|\.\d+)"


def _lines(text: str) -> list[tuple[int, str]]:
    """Numbered lines that hold something."""
    return [(number, line.strip()) for number, line in enumerate((text or "").splitlines(), 1) if line.strip()]


def read_words(node: str, clip: Any, text: str) -> tuple[Phrase, ...]:
    """Phrases, one per line."""
    return tuple(tokenise_phrase(clip, line, node) for _, line in _lines(text))


def read_weights(node: str, clip: Any, text: str, targets: Sequence[TextLayout]) -> list[tuple[Phrase, float]]:
    """``snow: 1.8`` lines. Raises DirectorError for another spelling, and for words of no target."""
    found = []
    for number, line in _lines(text):
        match = re.fullmatch(rf"(.*\S)\s*:\s*({_NUMBER})", line)
        if not match or not math.isfinite(float(match[2])):
            raise DirectorError(node, f'reweight line {number} "{line}" should read "{_like_weight(line)}".')
        wanted = tokenise_phrase(clip, match[1], node)
        require(node, f"reweight line {number}", wanted, targets, "any target prompt")
        found.append((wanted, float(match[2])))
    return found


def _like_weight(line: str) -> str:
    match = re.fullmatch(rf"(.*?\w)[\s:=,]+({_NUMBER})", line)
    return f"{match[1]}: {match[2]}" if match else "snow: 1.8"


def read_windows(node: str, clip: Any, text: str, targets: Sequence[TextLayout]) -> list[tuple[Phrase, Schedule]]:
    """``snow: 0-0.4`` lines. Raises DirectorError for another spelling, and for words of no target."""
    found = []
    for number, line in _lines(text):
        match = re.fullmatch(rf"(.*\S)\s*:\s*({_SHARE})\s*-\s*({_SHARE})", line)
        if not match:
            raise DirectorError(node, f'word_windows line {number} "{line}" should read "{_like_window(line)}".')
        start, end = float(match[2]), float(match[3])
        if end > 1.0:
            raise DirectorError(node, f'word_windows line {number} "{line}" goes past 1; give shares from 0 to 1.')
        if start > end:
            raise DirectorError(node, f'word_windows line {number} "{line}" ends before it starts; swap the two.')
        wanted = tokenise_phrase(clip, match[1], node)
        require(node, f"word_windows line {number}", wanted, targets, "any target prompt")
        found.append((wanted, Schedule(start, end)))
    return found


def _like_window(line: str) -> str:
    match = re.fullmatch(rf"(.*?\w)[\s:=,]+({_SHARE})[\s:=,to-]+({_SHARE})", line)
    return f"{match[1]}: {match[2]}-{match[3]}" if match else "snow: 0-0.4"


def require(node: str, where: str, wanted: Phrase, rows: Sequence[TextLayout], place: str) -> None:
    """Raise DirectorError unless some of the prompts hold the phrase. place: "any prompt" or which of them."""
    if not any(positions_of(wanted, row) for row in rows):
        who = f'{where}: "{wanted.text}"'
        raise DirectorError(node, missing(who, wanted, rows, "Use words of the prompt.", where=place))
