"""T5, Qwen, Mistral and Gemma: which rows of the conditioning are which words, in the host's own text encoders."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from attention_director.bridge.text.align import aligned_by_words
from attention_director.bridge.text.as_read import as_read
from attention_director.bridge.text.clip import layout_of, reading_of
from attention_director.bridge.text.prompt import encode, tag_of, tokenise_phrase
from scene import host_encode
from text_encoders import NAMES, text_encoder

LONG = "a tree by the water, " * 30
TEMPLATED = ("klein", "zimage", "flux2", "qwen", "longcat", "ovis", "omnigen2")
LITERAL = tuple(name for name in TEMPLATED if name != "omnigen2")  # whose brackets the host does not read as weights
names = pytest.mark.parametrize("name", NAMES)
OTHERS = ["cat", "dog", "red", "hat", "sun", "tree", "猫", "犬", "木", "🐱", "🚀", "é", "ß", "42",
          *(letter * n for n in range(1, 9) for letter in "qé木"), *("blue " * n + "sun" for n in range(1, 4))]


def rows(clip: Any, text: str) -> torch.Tensor:
    """What the host's own node gives for a text."""
    return host_encode(clip, text)[0][0][0]


def found(clip: Any, text: str, phrase: str) -> tuple[int, ...]:
    (positions,) = tag_of(encode(clip, text, "test")).find(tokenise_phrase(clip, phrase, "test"))
    return positions


def alike(clip: Any, text: str, start: int, stop: int) -> list[str]:
    """The text with other words at text[start:stop], where that leaves the number of tokens as it is."""
    others = [text[:start] + word + text[stop:] for word in OTHERS if word != text[start:stop]]
    return [other for other in others if len(tokens_of(clip, other)) == len(tokens_of(clip, text))]


def changed(clip: Any, text: str, start: int, stop: int) -> set[int]:
    """The rows that change when text[start:stop] does."""
    host = rows(clip, text)
    return {int(row) for other in alike(clip, text, start, stop)[:6]
            for row in (host != rows(clip, other)).any(-1).nonzero()}


def tokens_of(clip: Any, text: str) -> list[int]:
    """Of the encoder that gives the rows, without padding."""
    name, chunks = list(clip.tokenize(text).items())[-1]
    padding = tokenizer_of(clip, name).pad_token
    return [token for chunk in chunks for token, *_ in chunk if token != padding]


def tokenizer_of(clip: Any, name: str) -> Any:
    return getattr(clip.tokenizer, name, None) or getattr(clip.tokenizer, f"clip_{name}")


@names
@pytest.mark.parametrize(("text", "phrase"), [
    ("a red hat on the grass", "red"), ("a red hat on the grass", "hat"), ("a cat", "cat"), ("cat and dog", "cat"),
    ("one cat, a boat, a cat and a cat.", "cat#2"), ("“red”, 'hat'; and (dog)!", "dog"), ("the naïve façade", "façade"),
    ("a 猫 on a roof", "猫"), ("a 🐱 on a roof", "🐱"), ("Straße, Ünal und Café", "Café"),
    ("\n\n a cat\n\n and a dog", "dog"),
    (LONG + "and a dog at the end", "dog"), ("日本の 猫 と 犬。", "犬"), ("a {red} [hat] <dog> |cat|", "dog"),
    ("a \\(red\\) hat, 50% of a cat", "cat")])
def test_the_rows_of_a_phrase_are_those_that_change_with_it(name: str, text: str, phrase: str) -> None:
    clip = text_encoder(name)
    word, number = phrase.split("#")[0], int(phrase.split("#")[-1]) if "#" in phrase else 1
    start = -1
    for _ in range(number):
        start = text.index(word, start + 1)
    ours = set(found(clip, text, phrase))
    truth = changed(clip, text, start, start + len(word))
    assert ours and truth and truth <= ours
    spans = [tag_of(encode(clip, text, "test")).rows[0].tokens[p] for p in ours]
    assert all(a < start + len(word) and start < b for a, b in spans), "a row beyond the truth begins the word"


@names
@pytest.mark.parametrize("text", ["", " ", "a red hat", "a (red hat:1.3), ((dog))", "{} {0} % \\", LONG * 2, "猫🐱é\n"],
                         ids=["empty", "space", "short", "weights", "braces", "long", "scripts"])
def test_encode_equals_the_hosts(name: str, text: str) -> None:
    clip = text_encoder(name, attention=True)
    (ours, values), (host, expected) = encode(clip, text, "test")[0], host_encode(clip, text)[0]
    assert torch.equal(ours, host) and set(values) == {*expected, "attention_director"}
    row = values["attention_director"].rows[0]
    assert row.text == text and len(row.tokens) == host.shape[1]


@names
def test_the_template_and_padding_are_no_words(name: str) -> None:
    """Rows that two prompts of one word have alike are of no word; T5 marks the beginning of a word by a token."""
    clip = text_encoder(name)
    row, other = tag_of(encode(clip, "cat", "test")).rows[0], alike(clip, "cat", 0, 3)[0]
    assert [word.typed for word in row.words()] == ["cat"]
    same = {int(n) for n in (rows(clip, "cat") == rows(clip, other)).all(-1).nonzero()}
    assert set(row.other()) <= same and len(same - set(row.other())) <= (name in ("flux", "chroma"))
    assert not tag_of(encode(clip, "", "test")).rows[0].words()


def naive_spans(tokenizer: Any, text: str) -> list[tuple[int, int] | None]:
    """(start, stop) of each token's characters by the tokenizer's own count, spaces at the ends left out.

    None for T5's mark alone, and for nothing but spaces.
    """
    counted = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    spans: list[tuple[int, int] | None] = []
    for token, (start, stop) in zip(counted["input_ids"], counted["offset_mapping"], strict=True):
        part = text[start:stop]
        start += len(part) - len(part.lstrip())
        mark = tokenizer.convert_ids_to_tokens(token) == "▁"
        spans.append(None if mark or not part.strip() else (start, start + len(part.strip())))
    return spans


@pytest.mark.parametrize("name", ["chroma", "zimage", "flux2"])
def test_spans_are_those_the_tokenizer_counts(name: str) -> None:
    clip = text_encoder(name)
    tokenizer = tokenizer_of(clip, next(iter(clip.tokenize("a")))).tokenizer
    if not tokenizer.is_fast:
        pytest.skip("this transformers has no fast tokenizer, which counts")
    dice = random.Random(7)
    letters = ["a", "cat", "red ", " hat", "é", "ï", "猫", "犬", "。", "、", "🐱", "👩🏽\u200d🚀", "❤️", "1", "42", "½",
               "ﬁ", "—", "“", "”", "…", "!", "'s", "-", " ", "  ", "\n", "ü", "ß", "א", "ไทย", "한", "ф", "_", "#", "$",
               "the ", "x"]
    for _ in range(300):
        text = "".join(dice.choices(letters, k=dice.randint(1, 14)))
        layout = layout_of(text, clip.tokenize(text), clip, "test")
        ours, theirs = [layout.tokens[p] for p in layout.own()], naive_spans(tokenizer, text)
        if name == "chroma":  # a mark stands with the word it begins
            words = zip(ours, theirs, ours[1:], strict=False)
            assert all(span is not None or mark[0] == word[0] for mark, span, word in words), (text, ours, theirs)
            ours = [a for a, b in zip(ours, theirs, strict=True) if b is not None]
        else:
            ours = [span for span in ours if span != (0, 0)]
        assert ours == [span for span in theirs if span is not None], text


@names
@pytest.mark.parametrize("text", [
    "a (red hat:1.3), dog", "((masterpiece)), best (quality), 24k, 16:9", "a (猫:1.2) and (naïve:0.8)🐱, x",
    "(a)(b)(c) d", "a\\(b\\) (c:1.2)d", "“smart” (quotes’:1.1) and – dashes…"])
def test_every_token_stands_for_text_in_its_order(name: str, text: str) -> None:
    clip = text_encoder(name)
    reading = reading_of(text, clip.tokenize(text), clip, "test")
    spans = [span for span in reading.layout.tokens if span and span != (0, 0)]
    assert spans == sorted(spans) and all(start < stop for start, stop in spans)
    read = {character for span in spans for character in range(*span)}
    parts = as_read(text, weights=not reading.literal)
    assert read == {n for part in parts if not part.read.isspace() for n in range(part.start, part.stop)}


def test_words_are_laid_one_by_one_and_else_where_they_differ() -> None:
    assert aligned_by_words("_ab_c_d", "_ab_?_d", "_") == [(n, n + 1) for n in range(7)]
    assert aligned_by_words("_abc_d", "_ab_c_d", "_")[-2:] == [(4, 5), (5, 6)]
    assert aligned_by_words("_a_猫_b", "_a_?_b", "_")[3] == (3, 4)
    assert aligned_by_words("", "_a", "_") == [(0, 0), (0, 0)] and aligned_by_words("_a", "", "_") == []
