"""Two spellings of one text laid along each other."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Iterator, Sequence

Span = tuple[int, int]


def aligned(ours: Sequence[Hashable], theirs: Sequence[Hashable]) -> list[Span]:
    """Where each of their symbols stands among ours: (start, stop).

    They are the same but for what a tokenizer changed or left out; there a changed stretch stands for the whole
    stretch it replaces.
    """
    head = 0
    while head < min(len(ours), len(theirs)) and ours[head] == theirs[head]:
        head += 1
    out = [(i, i + 1) for i in range(head)]
    if head == len(theirs):
        return out
    matcher = difflib.SequenceMatcher(None, ours[head:], theirs[head:], autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        out += [(head + a + n, head + a + n + 1) if kind == "equal" else (head + a, head + b) for n in range(d - c)]
    return out


def aligned_by_words(ours: Sequence[Hashable], theirs: Sequence[Hashable], space: Hashable) -> list[Span]:
    """``aligned``, words first and then what stands in those that differ. space: the symbol that begins a word.

    So a character that a vocabulary lacks stays within its word. As many words are laid one by one, in linear time.
    """
    a, b = _words(ours, space), _words(theirs, space)
    out: list[Span] = []
    for (start, stop), (first, last) in zip(a, b, strict=True) if len(a) == len(b) else _pairs(ours, a, theirs, b):
        out += [(start + x, start + y) for x, y in aligned(ours[start:stop], theirs[first:last])]
    return out


def _pairs(ours: Sequence[Hashable], a: list[Span], theirs: Sequence[Hashable],
           b: list[Span]) -> Iterator[tuple[Span, Span]]:
    """Words that stand for each other; where a tokenizer parted or joined some, the stretches that they fill."""
    matcher = difflib.SequenceMatcher(None, [tuple(ours[slice(*word)]) for word in a],
                                      [tuple(theirs[slice(*word)]) for word in b], autojunk=False)
    for _, i, j, k, m in matcher.get_opcodes():
        if j - i == m - k:
            yield from zip(a[i:j], b[k:m], strict=True)
        else:
            yield _joined(a, i, j), _joined(b, k, m)


def _words(symbols: Sequence[Hashable], space: Hashable) -> list[Span]:
    starts = [0, *(i for i, symbol in enumerate(symbols) if i and symbol == space)]
    return list(zip(starts, [*starts[1:], len(symbols)], strict=True))


def _joined(words: list[Span], first: int, last: int) -> Span:
    """words[first:last] as one stretch, empty where it is none."""
    start = words[first][0] if first < len(words) else words[-1][1]
    return start, words[last - 1][1] if first < last else start
