"""Phrases found in prompts, by words, on layouts built by hand."""

from __future__ import annotations

import pytest
from attention_director.core.text import (
    Phrase,
    PhraseNotFound,
    PromptTag,
    TextLayout,
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


def test_a_pasted_phrase_is_found_without_its_signs_and_underscores() -> None:
    prompt = pieces(None, "red", "_", "hair", ",", "Red", "hat", "!", None)
    assert phrase("red", "hair").find(prompt) == (1, 2, 3) == phrase("red", "_", "hair").find(prompt)
    assert phrase("red", "hat", ",").find(prompt) == (5, 6) == phrase("'", "red", "hat", "'").find(prompt)
    assert phrase("red", "hat", "!").find(prompt) == (5, 6, 7), "as typed, where it is there as typed"
    assert phrase("red", ",", occurrence=2).find(prompt) == (5,)


def test_scripts_without_spaces_are_found_anywhere_and_alphabets_at_word_borders() -> None:
    def one(text: str) -> TextLayout:
        return TextLayout(text, tuple((i, i + 1) for i in range(len(text))))

    def found(prompt: str, text: str) -> list[tuple[int, ...]]:
        return one(prompt).occurrences(one(text))

    assert found("一只红色的猫", "红色") == [(2, 3)] and found("猫と犬", "犬") == [(2,)]
    assert found("рыжий котёнок", "кот") == [] and found("рыжий Кот", "кот") == [(6, 7, 8)]
    assert found("red猫cat", "猫") == [(3,)] and found("red猫cat", "cat") == [(4, 5, 6)]
    assert found("🐱🐶!", "🐶") == [(1,)] and found("👩‍🚀", "🚀") == [] and found("❤️", "❤") == [(0, 1)]
    assert [w.text for w in one("Кот, 一只猫 24 don't").words()] == ["кот", ",", "一只猫", "2", "4", "don", "'t"]


def test_what_shares_a_token_is_one_word_and_a_name_is_one_word() -> None:
    shared = TextLayout("a,b c", ((0, 2), (2, 3), (4, 5)))
    assert [(w.text, w.positions) for w in shared.words()] == [("a,", (0,)), ("b", (1,)), ("c", (2,))]
    named = TextLayout("x embedding:Me!", ((0, 1), (2, 14), (2, 14), (14, 15)), ((2, 14),))
    assert [w.typed for w in named.words()] == ["x", "embedding:Me", "!"]
    assert named.words()[1].positions == (1, 2) and named.part(2, 14).words()[0].typed == "embedding:Me"


def test_units_are_words_as_a_person_sees_them() -> None:
    prompt = TextLayout("(red-haired) woman's, hat!", tuple((i, i + 1) for i in range(26)))
    assert [u.typed for u in prompt.units()] == ["red-haired", "woman's", "hat"]
