"""Prompts of two and of three chunks in one batch, through the nodes that act on their words."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from edit_scene import attention_edit, run
from scene import assert_differs, assert_same, encode, family, host_encode, left, region_prompt, regions, right
from stories import shared

FILL = "on the wet green grass, " * 16
SHORT, LONG = f"a red cat {FILL}", f"a blue dog {FILL}{FILL}"


def chunks(conditioning: list) -> int:
    return conditioning[0][0].shape[1] // 77


def drawn(model: Any, positive: list, negative: list, image: int) -> torch.Tensor:
    """The picture of a lone prompt with the noise of an image of a batch."""
    latent = {"samples": torch.zeros(1, 4, 16, 16), "batch_index": [image]}
    return tiny.sample(model, positive, negative, latent=latent)


def test_the_longest_is_what_it_is_alone_and_the_other_has_empty_text_behind_it() -> None:
    from nodes import ConditioningConcat

    model, clip, negative = family()
    lines = encode(clip, f"{SHORT}\n{LONG}", lines=True)
    assert [chunks(host_encode(clip, text)) for text in (SHORT, LONG)] == [2, 3] and chunks(lines) == 3
    both = tiny.sample(model, lines, negative, batch=2)
    assert_same(both[1:], drawn(model, host_encode(clip, LONG), negative, 1))
    filled = ConditioningConcat().concat(host_encode(clip, SHORT), host_encode(clip, ""))[0]
    assert_same(both[:1], drawn(model, filled, negative, 0))


@pytest.mark.parametrize("edit", ["auto", "refine"])
@pytest.mark.parametrize(("source", "target"), [(SHORT, LONG), (LONG, SHORT)])
def test_an_edit_leaves_its_source_and_changes_its_target(edit: str, source: str, target: str) -> None:
    model, clip, negative = family()
    graph = attention_edit(model, clip, source, target, edit=edit)
    found = run(graph)
    plain = tiny.sample(model, encode(clip, f"{source}\n{target}", lines=True), graph.negative, latent=graph.latent)
    assert_differs(found[1:], plain[1:], least=0.1)
    assert_same(found[:1], plain[:1])


@pytest.mark.parametrize("preset", ["strong", "paper"])
def test_regions_act_on_both(preset: str) -> None:
    model, clip, negative = family()
    lines = encode(clip, f"{SHORT}\n{LONG} and a red cat", lines=True)
    parts = regions(("red cat", left()), ("green grass", right()))
    graph = region_prompt(model, clip, lines, parts, preset=preset)
    found, plain = (tiny.sample(m, p, negative, batch=2) for m, p in ((graph.model, graph.positive), (model, lines)))
    for image in range(2):
        assert_differs(found[image], plain[image], least=0.1)


def test_a_story_shares_between_them() -> None:
    model, clip, negative = family()
    told = shared(model, clip, f"{SHORT}\n{LONG} and a red cat", injection=0.0, query_blend=0.0, variety=0.0)
    found = tiny.sample(told.model, told.positive, negative, latent=told.latent)
    assert_differs(found, tiny.sample(model, told.positive, negative, latent=told.latent), least=0.02)
