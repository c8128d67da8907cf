"""Axes, blocks, and where a phrase stands among the keys."""

from __future__ import annotations

import pytest
from attention_director.core.network import LayerAddress
from attention_director.core.sequence import Axis, Block, Segment, blocks, image_axis, text_axis
from attention_director.core.text import PromptTag, columns
from region_cases import layout, phrase


def joint() -> Axis:
    """Text, image, reference, and three tokens of nobody."""
    return Axis((Segment("text", 0, 5), Segment("image", 5, 17, (3, 4)), Segment("reference", 17, 19, (1, 2))), 22)


def test_a_unets_layers_have_one_block() -> None:
    pixels, words = image_axis((3, 4)), text_axis(77)
    assert blocks(pixels, words, "image", "text") == (Block(Segment("image", 0, 12, (3, 4)), Segment("text", 0, 77)),)
    assert blocks(pixels, words, "image", "image") == () == blocks(pixels, words, "text", "image")
    assert blocks(pixels, pixels, "image", "image")[0].keys.grid == (3, 4)


def test_a_joint_layer_has_all_of_them() -> None:
    axis = joint()
    (block,) = blocks(axis, axis, "text", "image")
    assert block.queries.slice == slice(0, 5) and block.keys.slice == slice(5, 17) and block.keys.length == 12
    assert blocks(axis, axis, "image", "reference")[0].keys == Segment("reference", 17, 19, (1, 2))


@pytest.mark.parametrize("kind, reads", [("self", {("image", "image")}), ("cross", {("image", "text")}),
                                         ("joint", {("image", "image"), ("image", "text"), ("text", "image")})])
def test_a_layer_says_what_it_reads(kind: str, reads: set) -> None:
    layer = LayerAddress("input", 1, 0, kind)
    asked = {(q, k) for q in ("image", "text") for k in ("image", "text")} - {("text", "text")}
    assert {pair for pair in asked if layer.reads(*pair)} == reads
    assert layer == LayerAddress("input", 1, 0, kind, 0.5), "how deep it lies is not who it is"


def test_columns_are_the_phrase_in_every_copy() -> None:
    """Rows of 5 and 10 tokens, repeated to 10, three more appended, and the host's copies of all 13."""
    tag = PromptTag((layout("a red cat", 5), layout("a cat", 10)), length=10, appended=3)
    cat = phrase("cat")
    assert columns(tag, 0, cat, Segment("text", 0, 13)) == (3, 8)
    assert columns(tag, 1, cat, Segment("text", 0, 13)) == (2,)
    assert columns(tag, 0, cat, Segment("text", 0, 26)) == (3, 8, 16, 21)
    assert columns(tag, 0, cat, Segment("text", 0, 30)) == (3, 8, 16, 21), "what is left of 30 is nobody's"
    assert columns(tag, 0, cat, Segment("text", 100, 113)) == (103, 108), "text may begin anywhere on the axis"
    assert columns(tag, 1, phrase("red"), Segment("text", 0, 13)) == ()
    assert tag.spread(0, (11,), 26) == (11, 24), "appended tokens stand once in each copy"
