"""What is said of phrases that cannot be bound: where they are missing, and where two want the same words."""

from __future__ import annotations

from collections.abc import Sequence

from ...core.text import Phrase, TextLayout

APPENDED = (" Words that Conditioning (Concat) appended cannot be bound; write them in the prompt text instead.")
_OFTEN = {1: "once", 2: "twice"}


def times(wanted: Phrase, rows: Sequence[TextLayout]) -> int:
    """How often the phrase's words occur in the prompt that has most of them."""
    return max((len(row.occurrences(wanted.layout)) for row in rows), default=0)


def nearest_hint(wanted: Phrase, rows: Sequence[TextLayout]) -> str:
    """ "; nearest: ..." with the most similar words of the first prompt that has any; "" where none has."""
    nearest = next((near for row in rows if (near := row.nearest(wanted.layout))), "")
    return f'; nearest: "{nearest}"' if nearest else ""


def missing(who: str, wanted: Phrase, rows: Sequence[TextLayout], advice: str, appended: int = 0,
            where: str = "the prompt") -> str:
    """The sentence for a phrase that no prompt has, or not that often.

    who: what asked for it, quoted, such as 'region 2 "red hat"'. advice: a sentence on what to do. appended: tokens
    that another node put behind the prompts. where: what it is not in, such as "any prompt".
    """
    count = times(wanted, rows)
    if count:
        often = _OFTEN.get(count, f"{count} times")
        return f"{who}: the prompt contains those words {often}; lower the number after #."
    return f"{who} is not in {where}{nearest_hint(wanted, rows)}. {advice}{APPENDED if appended else ''}"


def number_them(wanted: Phrase) -> str:
    """What to write where the same words occur more than once."""
    return f"write {wanted.said}#1 and {wanted.said}#2"


def claimed(wanted: Phrase, rows: Sequence[TextLayout], claims: int) -> str:
    """The sentence for words that several regions claim."""
    count = times(wanted, rows)
    if count <= 1:
        return f'"{wanted.said}" occurs once and {claims} regions claim it; join their masks in one region.'
    many = {2: "two"}.get(claims, str(claims))
    often = _OFTEN.get(count, f"{count} times")
    return f'"{wanted.said}" occurs {often} and {many} regions claim it; {number_them(wanted)}.'
