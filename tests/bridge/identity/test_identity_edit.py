"""IdentityInject and AttentionEdit on one prompt, either node first."""

from __future__ import annotations

from typing import Any

import identity_files as files
import pytest
import tiny
import torch
from edit_scene import ADD, SOURCE, Graph, attention_edit, run
from scene import assert_differs, assert_same, encode, family

HERO = files.subjects(("cat", files.picture(1)))


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return files.adapter(tmp_path_factory.mktemp("adapter") / "a.safetensors")


def chained(order: str, given: Any, **changes: Any) -> Graph:
    """A subject and an edit on one prompt."""
    model, clip, _ = family()
    if order == "identity first":
        lines = encode(clip, f"{SOURCE}\n{ADD}", lines=True)
        out, positive = files.identity(model, clip, given, lines, HERO)
        return attention_edit(out, clip, positive, "", **changes)
    edited = attention_edit(model, clip, SOURCE, ADD, **changes)
    out, positive = files.identity(edited.model, clip, given, edited.positive, HERO)
    return edited._replace(model=out, positive=positive)


@pytest.mark.parametrize("changes", [{}, {"blend_words": "grass"}, {"reweight": "grass: 2"}],
                         ids=["words", "blend", "weights"])
def test_a_subject_in_an_edit_in_either_order(given: Any, changes: dict) -> None:
    model, clip, negative = family()
    runs = {order: run(chained(order, given, **changes), steps=6) for order in ("identity first", "edit first")}
    assert_same(runs["identity first"], runs["edit first"])
    source, target = runs["edit first"]
    out, positive = files.identity(model, clip, given, SOURCE, HERO)
    assert_same(source[None], tiny.sample(out, positive, negative, steps=6))
    assert_differs(target, source)
    assert_differs(runs["edit first"], run(attention_edit(model, clip, SOURCE, ADD, **changes), steps=6))


def test_a_subject_that_only_the_target_names(given: Any) -> None:
    """The source stays the ordinary run of its seed, but for the adapter's weights in the UNet."""
    model, clip, negative = family()
    edited = attention_edit(model, clip, SOURCE, ADD + " and a dog")
    hero = files.subjects(("dog", files.picture(2)))
    out, positive = files.identity(edited.model, clip, given, edited.positive, hero, strength_model=0.0)
    rows = run(edited._replace(model=out, positive=positive), steps=6)
    plain = run(edited, steps=6)
    assert torch.equal(rows[0], plain[0])
    assert_differs(rows[1], plain[1], 0.01)
    assert_same(rows[:1], tiny.sample(model, encode(clip, SOURCE), negative, steps=6))
