"""Prompts that travel from node to node: CONDITIONING that knows its words."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import comfy.model_management
import torch

from ...core.text import Phrase, PromptTag, TextLayout, split_occurrence
from ..errors import DirectorError
from .clip import Tokens, layout_of
from .known_words import check_known_words

TAG_KEY = "attention_director"
# What is compared word by word grows with the square of its length.
MOST_CHARACTERS = 50_000
MOST_CHUNKS = 32

Conditioning = list[list[Any]]

log = logging.getLogger("attention_director")


def encode(clip: Any, text: str, node: str) -> Conditioning:
    """What CLIPTextEncode gives for ``text``, with its words in the dict."""
    _require_clip(clip, node)
    _warn_of_lora_syntax([text], node)
    return _encode(clip, text, node)


def _encode(clip: Any, text: str, node: str) -> Conditioning:
    tokens, layout = tokenised(clip, text, node)
    conditioning = clip.encode_from_tokens_scheduled(tokens)
    _require_own_tokens(conditioning, len(layout.tokens), node)
    return with_tag(conditioning, PromptTag((layout,)))


def tokenised(clip: Any, text: str, node: str) -> tuple[Tokens, TextLayout]:
    """A typed text's tokens and layout. Raises DirectorError for one that cannot be read, or not in reasonable time."""
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
        return tokens, layout_of(text, tokens, clip, node)
    except RecursionError:
        raise DirectorError(node, f'"{text}" has too many brackets inside each other; take some away.') from None


def _require_own_tokens(conditioning: Conditioning, tokens: int, node: str) -> None:
    """An encoder that another pack has changed may give each token twice (NegPip) or put others in between."""
    given = next((cond.shape[1] for cond, _ in conditioning if cond.shape[1] != tokens), tokens)
    if given != tokens:
        raise DirectorError(node, f"the text encoder gives {given} tokens for a prompt of {tokens}, so another node "
                                  "has changed it (NegPip does); give this node the clip from before that node.")


def _require_clip(clip: Any, node: str) -> None:
    if clip is None:
        raise DirectorError(node, "the clip input is empty; if the checkpoint contains no text encoder, use Load CLIP.")


def encode_lines(clip: Any, lines: list[str], node: str) -> Conditioning:
    """One conditioning of several prompts: image i of a batch reads line i mod P.

    Prompts of unequal length come to that of the longest, see ``filled``.
    """
    _require_clip(clip, node)
    _warn_of_lora_syntax(lines, node)
    singles = [_encode(clip, line, node) for line in lines]
    if any(len(single) != 1 for single in singles):
        raise DirectorError(node, "the text encoder is scheduled by hooks, which a batch of prompts cannot be; encode "
                                  "one prompt at a time.")
    conds, layouts = [single[0][0] for single in singles], [tag_of(single).rows[0] for single in singles]  # type: ignore
    blank = _encode(clip, "", node)[0][0] if len({cond.shape[1] for cond in conds}) > 1 else conds[0]
    longer = filled(conds, blank)
    width = max(cond.shape[1] for cond in longer)
    values = dict(singles[0][0][1])
    for name, value in values.items():
        if torch.is_tensor(value):
            values[name] = torch.cat([single[0][1][name] for single in singles])
    joined = torch.cat([cond.repeat(1, width // cond.shape[1], 1) for cond in longer])
    rows = tuple(replace(layout, tokens=layout.tokens + (None,) * (cond.shape[1] - len(layout.tokens)))
                 for layout, cond in zip(layouts, longer, strict=True))
    return with_tag([[joined, values]], PromptTag(rows, length=width))


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
    """A phrase as the user spelt it ("red hat", "cat#2", "embedding:name") in the prompt's tokens."""
    words, occurrence = split_occurrence(text)
    return Phrase(text.strip(), tokenised(clip, words, node)[1], occurrence)


def _warn_of_lora_syntax(texts: Sequence[str], node: str) -> None:
    """Another program's LoRA syntax is read as words here; once per call, which the host repeats for new texts only."""
    if any("<lora:" in text.lower() for text in texts):
        log.warning("%s: ComfyUI reads <lora:...> in the prompt as words; use Load LoRA.", node)
