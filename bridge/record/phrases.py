"""Which words a recorder counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...core.text import Phrase, TokenLayout


def spelled(phrase: Phrase) -> tuple[tuple[str, ...], int]:
    """What makes two phrases the same: their words and which occurrence."""
    return tuple(word.text for word in phrase.layout.words()), phrase.occurrence


def is_in(phrase: Phrase, prompts: Sequence[tuple[TokenLayout, ...]]) -> bool:
    """True where some prompt holds the phrase."""
    return any(len(layout.occurrences(phrase.layout)) >= phrase.occurrence for rows in prompts for layout in rows)


def without_doubles(phrases: Sequence[Phrase]) -> tuple[Phrase, ...]:
    """The phrases that hold words, each once, in order."""
    kept: dict[tuple[tuple[str, ...], int], Phrase] = {}
    for phrase in phrases:
        if not phrase.empty:
            kept.setdefault(spelled(phrase), phrase)
    return tuple(kept.values())


def every_word(prompts: Sequence[tuple[TokenLayout, ...]], most: int) -> tuple[Phrase, ...]:
    """The telling words of the prompts as phrases, in order, at most ``most``."""
    found: list[Phrase] = []
    for layout in (row for rows in prompts for row in rows):
        times: dict[str, int] = {}
        for word in layout.words():
            if not any(c.isalpha() for c in word.text) or word.text in _SMALL_WORDS:
                continue
            times[word.text] = times.get(word.text, 0) + 1
            number = times[word.text]
            text = word.text if number == 1 else f"{word.text}#{number}"
            own = replace(layout, text=word.text, pieces=tuple(layout.pieces[p] for p in word.positions))
            found.append(Phrase(text, own, number))
    return without_doubles(found)[:most]


_SMALL_WORDS = frozenset(("a", "an", "and", "are", "as", "at", "by", "for", "from", "in", "is", "it", "its", "next",
                          "of", "on", "or", "the", "to", "with"))
