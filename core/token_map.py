"""Method: Prompt-to-Prompt, arXiv 2208.01626. Written from the paper; no code copied.

Which tokens of a target prompt take over the attention of which tokens of the source: word by word
where the prompts have equally many words (replace), by alignment where words were added (refine).

A prompt is laid out as one line: what stands before its words (a begin token, a template, nothing, or padding too),
all words, then what stands behind them. Tokens before pair with each other counted from the words. Begin, end and
padding tokens between the words of several chunks pair with those of the same place.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from .text import TextLayout, Word
from .words import folded

_END = "<end>"


@dataclass(frozen=True, eq=False)
class TokenMap:
    """What a target's tokens copy: A' = (A_src @ sources) * copied + A_tgt * (1 - copied).

    sources: float64 [T_src, T_tgt], the paper's M. copied: float64 [T_tgt], its alpha. Tokens are those
    of one repetition of each prompt.
    """

    sources: torch.Tensor
    copied: torch.Tensor


@dataclass(frozen=True)
class _Line:
    """A prompt laid out as one line. order: token positions; head: how many of them stand before the words; words:
    how many hold text; loose: begin, end and padding positions between the words of a prompt of several chunks."""

    order: tuple[int, ...]
    head: int
    words: int
    loose: tuple[int, ...]

    @property
    def behind(self) -> int:
        """Where what stands behind the words begins."""
        return self.head + self.words


def _lines(source: TextLayout, target: TextLayout) -> tuple[_Line, _Line]:
    """Both prompts; a prompt without words has as much before them as the other."""
    starts = [layout.own()[0] for layout in (source, target) if layout.own()]
    return _line(source, starts), _line(target, starts)


def _line(layout: TextLayout, starts: Sequence[int]) -> _Line:
    own = layout.own()
    head = own[0] if own else min((*starts, len(layout.tokens)), default=1)
    order = (*range(head), *own, *range(own[-1] + 1 if own else head, len(layout.tokens)))
    return _Line(order, head, len(own), tuple(sorted(set(range(len(layout.tokens))) - set(order))))


def _heads(a: _Line, b: _Line) -> list[tuple[int, int, float]]:
    """What stands before the words, paired from the words backwards."""
    return [(a.head - n, b.head - n, 1.0) for n in range(min(a.head, b.head), 0, -1)]


def _scatter(source: TextLayout, target: TextLayout, pairs: Sequence[tuple[int, int, float]]) -> torch.Tensor:
    """The matrix [T_src, T_tgt] of weighted pairs of line positions, and one for each pair of loose tokens."""
    a, b = _lines(source, target)
    matrix = torch.zeros(len(source.tokens), len(target.tokens), dtype=torch.float64)
    for i, j, weight in pairs:
        matrix[a.order[i], b.order[j]] = weight
    for position in set(a.loose) & set(b.loose):
        matrix[position, position] = 1.0
    return matrix


def replace_map(source: TextLayout, target: TextLayout, legacy_tail: bool = False) -> TokenMap:
    """Word k of the target copies word k of the source; tokens between them follow.

    Prompt-to-Prompt, section 3.1 "word swap". A word of another number of tokens copies all of them in
    equal shares. legacy_tail: behind the last changed word, token j copies token j, as the published
    code does, though lengths may differ. Raises ValueError for unequal numbers of words.
    """
    theirs, ours = source.words(), target.words()
    if len(theirs) != len(ours):
        raise ValueError(f"{len(ours)} words for {len(theirs)}")
    a, b = _lines(source, target)
    changed = [(_places(source, a, theirs), _places(target, b, ours))
               for theirs, ours in zip(theirs, ours, strict=True) if theirs.text != ours.text]
    pairs = _heads(a, b)
    i, j = a.head, b.head
    length, width = len(a.order), len(b.order)
    while i < length and j < width:
        if changed and changed[0][0][0] == i:
            old, new = changed.pop(0)
            pairs += _word_pairs(old, new)
            i, j = i + len(old), j + len(new)
            continue
        row = j if legacy_tail and not changed else i
        if row < length:
            pairs.append((row, j, 1.0))
        i, j = i + 1, j + 1
    return TokenMap(_scatter(source, target, pairs), torch.ones(len(target.tokens), dtype=torch.float64))


def no_map(source: TextLayout, target: TextLayout) -> TokenMap:
    """Nothing is copied."""
    return TokenMap(torch.zeros(len(source.tokens), len(target.tokens), dtype=torch.float64),
                    torch.zeros(len(target.tokens), dtype=torch.float64))


def _places(layout: TextLayout, line: _Line, word: Word) -> tuple[int, ...]:
    """A word's places on the line."""
    own = layout.own()
    return tuple(line.head + own.index(position) for position in word.positions)


def _word_pairs(old: Sequence[int], new: Sequence[int]) -> list[tuple[int, int, float]]:
    if len(old) == len(new):
        return [(i, j, 1.0) for i, j in zip(old, new, strict=True)]
    return [(i, j, 1.0 / len(new)) for i in old for j in new]


def align(source: Sequence[Hashable], target: Sequence[Hashable]) -> tuple[int, ...]:
    """Which source token each target token is, -1 for a new one (Needleman-Wunsch).

    Gaps cost nothing, a match gains 1, a mismatch costs 1; ties prefer a new target token, then a
    dropped source token.
    """
    rows, columns = len(source) + 1, len(target) + 1
    score = [[0] * columns for _ in range(rows)]
    for i in range(1, rows):
        for j in range(1, columns):
            match = 1 if source[i - 1] == target[j - 1] else -1
            score[i][j] = max(score[i][j - 1], score[i - 1][j], score[i - 1][j - 1] + match)
    found = [-1] * len(target)
    i, j = len(source), len(target)
    while i or j:
        if not i or (j and score[i][j] == score[i][j - 1]):
            j -= 1
        elif not j or score[i][j] == score[i - 1][j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            found[j] = i
    return tuple(found)


def refine_map(source: TextLayout, target: TextLayout, legacy_tail: bool = False) -> TokenMap:
    """Tokens that both prompts share copy each other; new ones keep the target's own attention.

    Prompt-to-Prompt, section 3.1 "adding a new phrase". What stands behind the end copies what stands as far behind the
    source's; in CLIP's chunks (a begin token before the words, all of one length) it is padding, and copies padding of
    the same place, where the source has padding there. legacy_tail: also where it has words there, as the published
    code does.
    """
    a, b = _lines(source, target)
    found = align(_spelt(source, a), _spelt(target, b))
    pairs = _heads(a, b) + [(a.head + i, b.head + j, 1.0) for j, i in enumerate(found) if i >= 0]
    chunks = a.loose or b.loose or (a.head == b.head == 1 and len(a.order) == len(b.order))
    shift = 0 if chunks else a.behind - b.behind
    pairs += [(j + shift, j, 1.0) for j in range(b.behind + 1, min(len(a.order) - shift, len(b.order)))
              if legacy_tail or j + shift > a.behind]
    matrix = _scatter(source, target, pairs)
    return TokenMap(matrix, matrix.any(0).double())


def _spelt(layout: TextLayout, line: _Line) -> list[Hashable]:
    """What each token of the words and the end is compared by: its text, whether a word ends with it, and which of the
    tokens that share this text it is (three may be one character)."""
    ends = {word.positions[-1] for word in layout.words() if word.positions}
    out: list[Hashable] = []
    before, number = None, 0
    for position in line.order[line.head:line.behind]:
        span = layout.tokens[position]
        number = number + 1 if span == before else 0
        before = span
        out.append((folded(layout.text[slice(*span)]) if span else "", position in ends, number))
    return [*out, _END] if line.behind < len(line.order) else out


def extra_words(words: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Words that have no partner among ``others``, in order."""
    matcher = difflib.SequenceMatcher(None, others, words, autojunk=False)
    return tuple(word for kind, a, b, c, d in matcher.get_opcodes() if kind in ("insert", "replace")
                 for word in words[c + (b - a):d])
