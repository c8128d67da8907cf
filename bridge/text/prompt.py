"""Prompts that travel from node to node: CONDITIONING that knows its words."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from ...core.text import Phrase, PromptTag, TextLayout, split_occurrence
from ..errors import DirectorError
from .clip import layout_of, reading_of, rows_of
from .encoders import row_encoders
from .known_words import check_known_words
from .unread import warn_of_unread
from .words import phrase_without_clip

TAG_KEY = "attention_director"

Conditioning = list[list[Any]]

log = logging.getLogger("attention_director")


def encode(clip: Any, text: str, node: str) -> Conditioning:
    """What CLIPTextEncode gives for ``text``, with its words in the dict."""
    return _encode(clip, [text], node)[0]


def _encode(clip: Any, texts: Sequence[str], node: str) -> list[Conditioning]:
    """Each text by itself; what it says is looked at before the first is encoded."""
    _require_clip(clip, node)
    tokens = [clip.tokenize(text) for text in texts]
    readings = [reading_of(text, own, clip, node) for text, own in zip(texts, tokens, strict=True)]
    warn_of_unread(texts, readings, node)
    return [_with_words(clip.encode_from_tokens_scheduled(own), reading.layout, node)
            for own, reading in zip(tokens, readings, strict=True)]


def _with_words(conditioning: Conditioning, layout: TextLayout, node: str) -> Conditioning:
    """An encoder that another pack has changed may give each token twice (NegPip) or put others in between."""
    given = {cond.shape[1] for cond, _ in conditioning}
    rows = {rows_of(layout, count) for count in given}
    if len(rows) != 1 or None in rows:
        raise DirectorError(node, f"the text encoder gives {max(given)} tokens for a prompt of {len(layout.tokens)}, "
                                  "so another node has changed it (NegPip does); give this node the clip from before "
                                  "that node.")
    return with_tag(conditioning, PromptTag(tuple(rows)))


def _require_clip(clip: Any, node: str) -> None:
    if clip is None:
        raise DirectorError(node, "the clip input is empty; if the checkpoint contains no text encoder, use Load CLIP.")


def encode_lines(clip: Any, lines: list[str], node: str) -> Conditioning:
    """One conditioning of several prompts: image i of a batch reads line i mod P.

    Prompts of unequal length are brought to a common one. CLIP's are repeated, chunk by chunk, which a softmax over
    text alone does not notice; others are filled up with zeros, which the rows of a run leave out.
    """
    singles = _encode(clip, lines, node)
    if any(len(single) != 1 for single in singles):
        raise DirectorError(node, "the text encoder is scheduled by hooks, which a batch of prompts cannot be; encode "
                                  "one prompt at a time.")
    repeats = row_encoders(clip, clip.tokenize(lines[0]), node)[0].is_clip
    lengths = [single[0][0].shape[1] for single in singles]
    width = math.lcm(*lengths) if repeats else max(lengths)
    brought = _repeated if repeats else _filled_up
    if not repeats and min(lengths) < width:
        log.warning("%s: the prompts have %s tokens; the model must come through a node of this pack too, such as "
                    "Record Attention, or the shorter ones come out a little different.", node,
                    ", ".join(map(str, lengths)))
    values = dict(singles[0][0][1])
    for name, value in values.items():
        if torch.is_tensor(value):
            own = [single[0][1][name] for single in singles]
            along = value.ndim > 1 and value.shape[1] == lengths[0]  # a mask of the tokens
            values[name] = torch.cat([brought(x, width) for x in own] if along else own)
    joined = torch.cat([brought(single[0][0], width) for single in singles])
    rows = tuple(tag_of(single).rows[0] for single in singles)  # type: ignore[union-attr]
    return with_tag([[joined, values]], PromptTag(rows, length=width, padded=not repeats and min(lengths) < width))


def _repeated(x: torch.Tensor, width: int) -> torch.Tensor:
    return x.repeat(1, width // x.shape[1], *[1] * (x.ndim - 2))


def _filled_up(x: torch.Tensor, width: int) -> torch.Tensor:
    return torch.cat((x, x.new_zeros(x.shape[0], width - x.shape[1], *x.shape[2:])), 1)


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

    In CLIP's tokens; as its letters where a token may reach over its words or weights are not read.
    """
    words, occurrence = split_occurrence(text)
    tokens = clip.tokenize(words)
    if not row_encoders(clip, tokens, node)[0].is_clip:
        return phrase_without_clip(text)
    return Phrase(text.strip(), layout_of(words, tokens, clip, node), occurrence)
