"""The story bench on the transformer: its cases, its scores, and its rows."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch
from benches.storybook_subject import rows_of
from benches.storybook_subject_cases import SAME_LOOK, SUBJECTS, obeyed, sample_story, story_scores, subject_of
from benches.storybook_subject_methods import MAIN, VARIANTS
from storybook.atlas import read_atlas
from storybook.cast import PLACES
from storybook.measure import alone
from storybook.oracle import SHIPPED, Found, Oracle, Seen
from storybook.render import Renderer

Box = tuple[float, float, float, float]


def found(phrase: str, look: tuple[float, float], box: Box = (0, 0, 64, 64), sure: bool = True) -> Found:
    return Found(phrase, box, np.array(look), 0.9, sure)


def test_a_story_is_one_subject_at_places_of_its_own() -> None:
    stories = [sample_story(number) for number in range(12)]
    assert {story.subject for story in stories} == set(SUBJECTS) and {len(s.scenes) for s in stories} == {3, 4}
    for story in stories:
        places = [scene.place for scene in story.scenes]
        assert len(set(places)) == len(places) and set(places) <= set(PLACES)
        assert all(scene.things[0].phrase == story.subject for scene in story.scenes)
        assert [len(scene.things) for scene in story.scenes] == [1, 2, 1, 2][:len(places)]
        assert all(story.subject in caption for caption in story.captions)
        assert sum(scene.things[-1].phrase == story.subject for scene in story.scenes) == len(places[::2])
    seeds = [seed for story in stories for seed in story.seeds]
    assert len(set(seeds)) == len(seeds)
    assert sample_story(3) == stories[3]


def test_scores_count_what_is_missing_as_another() -> None:
    story = sample_story(0)
    scenes = story.scenes[:3]
    story = type(story)(story.subject, scenes, 0)
    beside = scenes[1].things[1].phrase
    here, there = (0.0, 0.0, 64.0, 64.0), (128.0, 0.0, 256.0, 128.0)
    seen = [Seen(scenes[0].place, (found(story.subject, (1, 0), here),)),
            Seen(scenes[1].place, (found(story.subject, (1, 0), there), found(beside, (0, 1)))),
            Seen("nowhere", (found(story.subject, (1, 0), sure=False),))]
    scores = story_scores(seen, story)
    assert scores["same_subject"] == scores["same_look"] == [1.0, 0.0, 0.0] and scores["drawn"] == [1, 1, 0]
    assert scores["obedience"] == [1.0, 1.0, 0.0]
    assert scores["spread"] == [pytest.approx(np.linalg.norm((0.625, 0.125, 0.25)))]
    unlike = [seen[0], Seen(scenes[1].place, (found(story.subject, (0.8, 0.6)),)), seen[0]]
    scores = story_scores(unlike, story)
    assert scores["same_subject"] == pytest.approx([0.8, 1.0, 0.8]) and scores["same_look"] == [0.0, 1.0, 0.0]
    assert obeyed(unlike[1], scenes[1], story.subject) == 0.5


def test_the_subject_is_the_largest_of_its_word() -> None:
    small, large = found("man", (1, 0), (0, 0, 10, 10)), found("man", (0, 1), (0, 0, 90, 90))
    assert subject_of(Seen("snow", (small, large)), "man") is large
    assert subject_of(Seen("snow", (small, large)), "woman") is None


def test_the_border_between_looks_parts_renders() -> None:
    """One look drawn twice lies above it and two looks of one word below, nearly always."""
    atlas, oracle, rng = read_atlas(), Oracle.read(SHIPPED), Random("border")
    renderer = Renderer(atlas, torch.device("cpu"))
    sprites = [sprite for word in SUBJECTS for sprite in atlas.looks(word, "all")[::5]]
    first, second = ([subject_of(seen, atlas.phrases[sprite]) for seen, sprite in zip(
        oracle.look(renderer([alone(sprite, atlas, rng) for sprite in sprites]).pictures), sprites, strict=True)]
        for _ in range(2))
    same = [float(a.look @ b.look) for a, b in zip(first, second, strict=True) if a and b]
    other = [float(a.look @ b.look) for i, a in enumerate(first) for j, b in enumerate(second)
             if i != j and a and b and atlas.phrases[sprites[i]] == atlas.phrases[sprites[j]]]
    assert np.mean(np.array(same) > SAME_LOOK) > 0.9 and np.mean(np.array(other) > SAME_LOOK) < 0.1


def test_rows_compare_with_the_same_stories() -> None:
    def values(spread: float, seconds: float) -> dict[str, list[float]]:
        return {"same_subject": [1.0, 0.0], "spread": [spread], "seconds": [seconds], "same_look": [1.0],
                "drawn": [1.0], "obedience": [1.0]}

    both = {variant: values(0.2, 3.0) for variant in VARIANTS} | {"unpatched": values(0.4, 1.0)}
    main = {variant: values(0.1, 2.0) for variant in MAIN} | {"unpatched": values(0.2, 1.0)}
    rows = {row["variant"]: row for row in rows_of([both, main])}
    assert set(rows) == set(VARIANTS)
    assert rows["ours"]["n"] == 2 and rows["ours-one-pass"]["n"] == 1
    assert rows["ours"]["diversity"] == pytest.approx(0.5) and rows["ours-boxes"]["diversity"] == pytest.approx(0.5)
    assert rows["ours"]["time_ratio"] == pytest.approx(2.5) and rows["ours-boxes"]["time_ratio"] == pytest.approx(3.0)
    assert "spread" not in rows["ours"] and "seconds" not in rows["ours"]
