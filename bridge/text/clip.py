"""The words of the host's CLIP object, whatever text encoders it holds: where each token stands in the typed text."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from ...core.text import TextLayout
from ..errors import DirectorError
from .align import Span, aligned_by_words
from .as_read import Part, as_read
from .clip_bpe import Entry, Tokens, own_of_chunk
from .encoders import Encoder, row_encoders
from .frame import frame_of
from .spelling import NAME, SPACE, UNKNOWN, Spelling

_OPENING = 3  # tokens: <|im_start|>, user, and a line break


@dataclass(frozen=True)
class Reading:
    """What the encoder that gives the rows of the conditioning reads of a prompt.

    layout: one entry per token. head, tail: tokens of a chat template before and behind the text. literal: weights
    such as (red hat:1.2) are text to it. unknown: what of the prompt it has no letters for, as typed.
    """

    layout: TextLayout
    head: int = 0
    tail: int = 0
    literal: bool = False
    unknown: tuple[str, ...] = ()

    def rows(self, count: int) -> TextLayout | None:
        """The layout of an encoding of so many rows. None where no template that the host dropped accounts for them.

        It drops none, or what stands before the text but for the opening of the person's turn, or both ends. One
        begin token is not a template.
        """
        dropped = len(self.layout.tokens) - count
        ends = (*range(max(0, self.head - _OPENING), self.head + 1), self.head + self.tail) if self.head > 1 else ()
        if dropped and dropped not in ends:
            return None
        before = min(dropped, self.head)
        return replace(self.layout, tokens=self.layout.tokens[before:before + count])


def layout_of(text: str, tokens: Tokens, clip: Any, node: str) -> TextLayout:
    """The layout of a tokenised prompt, one entry per token of the encoder that gives the rows of the conditioning.

    The host may drop some of them: ``Reading.rows``. Raises DirectorError.
    """
    return reading_of(text, tokens, clip, node).layout


def reading_of(text: str, tokens: Tokens, clip: Any, node: str) -> Reading:
    """What is read of a tokenised prompt. Raises DirectorError, also where CLIP encoders of one row disagree."""
    encoders = row_encoders(clip, tokens, node)
    if any(not isinstance(token, int) for chunks in tokens.values() for chunk in chunks for token, *_ in chunk):
        tokens = clip.tokenize(text, return_word_ids=True)  # tells the vectors of one embedding from the next's
    readings = [(_chunks if encoder.is_clip else _framed)(text, tokens[encoder.name], clip, encoder, node)
                for encoder in encoders]
    first, *others = [reading.layout for reading in readings]
    if any(other.own() != first.own() or len(other.tokens) != len(first.tokens) for other in others):
        raise DirectorError(node, "an embedding in the prompt has another length in each of the two text encoders; "
                                  "remove it from the prompt.")
    return readings[0]


def _chunks(text: str, chunks: list[list[Entry]], clip: Any, encoder: Encoder, node: str) -> Reading:
    """CLIP's, each between its own begin and end."""
    chunks = [encoder.taken(chunk) for chunk in chunks]
    own = [own for chunk in chunks for own in own_of_chunk(chunk, encoder.tokenizer)]
    return Reading(_layout(text, as_read(text), list(chain(*chunks)), own, encoder.spelling))


def _framed(text: str, chunks: list[list[Entry]], clip: Any, encoder: Encoder, node: str) -> Reading:
    """Another encoder's: one text within a template, or behind nothing but its own begin."""
    entries = [entry for chunk in chunks for entry in encoder.taken(chunk)]
    frame, ids = frame_of(clip, encoder.name, encoder.tokenizer), [token for token, *_ in entries]
    place = frame.place(ids, encoder.tokenizer)
    if frame.left_out(place, ids, encoder.tokenizer):
        raise DirectorError(node, "the prompt brings a chat template of its own, in which its words cannot be told "
                                  "from instructions; write the prompt without the template.")
    own = [position in place for position in range(len(entries))]
    layout = _layout(text, as_read(text, weights=not frame.literal), entries, own, encoder.spelling)
    unknown = [text[slice(*span)] for token, span in zip(ids, layout.tokens, strict=True)
               if span and isinstance(token, int) and encoder.spelling.piece(token) == [UNKNOWN]]
    tail = sum(token != encoder.tokenizer.pad_token for token in ids[place.stop:])
    return Reading(layout, place.start, tail, frame.literal, tuple(dict.fromkeys(unknown)))


def _layout(text: str, parts: Sequence[Part], entries: Sequence[Entry], own: Sequence[bool],
            spelling: Spelling) -> TextLayout:
    """Where each token stands in the text: what it spells, laid along the text."""
    spelt, ranges = _spelt(entries, own, spelling)
    if NAME not in spelt:
        parts = [letter for part in parts for letter in _letters(part)]
    ours = _symbols(parts, spelling, spaced=spelt[:1] == [SPACE])
    if ours and ours[-1][0] == SPACE and spelt[-1:] != [SPACE]:
        ours.pop()
    where = aligned_by_words([symbol for symbol, _ in ours], spelt, SPACE)
    spans: list[Span | None] = []
    names: dict[Span, None] = {}
    for held in ranges:
        if held is None:
            spans.append(None)
            continue
        first, last = (where[held[0]][0], where[held[1] - 1][1]) if held[0] < held[1] else (0, 0)
        under = [part for symbol, part in ours[first:last] if symbol != SPACE]
        span = (under[0].start, under[-1].stop) if under else (0, 0)
        spans.append(span)
        if spelt[held[0]:held[1]] == [NAME] and under:
            names[span] = None
    return TextLayout(text, tuple(spans), tuple(names))


def _letters(part: Part) -> list[Part]:
    """A name as the letters it is for a text encoder without embeddings."""
    if not part.name or part.stop - part.start != len(part.read):
        return [part]
    return [Part(letter, part.start + n, part.start + n + 1, begins=part.begins and n == 0)
            for n, letter in enumerate(part.read)]


def _symbols(parts: Sequence[Part], spelling: Spelling, spaced: bool) -> list[tuple[Hashable, Part]]:
    """The symbols of the text with their parts; of several spaces one. spaced: the tokenizer puts one before each
    stretch that it is given."""
    out: list[tuple[Hashable, Part]] = []
    for part in parts:
        symbols = [NAME] if part.name else spelling.symbols(part)
        for symbol in [SPACE, *symbols] if part.begins and spaced else symbols:
            if symbol != SPACE or not out or out[-1][0] != SPACE:
                out.append((symbol, part))
    return out


def _spelt(entries: Sequence[Entry], own: Sequence[bool],
           spelling: Spelling) -> tuple[list[Hashable], list[Span | None]]:
    """The symbols that the text's own tokens spell in a row, and which of them are each position's.

    None for a position that is not the text's. The vectors of one embedding spell one symbol. A space is of no
    position; a token of nothing else is the beginning of the next word and stands for its first symbol.
    """
    symbols: list[Hashable] = []
    ranges: list[Span | None] = []
    group = None
    for (token, _, *numbers), ours in zip(entries, own, strict=True):
        if not ours:
            ranges.append(None)
            continue
        known = isinstance(token, int) or numbers != group
        piece = [] if not known else spelling.piece(token) if isinstance(token, int) else [NAME]
        start = len(symbols) + (piece[:1] == [SPACE]) if known else len(symbols) - 1
        symbols += piece
        group = None if isinstance(token, int) else numbers
        ranges.append((start, start + 1 if piece == [SPACE] else len(symbols)))
    return symbols, [held and (held[0], min(held[1], len(symbols))) for held in ranges]
