"""Regions from Boxes: every shape in which the host's nodes give boxes."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch

PIXELS = {"x": 64, "y": 128, "width": 256, "height": 64}
ELEMENT = {"bbox": [250, 125, 375, 625], "desc": "red hat"}  # y0, x0, y1, x1 on 1000 by 1000


def run(bboxes: Any, phrases: str = "", width: int = 512, height: int = 512, strength: float = 1.0,
        **extra: Any) -> Any:
    from attention_director.nodes.regions_from_boxes import AttnDirRegionsFromBoxes

    return AttnDirRegionsFromBoxes.execute(bboxes, phrases, width, height, strength, **extra).args


@pytest.mark.parametrize("bboxes", [
    PIXELS, [PIXELS], [[PIXELS]], [[PIXELS], [{**PIXELS, "x": 0}]], json.dumps(PIXELS), json.dumps([[PIXELS]]),
    [{**PIXELS, "label": "cat", "score": 0.9}], ELEMENT, [ELEMENT], json.dumps([ELEMENT]),
])
def test_every_shape_of_the_same_box(bboxes: Any) -> None:
    regions, masks = run(bboxes)
    assert len(regions) == 1 and masks.shape == (1, 512, 512)
    ys, xs = torch.nonzero(masks[0] > 0.5, as_tuple=True)
    assert (int(xs.min()), int(xs.max()) + 1, int(ys.min()), int(ys.max()) + 1) == (64, 320, 128, 192)
    assert torch.equal(regions[0].mask, masks)


def test_what_the_hosts_own_editor_gives() -> None:
    """Its outputs, made by its own functions, land where its own reader puts them."""
    from comfy_extras.nodes_bounding_boxes import boxes_from_input, elements_to_boxes

    (box,) = elements_to_boxes([ELEMENT], 512, 512)
    assert (box["x"], box["y"], box["width"], box["height"]) == (64, 128, 256, 64)
    assert torch.equal(run([box])[1], run([ELEMENT])[1])
    assert run(boxes_from_input([ELEMENT], 512, 512))[0][0].phrase in ("red hat", "")


def test_phrases_of_boxes_without_a_description() -> None:
    described = {**PIXELS, "metadata": {"desc": "blue dog"}}
    regions, _ = run([PIXELS, ELEMENT, described, PIXELS, PIXELS], "cat\nignored\n\n  tree  ")
    assert [r.phrase for r in regions] == ["cat", "red hat", "blue dog", "tree", ""]
    assert [r.strength for r in run([PIXELS, PIXELS], strength=0.5)[0]] == [0.5, 0.5]


def test_earlier_regions_lie_behind() -> None:
    first, _ = run([PIXELS], "cat")
    both, masks = run([ELEMENT], regions=first)
    assert [r.phrase for r in both] == ["red hat", "cat"] and masks.shape[0] == 1 and len(first) == 1


@pytest.mark.parametrize("nothing", [[], "", "  ", "[]", [[]]])
def test_no_boxes_are_no_regions(nothing: Any) -> None:
    regions, masks = run(nothing)
    assert regions == () and not masks.any()


def test_elements_do_not_depend_on_the_size_and_pixels_do() -> None:
    _, masks = run([ELEMENT], width=1024, height=256)
    ys, xs = torch.nonzero(masks[0] > 0.5, as_tuple=True)
    assert (int(xs.min()), int(xs.max()) + 1, int(ys.min()), int(ys.max()) + 1) == (128, 640, 64, 96)
    _, pixels = run([PIXELS], width=1024, height=256)
    ys, xs = torch.nonzero(pixels[0] > 0.5, as_tuple=True)
    assert (int(xs.min()), int(xs.max()) + 1, int(ys.min()), int(ys.max()) + 1) == (64, 320, 128, 192)


@pytest.mark.parametrize(("bboxes", "message"), [
    ("{not json", "bboxes is text but not JSON"), (3, "bboxes is int, not boxes"), (None, "bboxes is NoneType"),
    ([3], "not boxes; wire Create Bounding Boxes"), ([{"x": 1}], "box 1 cannot be read"),
    ([PIXELS, {"bbox": [1, 2, 3]}], "box 2 cannot be read"), ([{**PIXELS, "x": "left"}], "box 1 cannot be read"),
    ([{**PIXELS, "y": math.nan}], "box 1 contains a value that is not a number"),
    ([{"bbox": [0, 0, math.inf, 5]}], "box 1 contains a value that is not a number"), ('"text"', "bboxes is str"),
])
def test_what_is_no_box_is_refused_in_words(bboxes: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        run(bboxes)
    assert str(caught.value).startswith("AttnDirRegionsFromBoxes: ") and str(caught.value).endswith(".")


def test_a_strength_that_is_none() -> None:
    with pytest.raises(ValueError, match="AttnDirRegionsFromBoxes: .* has strength nan"):
        run([PIXELS], "cat", strength=math.nan)
