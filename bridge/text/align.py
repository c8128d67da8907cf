"""Two spellings of one text laid along each other."""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Sequence

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

    So a character that a vocabulary lacks stays within its word, and a long text is laid in a short time.
    """
    a, b = _words(ours, space), _words(theirs, space)
    matcher = difflib.SequenceMatcher(None, [tuple(ours[slice(*w)]) for w in a], [tuple(theirs[slice(*w)]) for w in b],
                                      autojunk=False)
    out: list[Span] = []
    for _, i, j, k, m in matcher.get_opcodes():
        pairs = zip(a[i:j], b[k:m], strict=True) if j - i == m - k else [(_joined(a, i, j), _joined(b, k, m))]
        for (start, stop), (first, last) in pairs:
            out += [(start + x, start + y) for x, y in aligned(ours[start:stop], theirs[first:last])]
    return out


def _words(symbols: Sequence[Hashable], space: Hashable) -> list[Span]:
    starts = [0, *(i for i, symbol in enumerate(symbols) if i and symbol == space)]
    return list(zip(starts, [*starts[1:], len(symbols)], strict=True))


def _joined(words: list[Span], first: int, last: int) -> Span:
    """words[first:last] as one stretch, empty where it is none."""
    start = words[first][0] if first < len(words) else words[-1][1]
    return start, words[last - 1][1] if first < last else start
