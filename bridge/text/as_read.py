"""What a text encoder reads of a typed prompt: not the brackets, numbers and backslashes of ComfyUI's weights.

Every part knows where it stands in the typed text, so that words can be shown as they were typed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Brackets within brackets that are followed: the host's own reading of a prompt ends long after that.
_MOST_DEPTH = 100
_SYMBOL = re.compile(r"\\[()]|.", re.DOTALL)
# Without the commas at its end. Asked for by a lazy run and a look ahead, thousands of commas would take minutes.
_NAME = re.compile(r"(?:^|(?<=\s))embedding:\s*(?:[^\s<\[]*[^\s<\[,]|,)")


@dataclass(frozen=True)
class Part:
    """A character with the marks on it, as read, or an embedding's name; text[start:stop] of the typed prompt.

    begins: a stretch of one weight, which the tokenizer is given by itself.
    """

    read: str
    start: int
    stop: int
    name: bool = False
    begins: bool = False


@dataclass(frozen=True)
class _Symbol:
    """A typed character, or an escaped bracket as one. weighs: a bracket that spells a weight."""

    read: str
    start: int
    stop: int

    @property
    def weighs(self) -> bool:
        return self.stop - self.start == 1 and self.read in "()"


def as_read(text: str, weights: bool = True) -> list[Part]:
    """The parts of a prompt in order, spaces included.

    weights: whether ComfyUI reads weights for this encoder; else brackets and numbers are text like any other.
    """
    symbols = [_Symbol(match[0][-1], *match.span()) for match in _SYMBOL.finditer(text)]
    return [part for segment in (_segments(symbols) if weights else [symbols]) for part in _parts(segment)]


def spells_weights(text: str) -> bool:
    """True for a prompt with a weight's number, such as (red hat:1.2)."""
    read = {i for part in as_read(text) for i in range(part.start, part.stop)}
    return any(letter == ":" and i not in read for i, letter in enumerate(text))


def _segments(symbols: Sequence[_Symbol], depth: int = 0) -> Iterator[Sequence[_Symbol]]:
    """Stretches of one weight, in order, without what spells it; cut where ComfyUI cuts. depth: brackets around."""
    for group in _groups(symbols):
        if depth == _MOST_DEPTH or len(group) < 2 or not _is(group[0], "(") or not _is(group[-1], ")"):
            yield group
            continue
        inside = group[1:-1]
        typed = "".join(symbol.read for symbol in inside)
        colon = typed.rfind(":")
        yield from _segments(inside[:colon] if colon > 0 and _is_number(typed[colon + 1:]) else inside, depth + 1)


def _groups(symbols: Sequence[_Symbol]) -> Iterator[Sequence[_Symbol]]:
    """Bracketed groups and what lies between them. An unmatched bracket is text."""
    depth = begin = 0
    for i, symbol in enumerate(symbols):
        if _is(symbol, "("):
            if depth == 0 and i > begin:
                yield symbols[begin:i]
                begin = i
            depth += 1
        elif _is(symbol, ")"):
            depth -= 1
            if depth == 0:
                yield symbols[begin:i + 1]
                begin = i + 1
    if begin < len(symbols):
        yield symbols[begin:]


def _is(symbol: _Symbol, bracket: str) -> bool:
    return symbol.weighs and symbol.read == bracket


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parts(segment: Sequence[_Symbol]) -> list[Part]:
    read = "".join(symbol.read for symbol in segment)
    names = {match.start(): match.end() for match in _NAME.finditer(read)}
    out: list[Part] = []
    i = 0
    while i < len(segment):
        stop = names.get(i, i + 1)
        while i not in names and stop < len(segment) and unicodedata.combining(read[stop]):
            stop += 1
        out.append(Part(read[i:stop], segment[i].start, segment[stop - 1].stop, i in names, begins=i == 0))
        i = stop
    return out
