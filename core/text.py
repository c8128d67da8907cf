"""The words of a prompt and the token positions they stand at."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from .sequence import Segment
from .words import ATOMS, PAUSES, SIGNS, VISIBLE, WORDS, classes, folded

_BRACKETS = frozenset("()\\")
LONGEST_SLIP = 200  # characters; whoever writes more has not mistyped a phrase, and comparing takes minutes


@dataclass(frozen=True)
class Word:
    """One word. text: as it is compared, lower-case. typed: as the user wrote it, text[start:stop] of its layout.

    positions: of every token that overlaps it. kind: the class of its first character (``words.py``).
    """

    text: str
    positions: tuple[int, ...]
    typed: str
    start: int
    stop: int
    kind: str


class PhraseNotFound(ValueError):
    """A phrase is not in the prompt. ``nearest``: the most similar words that are."""

    def __init__(self, phrase: str, nearest: str) -> None:
        self.phrase, self.nearest = phrase, nearest
        hint = f'; nearest: "{nearest}"' if nearest else ""
        super().__init__(f'"{phrase}" is not in the prompt{hint}')


@dataclass(frozen=True)
class TextLayout:
    """The token axis of one encoded prompt.

    text: as the user typed it. tokens: one entry per token position; (start, stop) of the characters that the
    token stands for, or None for begin, end, padding and a template. Several tokens may share one character.
    Characters of no token are not read, such as a weight's brackets. names: (start, stop) of stretches that are
    one word whatever they hold, as an embedding's name.
    """

    text: str
    tokens: tuple[tuple[int, int] | None, ...]
    names: tuple[tuple[int, int], ...] = ()

    def words(self) -> tuple[Word, ...]:
        """Letters together, each digit alone, signs together; what shares a token is one word.

        A word that the tokenizer split has all its positions.
        """
        return self._words

    def units(self) -> tuple[Word, ...]:
        """Words as a person sees them: what no gap parts, without the signs at its ends."""
        return self._units

    def own(self) -> tuple[int, ...]:
        """Positions of the text's own tokens."""
        return tuple(i for i, token in enumerate(self.tokens) if token is not None)

    def other(self) -> tuple[int, ...]:
        """Positions of begin, end, padding and template."""
        return tuple(i for i, token in enumerate(self.tokens) if token is None)

    @cached_property
    def _classes(self) -> str:
        return classes(self.text, (token for token in self.tokens if token), self.names)

    @cached_property
    def _at(self) -> list[list[int]]:
        """Token positions at each character."""
        out: list[list[int]] = [[] for _ in self.text]
        for position, token in enumerate(self.tokens):
            for character in range(*token) if token else ():
                out[character].append(position)
        return out

    def _cut(self, pattern: re.Pattern[str]) -> tuple[Word, ...]:
        return tuple(self._word(*match.span()) for match in pattern.finditer(self._classes))

    def _word(self, start: int, stop: int) -> Word:
        typed = self.text[start:stop]
        positions = tuple(sorted({p for tokens in self._at[start:stop] for p in tokens}))
        return Word(folded(typed), positions, typed, start, stop, self._classes[start])

    @cached_property
    def _words(self) -> tuple[Word, ...]:
        words: list[Word] = []
        for word in self._cut(WORDS):
            shared = words and set(words[-1].positions) & set(word.positions)
            words.append(self._word(words.pop().start, word.stop) if shared else word)
        return tuple(words)

    @cached_property
    def _atoms(self) -> tuple[Word, ...]:
        return self._cut(ATOMS)

    @cached_property
    def _units(self) -> tuple[Word, ...]:
        return self._cut(VISIBLE)

    def part(self, start: int, stop: int) -> TextLayout:
        """The characters from start to stop with their tokens."""
        def cut(spans: Sequence[tuple[int, int] | None]) -> tuple[tuple[int, int], ...]:
            held = [(max(s[0], start) - start, min(s[1], stop) - start) for s in spans if s]
            return tuple((a, b) for a, b in held if a < b)

        return TextLayout(self.text[start:stop], cut(self.tokens), cut(self.names))

    def occurrences(self, phrase: TextLayout, at_least: int = 1) -> list[tuple[int, ...]]:
        """Positions of every occurrence of the phrase.

        Whole words as they are typed, brackets of weights passed over. Where there are fewer than ``at_least`` of
        these: between any two words or characters of an unspaced script, an underscore being a space, without the
        phrase's signs at its ends; every token that overlaps is a position.
        """
        words, wanted = spoken(self.words()), [w.text for w in spoken(phrase.words())]
        whole = [_positions(words[i:i + len(wanted)]) for i in _starts([w.text for w in words], wanted)]
        return whole if len(whole) >= at_least else self._loose_occurrences(phrase)

    def _loose_occurrences(self, phrase: TextLayout) -> list[tuple[int, ...]]:
        wanted = phrase.key
        places = [i for i, atom in enumerate(self._atoms) if atom.kind not in PAUSES]
        starts = _starts([self._atoms[i].text for i in places], wanted)
        ends = [(places[i], places[i + len(wanted) - 1]) for i in starts]
        return [_positions([atom for atom in self._atoms[first:last + 1] if atom.kind != "("]) for first, last in ends]

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two phrases the same: without underscores, brackets, and signs at the ends (but not all signs)."""
        atoms = [atom for atom in self._atoms if atom.kind not in PAUSES]
        telling = [i for i, atom in enumerate(atoms) if atom.kind not in SIGNS]
        kept = atoms[telling[0]:telling[-1] + 1] if telling else atoms
        return tuple(atom.text for atom in kept)

    def nearest(self, phrase: TextLayout) -> str:
        """The run of as many words that looks most like the phrase, as typed; "" when nothing does."""
        wanted = phrase.units() or phrase.words()
        if len(phrase.text) > LONGEST_SLIP:
            return ""
        width = max(1, len(wanted))
        units = self.units()
        runs: dict[str, str] = {}
        for run in (units[i:i + width] for i in range(len(units) - width + 1)):
            runs.setdefault(" ".join(u.text for u in run), " ".join(u.typed for u in run))
        close = difflib.get_close_matches(" ".join(w.text for w in wanted), list(runs), n=1, cutoff=0.3)
        return runs[close[0]] if close else ""


def _positions(words: Sequence[Word]) -> tuple[int, ...]:
    return tuple(sorted({p for word in words for p in word.positions}))


def _starts(texts: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where a run of words begins among others."""
    width = len(wanted)
    last = len(texts) - width + 1 if width else 0
    return [i for i in range(last) if list(texts[i:i + width]) == list(wanted)]


def spoken(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """Words without the brackets and backslashes that spell weights."""
    return tuple(w for w in words if not set(w.text) <= _BRACKETS)


@dataclass(frozen=True)
class Phrase:
    """Words a user wants bound.

    layout: their text as the prompt's encoder reads it. occurrence: 1 for the first in the prompt; ``cat#2``
    asks for the second. Zero words: a phrase that governs no token (a region of shape only).
    """

    text: str
    layout: TextLayout
    occurrence: int = 1

    @property
    def empty(self) -> bool:
        return not spoken(self.layout.words())

    @property
    def said(self) -> str:
        """Its words in lower case, without number and weights, as a message quotes them."""
        return " ".join(word.text for word in self.layout.units() or self.layout.words())

    def find(self, prompt: TextLayout) -> tuple[int, ...]:
        """Token positions in ``prompt``; () for an empty phrase. Raises PhraseNotFound."""
        if self.empty:
            return ()
        found = prompt.occurrences(self.layout, self.occurrence)
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
    every row was repeated to, 0 for a row's own. appended: tokens that another node put behind these. padded: rows
    were filled up to ``length`` instead, and must not read what they were filled with. before: tokens that the model
    itself puts before all (Flux.2).
    """

    rows: tuple[TextLayout, ...]
    keys: frozenset[str] = frozenset()
    length: int = 0
    appended: int = 0
    padded: bool = False
    before: int = 0

    def with_key(self, key: str) -> PromptTag:
        return replace(self, keys=self.keys | {key})

    @property
    def width(self) -> int:
        """Tokens of the encoded prompts, without what another node appended."""
        return self.length or len(self.rows[0].tokens)

    def starts(self, row: int) -> range:
        """Where each repetition of a row begins on the token axis."""
        own = len(self.rows[row].tokens)
        return range(0, self.length or own, self.length if self.padded else own)

    def front(self, row: int) -> int:
        """Tokens that stand before a row's own; a model that fills up from the front does so for each row."""
        return self.before and self.before + self.filled(row)

    def filled(self, row: int) -> int:
        """With how many tokens a row was filled up to the longest."""
        return self.length - len(self.rows[row].tokens) if self.padded else 0

    def spread(self, row: int, positions: Sequence[int], keys: int) -> tuple[int, ...]:
        """Where tokens of a row stand on a key axis of ``keys`` text tokens.

        positions: in the row's layout, or past the width for appended ones. In every repetition of the row, and
        in every copy that the host makes of a short context; appended tokens stand once in each copy. Joint layers
        have one copy, behind what the model puts before it, and of a padded row only its own tokens.
        """
        if self.padded or self.before:
            front = self.front(row)
            return tuple(front + p for p in positions if front + p < keys)
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
