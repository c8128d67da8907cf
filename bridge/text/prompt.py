"""Prompts that travel from node to node: CONDITIONING that knows its words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import comfy.model_management
import torch

from ...core.text import Phrase, PromptTag, split_occurrence
from ..errors import DirectorError
from .clip import Reading, reading_of
from .clip_bpe import Tokens
from .encoders import reads_chunks
from .known_words import check_known_words
from .unread import warn_of_unequal, warn_of_unread
from .words import phrase_without_clip

TAG_KEY = "attention_director"
MASK_KEY = "attention_mask"  # the host's
# What is compared word by word grows with the square of its length.
MOST_CHARACTERS = 50_000
MOST_CHUNKS = 32

Conditioning = list[list[Any]]

def encode(clip: Any, text: str, node: str) -> Conditioning:
    """What CLIPTextEncode gives for ``text``, with its words in the dict."""
    return _encode(clip, [text], node)[0]


def _encode(clip: Any, texts: Sequence[str], node: str) -> list[Conditioning]:
    """Each text by itself; what it says is looked at before the first is encoded."""
    _require_clip(clip, node)
    pairs = [tokenised(clip, text, node) for text in texts]
    warn_of_unread(texts, [reading for _, reading in pairs], node)
    return [_with_words(clip.encode_from_tokens_scheduled(own), reading, node) for own, reading in pairs]


def tokenised(clip: Any, text: str, node: str) -> tuple[Tokens, Reading]:
    """A typed text's tokens and what is read of them. Raises DirectorError where that cannot be, or takes too long."""
    comfy.model_management.throw_exception_if_processing_interrupted()
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise DirectorError(node, f'"{text}" contains half a character, as is left of an emoji that was cut; delete it '
                                  "and type it again.")
    if len(text) > MOST_CHARACTERS:
        raise DirectorError(node, f"a text has {len(text)} characters; use {MOST_CHARACTERS} or fewer.")
    try:
        tokens = clip.tokenize(text)
        chunks = max((len(found) for found in tokens.values()), default=0)
        if chunks > MOST_CHUNKS:
            raise DirectorError(node, f'"{text}" is {chunks} chunks of tokens long; use {MOST_CHUNKS} or fewer.')
        return tokens, reading_of(text, tokens, clip, node)
    except RecursionError:
        raise DirectorError(node, f'"{text}" has too many brackets inside each other; take some away.') from None


def _with_words(conditioning: Conditioning, reading: Reading, node: str) -> Conditioning:
    """An encoder that another pack has changed may give each token twice (NegPip) or put others in between."""
    given = {cond.shape[1] for cond, _ in conditioning}
    rows = tuple(layout for count in given if (layout := reading.rows(count)))
    if not len(rows) == len(given) == 1:
        tokens = len(reading.layout.tokens)
        raise DirectorError(node, f"the text encoder gives {max(given)} tokens for a prompt of {tokens}, so another "
                                  "node has changed it (NegPip does); give this node the clip from before that node.")
    return with_tag(conditioning, PromptTag(rows))


def _require_clip(clip: Any, node: str) -> None:
    if clip is None:
        raise DirectorError(node, "the clip input is empty; if the checkpoint contains no text encoder, use Load CLIP.")


def encode_lines(clip: Any, lines: list[str], node: str) -> Conditioning:
    """One conditioning of several prompts: image i of a batch reads line i mod P.

    Prompts of unequal length come to that of the longest: chunks, whose layers do not notice a repetition, by
    ``filled``; other encodings by zeros, which the families leave out.
    """
    singles = _encode(clip, lines, node)
    if any(len(single) != 1 for single in singles):
        raise DirectorError(node, "the text encoder is scheduled by hooks, which a batch of prompts cannot be; encode "
                                  "one prompt at a time.")
    entries = [single[0] for single in singles]
    lengths = [cond.shape[1] for cond, _ in entries]
    if len(set(lengths)) == 1:
        return _joined(entries, [cond for cond, _ in entries], False)
    if reads_chunks(clip, node):
        return _joined(entries, filled([cond for cond, _ in entries], _encode(clip, [""], node)[0][0][0]), False)
    warn_of_unequal(lengths, node)
    return _joined(entries, [_up_to(cond, max(lengths)) for cond, _ in entries], True)


def _joined(entries: Sequence[Sequence[Any]], conds: Sequence[torch.Tensor], padded: bool) -> Conditioning:
    """One conditioning of the entries, whose encodings ``conds`` has made as long as the longest, or a part of it."""
    width = max(cond.shape[1] for cond in conds)
    values = {name: torch.cat([own[name] for _, own in entries]) if torch.is_tensor(value) else value
              for name, value in entries[0][1].items() if name not in (TAG_KEY, MASK_KEY)}
    if padded or any(MASK_KEY in own for _, own in entries):
        values[MASK_KEY] = torch.cat([_up_to(_mask(*entry), width) for entry in entries])
    rows = tuple(own[TAG_KEY].rows[0] for _, own in entries)
    if not padded:
        rows = tuple(replace(row, tokens=row.tokens + (None,) * (cond.shape[1] - len(row.tokens)))
                     for row, cond in zip(rows, conds, strict=True))
    whole = torch.cat([cond.repeat(1, width // cond.shape[1], 1) for cond in conds])
    return with_tag([[whole, values]], PromptTag(rows, length=width, padded=padded))


def _mask(cond: torch.Tensor, values: dict[str, Any]) -> torch.Tensor:
    """Which tokens the encoder was given, [1, T]; the host leaves out a mask that hides none."""
    return values[MASK_KEY] if MASK_KEY in values else cond.new_ones(cond.shape[:2], dtype=torch.long)


def _up_to(rows: torch.Tensor, width: int) -> torch.Tensor:
    """[1, T, ...] with zeros behind, up to [1, width, ...]."""
    return torch.cat((rows, rows.new_zeros(1, width - rows.shape[1], *rows.shape[2:])), 1)


def filled(conds: Sequence[torch.Tensor], blank: torch.Tensor) -> list[torch.Tensor]:
    """Encodings [1, T, C] of unequal length, each made so long that the longest is a multiple of it.

    Repeated to the longest's length, one that divides it is what it was: a softmax does not notice. Any other has
    chunks of the empty prompt, ``blank``, behind it, as if its writer had gone on with nothing; a common multiple of
    all would be thousands of chunks long.
    """
    longest, chunk = max(cond.shape[1] for cond in conds), blank.shape[1]
    out = []
    for cond in conds:
        while longest % cond.shape[1]:
            cond = torch.cat((cond, blank.to(cond)), 1)
        if cond.shape[1] > longest:
            raise ValueError(f"{longest} tokens cannot be reached by chunks of {chunk}")
        out.append(cond)
    return out


def with_tag(conditioning: Conditioning, tag: PromptTag) -> Conditioning:
    """The same conditioning, every entry carrying the tag; nothing of the input is changed."""
    return [[cond, {**values, TAG_KEY: tag}] for cond, values in conditioning]


def with_key(conditioning: Conditioning, tag: PromptTag, key: str) -> Conditioning:
    """The same conditioning with the key in the tag of each entry that says what ``tag`` says."""
    return [[cond, {**values, TAG_KEY: values[TAG_KEY].with_key(key)} if is_from(values, tag) else values]
            for cond, values in conditioning]


def is_from(values: dict[str, Any], tag: PromptTag) -> bool:
    """True for an entry of this prompt; another prompt may have been combined with it."""
    return TAG_KEY in values and values[TAG_KEY].rows == tag.rows


def tag_of(conditioning: Conditioning) -> PromptTag | None:
    """The tag of the first entry that has one."""
    return next((values[TAG_KEY] for _, values in conditioning if TAG_KEY in values), None)


def take_prompt(clip: Any, prompt: str | Conditioning, node: str) -> tuple[Conditioning, PromptTag]:
    """Typed text or a linked prompt of this pack, and its words, of which a model that knows few must know some.

    The tag says how many tokens another node appended. Raises DirectorError for any other prompt.
    """
    _require_clip(clip, node)
    conditioning = encode(clip, prompt, node) if isinstance(prompt, str) else prompt
    tag = tag_of(conditioning)
    if tag is None:
        raise DirectorError(node, "the linked prompt was not made by an Attention Director node, so its words are "
                                  "unknown; type it here or use Encode Prompt.")
    check_known_words(clip, tag, node)
    return conditioning, replace(tag, appended=appended_to(conditioning, tag))


def appended_to(conditioning: Conditioning, tag: PromptTag) -> int:
    """Tokens that another node, such as Conditioning (Concat), put behind the prompts that the tag knows."""
    return max([0, *(cond.shape[1] - tag.width for cond, values in conditioning if is_from(values, tag))])


def tokenise_phrase(clip: Any, text: str, node: str) -> Phrase:
    """A phrase as the user spelt it ("red hat", "cat#2", "embedding:name", "(red hat:1.2)").

    In CLIP's tokens; elsewhere in its letters, since a token may reach over its words and weights may not be read.
    """
    if not reads_chunks(clip, node):
        return phrase_without_clip(text)
    words, occurrence = split_occurrence(text)
    return Phrase(text.strip(), tokenised(clip, words, node)[1].layout, occurrence)
