"""The words of a prompt and the token positions they stand at."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .sequence import Segment

WORD_END = "</w>"
_BRACKETS = frozenset("()\\")


@dataclass(frozen=True)
class Word:
    """One word, lower-case, and its positions on the token axis."""

    text: str
    positions: tuple[int, ...]


class PhraseNotFound(ValueError):
    """A phrase is not in the prompt. ``nearest``: the most similar words that are."""

    def __init__(self, phrase: str, nearest: str) -> None:
        self.phrase, self.nearest = phrase, nearest
        hint = f'; nearest: "{nearest}"' if nearest else ""
        super().__init__(f'"{phrase}" is not in the prompt{hint}')


@dataclass(frozen=True)
class TokenLayout:
    """The token axis of one encoded prompt.

    text: as the user typed it. pieces: one entry a token position; the tokenizer's own spelling
    ("cat</w>", WORD_END closing a word), or None for begin, end and padding.
    """

    text: str
    pieces: tuple[str | None, ...]

    def words(self) -> tuple[Word, ...]:
        """Words in order. A word that the tokenizer split keeps all its positions."""
        words: list[Word] = []
        spelling, positions = "", []
        for position, piece in enumerate(self.pieces):
            if piece is None:
                continue
            positions.append(position)
            spelling += piece.removesuffix(WORD_END)
            if piece.endswith(WORD_END):
                words.append(Word(spelling.lower(), tuple(positions)))
                spelling, positions = "", []
        if positions:
            words.append(Word(spelling.lower(), tuple(positions)))
        return tuple(words)

    def own(self) -> tuple[int, ...]:
        """Positions that hold a piece of the text."""
        return tuple(i for i, piece in enumerate(self.pieces) if piece is not None)

    def occurrences(self, phrase: TokenLayout) -> list[tuple[int, ...]]:
        """Positions of every occurrence of the phrase's words, brackets of weights left out."""
        wanted = [w.text for w in spoken(phrase.words())]
        words = spoken(self.words())
        texts = [w.text for w in words]
        width = len(wanted)
        if not width:
            return []
        starts = [i for i in range(len(texts) - width + 1) if texts[i:i + width] == wanted]
        return [tuple(p for w in words[i:i + width] for p in w.positions) for i in starts]

    def nearest(self, phrase: TokenLayout) -> str:
        """The run of as many words that looks most like the phrase, or "" when nothing does."""
        wanted = " ".join(w.text for w in spoken(phrase.words()))
        texts = [w.text for w in spoken(self.words())]
        width = max(1, len(wanted.split()))
        runs = [" ".join(texts[i:i + width]) for i in range(max(0, len(texts) - width + 1))]
        close = difflib.get_close_matches(wanted, runs, n=1, cutoff=0.3)
        return close[0] if close else ""


def spoken(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """Words without the brackets and backslashes that spell weights."""
    return tuple(w for w in words if not set(w.text) <= _BRACKETS)


@dataclass(frozen=True)
class Phrase:
    """Words a user wants bound, tokenised by the same tokenizer as the prompt.

    occurrence: 1 for the first in the prompt; ``cat#2`` asks for the second. Zero words: a phrase
    that governs no token (a region of shape only).
    """

    text: str
    layout: TokenLayout
    occurrence: int = 1

    @property
    def empty(self) -> bool:
        return not spoken(self.layout.words())

    def find(self, prompt: TokenLayout) -> tuple[int, ...]:
        """Token positions in ``prompt``; () for an empty phrase. Raises PhraseNotFound."""
        if self.empty:
            return ()
        found = prompt.occurrences(self.layout)
        if len(found) < self.occurrence:
            raise PhraseNotFound(self.text, prompt.nearest(self.layout))
        return found[self.occurrence - 1]


def split_occurrence(text: str) -> tuple[str, int]:
    """ "cat#2" to ("cat", 2); a phrase without a number asks for the first occurrence."""
    match = re.fullmatch(r"(.*\S)\s*#\s*([1-9]\d*)", text.strip(), re.DOTALL)
    return (match[1], int(match[2])) if match else (text.strip(), 1)


@dataclass(frozen=True)
class PromptTag:
    """What one conditioning says, carried in it from node to node.

    rows: the layout of each prompt of the conditioning; image i of a batch reads row i mod P.
    keys: the nodes whose methods may act on it; each node of a chain adds its own. length: tokens that
    every row was repeated to, 0 for a row's own. appended: tokens that another node put behind these.
    """

    rows: tuple[TokenLayout, ...]
    keys: frozenset[str] = frozenset()
    length: int = 0
    appended: int = 0

    def with_key(self, key: str) -> PromptTag:
        return replace(self, keys=self.keys | {key})

    @property
    def width(self) -> int:
        """Tokens of the encoded prompts, without what another node appended."""
        return self.length or len(self.rows[0].pieces)

    def starts(self, row: int) -> range:
        """Where each repetition of a row begins on the token axis."""
        own = len(self.rows[row].pieces)
        return range(0, self.length or own, own)

    def spread(self, row: int, positions: Sequence[int], keys: int) -> tuple[int, ...]:
        """Where tokens of a row stand on a key axis of ``keys`` text tokens.

        positions: in the row's layout, or past the width for appended ones. In every repetition of the row, and
        in every copy that the host makes of a short context; appended tokens stand once in each copy.
        """
        starts = self.starts(row)
        period = starts.stop + self.appended
        once = [start + p for p in positions for start in (starts if p < starts.stop else (0,))]
        return tuple(copy + p for copy in range(0, keys - period + 1, period) for p in once)

    def find(self, phrase: Phrase) -> tuple[tuple[int, ...] | None, ...]:
        """Positions of the phrase in each row, None where the row lacks it.

        Raises PhraseNotFound when no row has it.
        """
        found: list[tuple[int, ...] | None] = []
        missing: PhraseNotFound | None = None
        for row in self.rows:
            try:
                found.append(phrase.find(row))
            except PhraseNotFound as error:
                found.append(None)
                missing = missing or error
        if missing is not None and all(f is None for f in found):
            raise missing
        return tuple(found)


def columns(tag: PromptTag, row: int, phrase: Phrase, keys: Segment) -> tuple[int, ...]:
    """Positions of a phrase among the keys of a layer, in every copy of its prompt; () where the row lacks it.

    row: of the tag. keys: the text segment of the layer's key axis.
    """
    try:
        found = phrase.find(tag.rows[row])
    except PhraseNotFound:
        return ()
    return tuple(keys.start + column for column in tag.spread(row, found, keys.length))
