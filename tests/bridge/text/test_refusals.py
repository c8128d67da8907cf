"""The sentences for phrases that cannot be bound."""

from __future__ import annotations

from attention_director.bridge.text.refusals import claimed, missing, nearest_hint, number_them, times
from attention_director.bridge.text.words import phrase_without_clip
from layouts import padded

ROWS = (padded("a cat , a cat and a red hat", 20), padded("A Red-Haired cat", 20))


def said(phrase: str, **more) -> str:
    return missing(f'region 2 "{phrase}"', phrase_without_clip(phrase), ROWS, "Do this.", **more)


def test_words_that_are_nowhere() -> None:
    assert said("red hot") == 'region 2 "red hot" is not in the prompt; nearest: "red hat". Do this.'
    assert said("xylophone") == 'region 2 "xylophone" is not in the prompt. Do this.'
    assert said("xylophone", where="any prompt") == 'region 2 "xylophone" is not in any prompt. Do this.'
    assert said("xylophone", appended=77).endswith("Do this. Words that Conditioning (Concat) appended cannot be "
                                                   "bound; write them in the prompt text instead.")


def test_words_that_are_not_there_so_often() -> None:
    assert said("cat#3") == 'region 2 "cat#3": the prompt contains those words twice; lower the number after #.'
    assert said("hat#2") == 'region 2 "hat#2": the prompt contains those words once; lower the number after #.'
    assert times(phrase_without_clip("cat#3"), ROWS) == 2 and times(phrase_without_clip("cat"), ()) == 0


def test_hints_are_whole_words_as_typed() -> None:
    assert nearest_hint(phrase_without_clip("haired"), ROWS[1:]) == '; nearest: "Red-Haired"'
    assert nearest_hint(phrase_without_clip("haired"), ()) == ""


def test_words_that_two_claim() -> None:
    cat, hat = phrase_without_clip("(Cat:1.2)#2"), phrase_without_clip("red hat")
    assert claimed(cat, ROWS, 2) == '"cat" occurs twice and two regions claim it; write cat#1 and cat#2.'
    assert claimed(cat, ROWS, 3) == '"cat" occurs twice and 3 regions claim it; write cat#1 and cat#2.'
    assert claimed(hat, ROWS, 2) == '"red hat" occurs once and 2 regions claim it; join their masks in one region.'
    assert number_them(hat) == "write red hat#1 and red hat#2"
