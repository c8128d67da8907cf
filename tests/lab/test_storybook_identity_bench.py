"""The identity bench on the transformer: its cases, and what a picture is worth."""

from __future__ import annotations

import numpy as np
import pytest
from benches import storybook_identity_cases as cases
from benches.storybook_identity import ALONE, TOGETHER, rows_of
from benches.storybook_identity_cases import renderer, sample_case, score
from benches.storybook_layout import oracle
from storybook.atlas import read_atlas
from storybook.measure import gallery
from storybook.oracle import Found, Seen

COUNT = {1: "one", 2: "two"}


def person(word: str, look: np.ndarray, sure: bool = True) -> Found:
    return Found(word, (0.0, 0.0, 99.0, 99.0), look, 0.9, sure)


@pytest.mark.parametrize("people", [1, 2])
def test_cases_are_of_people_whom_nothing_was_trained_on(people: int) -> None:
    atlas = read_atlas()
    for number in range(8):
        case = sample_case(number, people)
        assert len(case.people) == people and set(case.people) <= atlas.held_out
        assert case.words == [atlas.phrases[sprite] for sprite in case.people] and len(set(case.words)) == people
        assert all(phrase in case.layout.caption for phrase in case.layout.phrases)
        assert len(case.layout.phrases) == (2 if people == 2 or number % 2 else 1)
        assert all(sprite in line and len(set(line)) == 20 for sprite, line in zip(case.people, case.line_ups,
                                                                                   strict=True))
        assert [picture.shape for picture in case.references()] == [(1, 128, 128, 3)] * people
    assert sample_case(3, people).layout.caption == sample_case(3, people).layout.caption


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> dict[int, np.ndarray]:
    """The looks of one case's line-ups alone, each seen once."""
    sprites = sorted({sprite for line in sample_case(0, 2).line_ups for sprite in line})
    made = gallery(oracle(), renderer(), read_atlas(), sprites, views=1)
    monkeypatch.setattr(cases, "known", lambda: made)
    return made


def test_a_picture_of_the_people_themselves_scores_all(few: dict[int, np.ndarray]) -> None:
    case = sample_case(0, 2)
    seen, = oracle().look(renderer()([case.layout.scene]).pictures)
    found = score(seen, case)
    assert found == {"match": 1.0, "drawn": 1.0, "obedience": 1.0, "blending": 0.0}


def test_scores_ask_for_each_persons_own_look(few: dict[int, np.ndarray]) -> None:
    case = sample_case(0, 2)
    own, other = (few[sprite] for sprite in case.people)
    place = case.layout.scene.place

    def scored(*things: Found) -> dict[str, float]:
        return score(Seen(place, things), case)

    swapped = scored(person(case.words[0], other), person(case.words[1], own))
    assert swapped == {"match": 0.0, "drawn": 1.0, "obedience": 1.0, "blending": 1.0}
    alike = scored(person(case.words[0], own), person(case.words[1], own))
    assert (alike["match"], alike["blending"]) == (0.5, 0.5)
    alone = scored(person(case.words[0], own))
    assert alone == {"match": 0.5, "drawn": 0.5, "obedience": 0.0, "blending": 0.0}
    unsure = scored(person(case.words[0], own), person(case.words[1], other, sure=False))
    assert (unsure["match"], unsure["drawn"]) == (0.5, 0.5)
    assert "blending" not in scored()
    elsewhere = score(Seen("night" if place != "night" else "snow", (person(case.words[0], own),
                                                                    person(case.words[1], other))), case)
    assert (elsewhere["match"], elsewhere["obedience"]) == (1.0, 0.0)


def test_one_row_a_way_over_all_cases() -> None:
    def case(ways: dict, people: int, match: float) -> dict:
        which = COUNT[people]
        return {way: {f"match_{which}": [match], f"drawn_{which}": [1.0], f"obedience_{which}": [1.0],
                      f"a_step_{which}": [2.0 if way == "ours" else 1.0]} for way in ways}

    measured = [case(ALONE, 1, 1.0), case(TOGETHER, 2, 0.0), case(TOGETHER, 2, 1.0)]
    rows = {row["variant"]: row for row in rows_of(measured)}
    assert set(rows) == set(TOGETHER)
    assert (rows["ours"]["match_one"], rows["ours"]["match_two"], rows["ours"]["step_ratio"]) == (1.0, 0.5, 2.0)
    assert (rows["ours"]["n_one"], rows["ours"]["n_two"], rows["ours-boxes"]["n_one"]) == (1.0, 2.0, 0.0)
