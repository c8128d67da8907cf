"""Prompts that travel from node to node: CONDITIONING that knows its words."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Sequence
from typing import Any

import torch

from ...core.text import Phrase, PromptTag, TokenLayout, split_occurrence
from ..errors import DirectorError

TAG_KEY = "attention_director"
CHUNK = 77

Conditioning = list[list[Any]]
Tokens = dict[str, list[list[tuple[Any, ...]]]]

log = logging.getLogger("attention_director")


def _spelling(token: Any, vocabulary: dict[int, str]) -> str:
    """A token's spelling; a textual inversion's vector gets a name made of its values."""
    if isinstance(token, int):
        return vocabulary.get(token, f"<{token}></w>")
    if isinstance(token, torch.Tensor):
        values = token.detach().to("cpu", torch.float32).numpy().tobytes()
        return f"<{hashlib.sha256(values).hexdigest()[:16]}></w>"
    return f"<{type(token).__name__}></w>"


def _pieces(chunks: list[list[tuple[Any, ...]]], tokenizer: Any) -> tuple[str | None, ...]:
    """Spellings along the token axis, None from the end token of each chunk on and at its start."""
    out: list[str | None] = []
    for chunk in chunks:
        ended = False
        for position, (token, *_) in enumerate(chunk):
            is_id = isinstance(token, int)
            ended = ended or (is_id and position > 0 and token == tokenizer.end_token)
            special = ended or (is_id and position == 0 and token == tokenizer.start_token)
            out.append(None if special else _spelling(token, tokenizer.inv_vocab))
    return tuple(out)


def layout_of(text: str, tokens: Tokens, clip: Any, node: str) -> TokenLayout:
    """The layout of a tokenised prompt; all CLIP encoders of the model must agree on it."""
    layouts = []
    for name, chunks in tokens.items():
        tokenizer = getattr(clip.tokenizer, f"clip_{name}", None)
        if tokenizer is None or getattr(tokenizer, "inv_vocab", None) is None:
            raise DirectorError(node, f'the text encoder "{name}" is not a CLIP model; use a Stable Diffusion 1.x, '
                                      "2.x or SDXL checkpoint.")
        layouts.append(TokenLayout(text, _pieces(chunks, tokenizer)))
    first = layouts[0]
    shape = [piece is None for piece in first.pieces]
    if any([piece is None for piece in other.pieces] != shape for other in layouts[1:]):
        raise DirectorError(node, "an embedding in the prompt has another length in each of the two text encoders; "
                                  "take it out of the prompt.")
    return first


def encode(clip: Any, text: str, node: str) -> Conditioning:
    """What CLIPTextEncode gives for ``text``, with its words in the dict."""
    _require_clip(clip, node)
    warn_of_lora_syntax(text, node)
    tokens = clip.tokenize(text)
    layout = layout_of(text, tokens, clip, node)
    return with_tag(clip.encode_from_tokens_scheduled(tokens), PromptTag((layout,)))


def _require_clip(clip: Any, node: str) -> None:
    if clip is None:
        raise DirectorError(node, "the clip input is empty; the checkpoint may hold no text encoder, use Load CLIP.")


def encode_lines(clip: Any, lines: list[str], node: str) -> Conditioning:
    """One conditioning of several prompts: image i of a batch reads line i mod P.

    Prompts of unequal length are repeated to a common one, chunk by chunk; a softmax does not notice.
    """
    singles = [encode(clip, line, node) for line in lines]
    if any(len(single) != 1 for single in singles):
        raise DirectorError(node, "the text encoder is scheduled by hooks, which a batch of prompts cannot be; encode "
                                  "one prompt at a time.")
    conds = [single[0][0] for single in singles]
    width = math.lcm(*(cond.shape[1] for cond in conds))
    values = dict(singles[0][0][1])
    for name, value in values.items():
        if torch.is_tensor(value):
            values[name] = torch.cat([single[0][1][name] for single in singles])
    joined = torch.cat([cond.repeat(1, width // cond.shape[1], 1) for cond in conds])
    rows = tuple(tag_of(single).rows[0] for single in singles)  # type: ignore[union-attr]
    return with_tag([[joined, values]], PromptTag(rows, length=width))


def with_tag(conditioning: Conditioning, tag: PromptTag) -> Conditioning:
    """The same conditioning, every entry carrying the tag; nothing of the input is changed."""
    return [[cond, {**values, TAG_KEY: tag}] for cond, values in conditioning]


def with_key(conditioning: Conditioning, tag: PromptTag, key: str) -> Conditioning:
    """The same conditioning with the key in the tag of each entry that says what ``tag`` says."""
    return [[cond, {**values, TAG_KEY: values[TAG_KEY].with_key(key)} if says(values, tag) else values]
            for cond, values in conditioning]


def says(values: dict[str, Any], tag: PromptTag) -> bool:
    """True for an entry of this prompt; another prompt may have been combined with it."""
    return TAG_KEY in values and values[TAG_KEY].rows == tag.rows


def tag_of(conditioning: Conditioning) -> PromptTag | None:
    """The tag of the first entry that has one."""
    return next((values[TAG_KEY] for _, values in conditioning if TAG_KEY in values), None)


def take_prompt(clip: Any, prompt: str | Conditioning, node: str) -> tuple[Conditioning, PromptTag]:
    """Typed text or a linked prompt of this pack, and its words. Raises DirectorError otherwise."""
    _require_clip(clip, node)
    conditioning = encode(clip, prompt, node) if isinstance(prompt, str) else prompt
    tag = tag_of(conditioning)
    if tag is None:
        raise DirectorError(node, "the linked prompt was not made by an Attention Director node, so its words are "
                                  "unknown; type it here or use Encode Prompt.")
    return conditioning, tag


def phrase(clip: Any, text: str, node: str) -> Phrase:
    """A phrase as the user spelt it ("red hat", "cat#2", "embedding:name") in the prompt's tokens."""
    words, occurrence = split_occurrence(text)
    return Phrase(text.strip(), layout_of(words, clip.tokenize(words), clip, node), occurrence)


def chunks_of(tokens: Tokens, groups: Sequence[tuple[int, ...]], clip: Any) -> Tokens:
    """A prompt of one chunk a group of positions, weights and embeddings kept; chunks do not see each other."""
    out: Tokens = {}
    for name, chunks in tokens.items():
        tokenizer = getattr(clip.tokenizer, f"clip_{name}")
        flat = [token for chunk in chunks for token in chunk]
        out[name] = [_chunk([flat[p] for p in positions][:CHUNK - 2], tokenizer) for positions in groups]
    return out


def _chunk(words: list[tuple[Any, ...]], tokenizer: Any) -> list[tuple[Any, ...]]:
    padding = CHUNK - 2 - len(words)
    return [(tokenizer.start_token, 1.0), *words, (tokenizer.end_token, 1.0), *([(tokenizer.pad_token, 1.0)] * padding)]


def warn_of_lora_syntax(text: str, node: str) -> None:
    """Another program's LoRA syntax is read as words here; say so once."""
    if "<lora:" in text.lower() and node not in _warned_of_lora:
        _warned_of_lora.add(node)
        log.warning("%s: ComfyUI reads <lora:...> in the prompt as words; use Load LoRA.", node)


_warned_of_lora: set[str] = set()
