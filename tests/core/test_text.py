"""Phrases found in prompts, by words, on layouts built by hand."""

from __future__ import annotations

import pytest
from attention_director.core.text import (
    Phrase,
    PhraseNotFound,
    PromptTag,
    split_occurrence,
)
from layouts import pieces


def phrase(*words: str, occurrence: int = 1) -> Phrase:
    return Phrase(" ".join(words), pieces(None, *words, None), occurrence)


PROMPT = pieces(None, "a", "red", "hat", ",", "hund+", "red", "cats", "and", "a", "Red", "hat", None, None)


def test_finds_words_in_order_whatever_their_case() -> None:
    assert phrase("red", "hat").find(PROMPT) == (2, 3)
    assert phrase("RED", "Hat").find(PROMPT) == (2, 3)
    assert phrase("a").find(PROMPT) == (1,)
    assert phrase("hat", ",").find(PROMPT) == (3, 4)


def test_finds_the_occurrence_asked_for() -> None:
    assert phrase("red", "hat", occurrence=2).find(PROMPT) == (10, 11)
    with pytest.raises(PhraseNotFound):
        phrase("red", "hat", occurrence=3).find(PROMPT)
    repeated = pieces(None, "ha", "ha", "ha", None)
    assert [phrase("ha", "ha", occurrence=n).find(repeated) for n in (1, 2)] == [(1, 2), (2, 3)]


def test_only_whole_words_count() -> None:
    """"red" is a piece of "hundred" at position 6, and no word there."""
    assert PROMPT.occurrences(phrase("red").layout) == [(2,), (10,)]
    assert phrase("hund+", "red").find(PROMPT) == (5, 6)
    with pytest.raises(PhraseNotFound):
        phrase("cat").find(PROMPT)
    with pytest.raises(PhraseNotFound):
        phrase("red", "cats").find(PROMPT)


def test_brackets_of_weights_are_passed_over() -> None:
    weighted = pieces(None, "a", "(", "red", "\\(", "hat", ")", "))", "dog", None)
    assert phrase("red", "hat", "dog").find(weighted) == (3, 5, 8)
    assert phrase("(", "red", ")").find(weighted) == (3,)
    assert phrase("(").empty and phrase("(", ")").find(weighted) == ()


def test_an_empty_phrase_governs_nothing() -> None:
    empty = Phrase("", pieces(None, None))
    assert empty.empty and empty.find(PROMPT) == () and not phrase("a").empty


def test_the_error_names_the_nearest_words() -> None:
    with pytest.raises(PhraseNotFound) as caught:
        phrase("red", "hut").find(PROMPT)
    assert caught.value.nearest == "red hat"
    assert str(caught.value) == '"red hut" is not in the prompt; nearest: "red hat"'
    with pytest.raises(PhraseNotFound) as caught:
        phrase("hundert").find(PROMPT)
    assert caught.value.nearest == "hundred"
    with pytest.raises(PhraseNotFound) as caught:
        phrase("xylophone", "quartz").find(pieces(None, "a", "b", None))
    assert caught.value.nearest == "" and str(caught.value) == '"xylophone quartz" is not in the prompt'
    with pytest.raises(PhraseNotFound):
        phrase("one", "two", "three").find(pieces(None, None))


def test_positions_count_over_all_chunks() -> None:
    first = (None, *["x"] * 75, None)
    second = (None, "red", "hat", *[None] * 74)
    both = pieces(*first, *second)
    assert len(both.tokens) == 154 and phrase("red", "hat").find(both) == (78, 79)
    assert both.own() == (*range(1, 76), 78, 79)


def test_a_phrase_may_be_split_over_the_edge_of_a_chunk() -> None:
    first = (None, *["x"] * 74, "red", None)
    both = pieces(*first, None, "hat", "dog", *[None] * 74)
    assert phrase("red", "hat").find(both) == (75, 78)
    torn = pieces(None, *["x"] * 74, "hund+", None, None, "red", *[None] * 75)
    assert phrase("hund+", "red").find(torn) == (75, 78)


def test_words_keep_all_their_positions() -> None:
    words = PROMPT.words()
    assert [w.text for w in words] == ["a", "red", "hat", ",", "hundred", "cats", "and", "a", "red", "hat"]
    assert words[4].positions == (5, 6)
    assert pieces(None, "un+", None).words()[0].text == "un", "a word without an end is a word"


@pytest.mark.parametrize(("text", "words", "occurrence"), [
    ("cat#2", "cat", 2), ("red cat #13", "red cat", 13), ("  cat  ", "cat", 1), ("cat#0", "cat#0", 1), ("#2", "#2", 1),
    ("cat#", "cat#", 1), ("c# code", "c# code", 1), ("cat#-1", "cat#-1", 1), ("", "", 1), ("a#1#2", "a#1", 2),
])
def test_the_number_after_the_sign(text: str, words: str, occurrence: int) -> None:
    assert split_occurrence(text) == (words, occurrence)


def test_a_tag_of_several_rows() -> None:
    tag = PromptTag((pieces(None, "a", "cat", None), pieces(None, "dog", None)))
    assert tag.find(phrase("cat")) == ((2,), None) and tag.find(phrase("dog")) == (None, (1,))
    with pytest.raises(PhraseNotFound, match='"cow" is not in the prompt'):
        tag.find(phrase("cow"))
    keyed = tag.with_key("1").with_key("2").with_key("1")
    assert keyed.keys == {"1", "2"} and tag.keys == frozenset() and keyed.rows == tag.rows
