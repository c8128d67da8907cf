"""Prompts that travel from node to node: CONDITIONING that knows its words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ...core.text import Phrase, PromptTag, split_occurrence
from ..errors import DirectorError
from .clip import Reading, layout_of, reading_of
from .encoders import reads_chunks
from .known_words import check_known_words
from .unread import warn_of_unequal, warn_of_unread
from .words import phrase_without_clip

TAG_KEY = "attention_director"
MASK_KEY = "attention_mask"  # the host's

Conditioning = list[list[Any]]

def encode(clip: Any, text: str, node: str) -> Conditioning:
    """What CLIPTextEncode gives for ``text``, with its words in the dict."""
    return _encode(clip, [text], node)[0]


def _encode(clip: Any, texts: Sequence[str], node: str) -> list[Conditioning]:
    """Each text by itself; what it says is looked at before the first is encoded."""
    _require_clip(clip, node)
    tokens = [clip.tokenize(text) for text in texts]
    readings = [reading_of(text, own, clip, node) for text, own in zip(texts, tokens, strict=True)]
    warn_of_unread(texts, readings, node)
    return [_with_words(clip.encode_from_tokens_scheduled(own), reading, node)
            for own, reading in zip(tokens, readings, strict=True)]


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

    Prompts of unequal length are repeated to a common one, chunk by chunk; a softmax does not notice. Encodings that
    are no chunks are read by layers where it would, so they are filled up with zeros, which the families leave out.
    """
    singles = _encode(clip, lines, node)
    if any(len(single) != 1 for single in singles):
        raise DirectorError(node, "the text encoder is scheduled by hooks, which a batch of prompts cannot be; encode "
                                  "one prompt at a time.")
    entries = [single[0] for single in singles]
    lengths = [cond.shape[1] for cond, _ in entries]
    padded = len(set(lengths)) > 1 and not reads_chunks(clip, node)
    if padded:
        warn_of_unequal(lengths, node)
    width = max(lengths) if padded else math.lcm(*lengths)
    fit = _filled if padded else _repeated
    values = {name: torch.cat([own[name] for _, own in entries]) if torch.is_tensor(value) else value
              for name, value in entries[0][1].items() if name not in (TAG_KEY, MASK_KEY)}
    if padded or any(MASK_KEY in own for _, own in entries):
        values[MASK_KEY] = torch.cat([fit(_mask(*entry), width) for entry in entries])
    tag = PromptTag(tuple(own[TAG_KEY].rows[0] for _, own in entries), length=width, padded=padded)
    return with_tag([[torch.cat([fit(cond, width) for cond, _ in entries]), values]], tag)


def _mask(cond: torch.Tensor, values: dict[str, Any]) -> torch.Tensor:
    """Which tokens the encoder was given, [1, T]; the host leaves out a mask that hides none."""
    return values[MASK_KEY] if MASK_KEY in values else cond.new_ones(cond.shape[:2], dtype=torch.long)


def _repeated(rows: torch.Tensor, width: int) -> torch.Tensor:
    return torch.cat([rows] * (width // rows.shape[1]), 1)


def _filled(rows: torch.Tensor, width: int) -> torch.Tensor:
    """[1, T, ...] with zeros behind, up to [1, width, ...]."""
    return torch.cat((rows, rows.new_zeros(1, width - rows.shape[1], *rows.shape[2:])), 1)


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
    return Phrase(text.strip(), layout_of(words, clip.tokenize(words), clip, node), occurrence)
