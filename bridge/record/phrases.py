"""Which words a recorder counts."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.text import Phrase, TextLayout


def spelled(phrase: Phrase) -> tuple[tuple[str, ...], int]:
    """What makes two phrases the same: their words and which occurrence."""
    return phrase.layout.key, phrase.occurrence


def is_in(phrase: Phrase, prompts: Sequence[tuple[TextLayout, ...]]) -> bool:
    """True where some prompt holds the phrase."""
    number = phrase.occurrence
    return any(len(layout.occurrences(phrase.layout, number)) >= number for rows in prompts for layout in rows)


def without_doubles(phrases: Sequence[Phrase]) -> tuple[Phrase, ...]:
    """The phrases that hold words, each once, in order."""
    kept: dict[tuple[tuple[str, ...], int], Phrase] = {}
    for phrase in phrases:
        if not phrase.empty:
            kept.setdefault(spelled(phrase), phrase)
    return tuple(kept.values())


def every_word(prompts: Sequence[tuple[TextLayout, ...]], most: int) -> tuple[Phrase, ...]:
    """The telling words of the prompts as phrases, in order, at most ``most``."""
    found: list[Phrase] = []
    for layout in (row for rows in prompts for row in rows):
        times: dict[str, int] = {}
        for word in layout.words():
            if not any(c.isalpha() for c in word.text) or word.text in _SMALL_WORDS:
                continue
            times[word.text] = times.get(word.text, 0) + 1
            number = times[word.text]
            text = word.typed if number == 1 else f"{word.typed}#{number}"
            found.append(Phrase(text, layout.part(word.start, word.stop), number))
    return without_doubles(found)[:most]


_SMALL_WORDS = frozenset(("a", "an", "and", "are", "as", "at", "by", "for", "from", "in", "is", "it", "its", "next",
                          "of", "on", "or", "the", "to", "with"))
