"""CLIP's own dialect: chunks of 77 tokens between begin and end, and pieces that spell bytes."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Hashable, Sequence
from typing import Any

from ...core.text import TextLayout
from ..errors import DirectorError
from .as_read import Part, as_read

CHUNK = 77
_WORD_END = "</w>"
_NAME = "an embedding"  # stands for a name among bytes

Span = tuple[int, int]
Tokens = dict[str, list[list[tuple[Any, ...]]]]


def _byte_letters() -> dict[int, str]:
    """The letter that stands for each byte: itself where it prints, one past 255 where it does not."""
    prints = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in prints]
    return {**{byte: chr(byte) for byte in prints}, **{byte: chr(256 + n) for n, byte in enumerate(hidden)}}


_BYTES: dict[str, Hashable] = {letter: byte for byte, letter in _byte_letters().items()}


def layout_of(text: str, tokens: Tokens, clip: Any, node: str) -> TextLayout:
    """The layout of a tokenised prompt; all CLIP encoders of the model must agree on it. Raises DirectorError."""
    if any(not isinstance(token, int) for chunks in tokens.values() for chunk in chunks for token, *_ in chunk):
        tokens = clip.tokenize(text, return_word_ids=True)  # tells the vectors of one embedding from the next's
    parts = as_read(text)
    layouts = []
    for name, chunks in tokens.items():
        tokenizer = getattr(clip.tokenizer, f"clip_{name}", None)
        if tokenizer is None or getattr(tokenizer, "inv_vocab", None) is None:
            raise DirectorError(node, f'the text encoder "{name}" is not a CLIP model; use a Stable Diffusion 1.x, '
                                      "2.x or SDXL checkpoint.")
        layouts.append(_layout(text, parts, chunks, tokenizer))
    first = layouts[0]
    if any(other.own() != first.own() or len(other.tokens) != len(first.tokens) for other in layouts[1:]):
        raise DirectorError(node, "an embedding in the prompt has another length in each of the two text encoders; "
                                  "remove it from the prompt.")
    return first


def _layout(text: str, parts: Sequence[Part], chunks: list[list[tuple[Any, ...]]], tokenizer: Any) -> TextLayout:
    """Where each token stands in the text: the bytes it spells, laid along those of the text."""
    spelt, ranges = _spelt(chunks, tokenizer)
    if _NAME not in spelt:
        parts = [letter for part in parts for letter in _letters(part)]
    ours = [(symbol, part) for part in parts for symbol in _symbols(part)]
    where = aligned([symbol for symbol, _ in ours], spelt)
    spans: list[Span | None] = []
    names: dict[Span, None] = {}
    for held in ranges:
        if held is None:
            spans.append(None)
            continue
        first, last = (where[held[0]][0], where[held[1] - 1][1]) if held[0] < held[1] else (0, 0)
        under = [part for _, part in ours[first:last]]
        span = (under[0].start, under[-1].stop) if under else (0, 0)
        spans.append(span)
        if spelt[held[0]:held[1]] == [_NAME] and under:
            names[span] = None
    return TextLayout(text, tuple(spans), tuple(names))


def _letters(part: Part) -> list[Part]:
    """A name as the letters it is for a text encoder without embeddings."""
    if not part.name or part.stop - part.start != len(part.read):
        return [part]
    return [Part(letter, part.start + n, part.start + n + 1) for n, letter in enumerate(part.read)]


def _symbols(part: Part) -> list[Hashable]:
    """The bytes that CLIP reads of a part: lower-case, composed, no spaces."""
    if part.name:
        return [_NAME]
    return [] if part.read.isspace() else list(unicodedata.normalize("NFC", part.read).lower().encode(errors="replace"))


def _spelt(chunks: list[list[tuple[Any, ...]]], tokenizer: Any) -> tuple[list[Hashable], list[Span | None]]:
    """The symbols that the tokens spell in a row, and which of them are each position's.

    None for begin and for all from a chunk's end token on. The vectors of one embedding spell one symbol.
    """
    symbols: list[Hashable] = []
    ranges: list[Span | None] = []
    group = None
    for chunk in chunks:
        ended = False
        for position, (token, _, *numbers) in enumerate(chunk):
            ended = ended or (position > 0 and isinstance(token, int) and token == tokenizer.end_token)
            if ended or (position == 0 and isinstance(token, int) and token == tokenizer.start_token):
                ranges.append(None)
                continue
            known = isinstance(token, int) or numbers != group
            start = len(symbols) if known else len(symbols) - 1
            symbols += [] if not known else _piece(token, tokenizer.inv_vocab) if isinstance(token, int) else [_NAME]
            group = None if isinstance(token, int) else numbers
            ranges.append((start, len(symbols)))
    return symbols, ranges


def _piece(token: int, vocabulary: dict[int, str]) -> list[Hashable]:
    piece = vocabulary.get(token)
    return [("token", token)] if piece is None else [_BYTES.get(c, c) for c in piece.removesuffix(_WORD_END)]


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


def chunks_of(tokens: Tokens, groups: Sequence[tuple[int, ...]], clip: Any) -> Tokens:
    """A prompt of one chunk per group of positions, weights and embeddings kept; chunks do not see each other."""
    out: Tokens = {}
    for name, chunks in tokens.items():
        tokenizer = getattr(clip.tokenizer, f"clip_{name}")
        flat = [token for chunk in chunks for token in chunk]
        out[name] = [_chunk([flat[p] for p in positions][:CHUNK - 2], tokenizer) for positions in groups]
    return out


def _chunk(words: list[tuple[Any, ...]], tokenizer: Any) -> list[tuple[Any, ...]]:
    padding = CHUNK - 2 - len(words)
    return [(tokenizer.start_token, 1.0), *words, (tokenizer.end_token, 1.0), *([(tokenizer.pad_token, 1.0)] * padding)]
