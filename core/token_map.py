"""Method: Prompt-to-Prompt, arXiv 2208.01626. Written from the paper; no code copied.

Which tokens of a target prompt take over the attention of which tokens of the source: word by word
where the prompts have equally many words (replace), by alignment where words were added (refine).

Prompts of several chunks are laid out as one line: begin, all words, then the end and padding of the last
chunk. Begin, end and padding tokens inside pair with those of the same place.
"""

from __future__ import annotations

import difflib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch

from .text import TextLayout, Word
from .words import folded

_BEGIN, _END = "<begin>", "<end>"


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
    """A prompt laid out as one line. order: token positions; words: how many of them, after the first, hold
    text; loose: begin, end and padding positions inside a prompt of several chunks."""

    order: tuple[int, ...]
    words: int
    loose: tuple[int, ...]


def _line(layout: TextLayout) -> _Line:
    own = layout.own()
    tail = range(own[-1] + 1 if own else 1, len(layout.tokens))
    order = (0, *own, *tail)
    return _Line(order, len(own), tuple(sorted(set(range(len(layout.tokens))) - set(order))))


def _scatter(source: TextLayout, target: TextLayout, pairs: Sequence[tuple[int, int, float]]) -> torch.Tensor:
    """The matrix [T_src, T_tgt] of weighted pairs of line positions, and one for each pair of loose tokens."""
    a, b = _line(source), _line(target)
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
    changed = [(_places(source, a), _places(target, b))
               for a, b in zip(theirs, ours, strict=True) if a.text != b.text]
    pairs: list[tuple[int, int, float]] = []
    i = j = 0
    length, width = len(_line(source).order), len(_line(target).order)
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


def _places(layout: TextLayout, word: Word) -> tuple[int, ...]:
    """A word's places on the line."""
    own = layout.own()
    return tuple(1 + own.index(position) for position in word.positions)


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

    Prompt-to-Prompt, section 3.1 "adding a new phrase". Padding copies padding of the same place, where
    the source has padding there. legacy_tail: also where it has words there, as the published code does.
    """
    a, b = _line(source), _line(target)
    found = align(_spelt(source, a), _spelt(target, b))
    ends = a.words + 2, b.words + 2
    pairs = [(i, j, 1.0) for j, i in enumerate(found) if i >= 0]
    pairs += [(j, j, 1.0) for j in range(ends[1], min(len(a.order), len(b.order))) if legacy_tail or j >= ends[0]]
    matrix = _scatter(source, target, pairs)
    return TokenMap(matrix, matrix.any(0).double())


def _spelt(layout: TextLayout, line: _Line) -> list[Hashable]:
    """What each token of a line is compared by: its text, whether a word ends with it, and which of the tokens
    that share this text it is (three may be one character)."""
    ends = {word.positions[-1] for word in layout.words() if word.positions}
    out: list[Hashable] = [_BEGIN]
    before, number = None, 0
    for position in line.order[1:1 + line.words]:
        span = layout.tokens[position]
        number = number + 1 if span == before else 0
        before = span
        out.append((folded(layout.text[slice(*span)]) if span else "", position in ends, number))
    return [*out, _END]


def extra_words(words: Sequence[str], others: Sequence[str]) -> tuple[str, ...]:
    """Words that have no partner among ``others``, in order."""
    matcher = difflib.SequenceMatcher(None, others, words, autojunk=False)
    return tuple(word for kind, a, b, c, d in matcher.get_opcodes() if kind in ("insert", "replace")
                 for word in words[c + (b - a):d])
