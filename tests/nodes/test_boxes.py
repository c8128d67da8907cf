"""Regions from Boxes: every shape in which the host's nodes give boxes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
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


CORNERS = [64, 128, 320, 192]
SHARES = [0.125, 0.25, 0.625, 0.375]
FLORENCE = {"bboxes": [CORNERS], "labels": ["red hat"]}
QUAD = {"quad_boxes": [[64, 128, 320, 130, 318, 192, 66, 190]], "labels": ["red hat"]}
NAMED = {"box": {"xmin": 64, "ymin": 128, "xmax": 320, "ymax": 192}, "label": "red hat", "score": 0.9}


@pytest.mark.parametrize(("bboxes", "phrase"), [
    (CORNERS, ""), ([CORNERS], ""), ([[CORNERS], [[0, 0, 9, 9]]], ""), (json.dumps([CORNERS]), ""),
    ([SHARES], ""), ([tuple(CORNERS)], ""), (torch.tensor([CORNERS]), ""),
    ({"x": 0.125, "y": 0.25, "width": 0.5, "height": 0.125}, ""),
    (FLORENCE, "red hat"), ([FLORENCE, {"bboxes": [], "labels": []}], "red hat"), (json.dumps(FLORENCE), "red hat"),
    ({"<OD>": FLORENCE}, "red hat"), (QUAD, "red hat"), ({"bboxes": [SHARES], "labels": ["red hat"]}, "red hat"),
    ({"boxes": torch.tensor([CORNERS]), "labels": torch.tensor([3]), "scores": [0.5]}, ""),
    ({"bbox": CORNERS, "label": "red hat", "score": 0.9}, "red hat"), ({"bbox": CORNERS, "score": 0.9}, ""),
    ({"box": CORNERS}, ""), ([NAMED], "red hat"), ([{"box": PIXELS, "class": "red hat"}], "red hat"),
    ([{**PIXELS, "label": "red hat", "score": 0.9}], "red hat"), ([{**PIXELS, "label": 17}], ""),
    ({**ELEMENT, "label": "cat", "score": 0.9}, "red hat"),
    ({"x1": 64, "y1": 128, "x2": 320, "y2": 192}, ""), ({"left": 64, "top": 128, "right": 320, "bottom": 192}, ""),
])
def test_the_forms_that_detectors_give(bboxes: Any, phrase: str) -> None:
    """Corners are x first with a label or score, and y first on 1000 for an element of the editor."""
    (region,), masks = run(bboxes)
    ys, xs = torch.nonzero(masks[0] > 0.5, as_tuple=True)
    assert (int(xs.min()), int(xs.max()) + 1, int(ys.min()), int(ys.max()) + 1) == (64, 320, 128, 192)
    assert region.phrase == phrase


def test_a_box_beyond_the_picture_is_refused_with_both_sizes() -> None:
    """Boxes of a picture of 1024 pixels on one of 128 would lie in a heap in the corner."""
    with pytest.raises(ValueError, match=r"^AttnDirRegionsFromBoxes: box 2 goes from 96, 96 to 416, 416, which is "
                                         r"beyond 128 x 128; set width and height to the picture the boxes were "
                                         r"measured on\.$"):
        run([{"x": 8, "y": 8, "width": 64, "height": 64}, {"x": 96, "y": 96, "width": 320, "height": 320}], width=128,
            height=128)
    with pytest.raises(ValueError, match="box 1 goes from 0.5, 0 to 1.5, 1, which is beyond 1 x 1"):
        run([[0.5, 0, 1.5, 1]])
    with pytest.raises(ValueError, match="box 1 goes from -64, 128 to"):
        run([-64, 128, 320, 192])
    assert len(run([-3, 128, 515, 192])[0]) == 1, "a detector's rounding"


DRAWN = {"class_type": "CreateBoundingBoxes", "inputs": {"width": 1024, "height": 512, "editor_state": {"__value__": [
    {"x": 96, "y": 64, "width": 320, "height": 256, "metadata": {"desc": " red hat "}},
    {"x": 512, "y": 0, "width": 512, "height": 512, "metadata": {"type": "text", "text": "blue dog", "desc": ""}},
    {"x": 0, "y": 0, "width": 16, "height": 16}]}}}


@pytest.mark.parametrize(("changes", "size", "words"), [
    ({}, (1024, 512), ("red hat", "blue dog", "")), ({"width": ["9", 0]}, None, ()),
    ({"bboxes": ["9", 0]}, (1024, 512), ()), ({"editor_state": "odd"}, (1024, 512), ()),
    ({"editor_state": {"__value__": [{"metadata": 3}, 4]}}, (1024, 512), ("",)),
    ({"height": 0}, None, ()), ({"width": "1024"}, None, ())])
def test_the_hosts_editor_is_asked_for_its_size_and_its_words(changes: dict, size: Any, words: tuple) -> None:
    from attention_director.bridge.regions.box_source import source_of_boxes

    prompt = {"3": {"class_type": "AttnDirRegionsFromBoxes", "inputs": {"bboxes": ["2", 1]}},
              "2": DRAWN | {"inputs": DRAWN["inputs"] | changes}}
    source = source_of_boxes(prompt, "3")
    assert (source.size, source.words) == (size, words)


@pytest.mark.parametrize("prompt", [None, {}, {"3": {}}, {"3": {"inputs": {"bboxes": "[]"}}}, {"3": 4}, [],
                                    {"3": {"inputs": {"bboxes": ["2", 1]}}},
                                    {"3": {"inputs": {"bboxes": ["2", 1]}}, "2": {"class_type": "Detector"}}])
def test_other_graphs_tell_nothing_of_their_boxes(prompt: Any) -> None:
    from attention_director.bridge.regions.box_source import UNKNOWN, source_of_boxes

    assert source_of_boxes(prompt, "3") == UNKNOWN


def test_boxes_of_the_hosts_editor_land_where_they_were_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its bboxes and by its elements, whatever width and height the node says; its descriptions become words."""
    from attention_director.nodes.regions_from_boxes import AttnDirRegionsFromBoxes
    from comfy_extras.nodes_bounding_boxes import CreateBoundingBoxes

    inputs = DRAWN["inputs"] | {"editor_state": DRAWN["inputs"]["editor_state"]["__value__"]}
    made = CreateBoundingBoxes.execute(**inputs).args
    prompt = {"3": {"inputs": {"bboxes": ["2", 1]}}, "2": DRAWN}
    hidden = SimpleNamespace(unique_id="3", prompt=prompt)
    monkeypatch.setattr(AttnDirRegionsFromBoxes, "hidden", hidden, raising=False)
    for bboxes in made[1:]:
        regions, masks = run(bboxes, phrases="ignored\n\nsky", width=128, height=128)
        assert [region.phrase for region in regions] == ["red hat", "blue dog", "sky"]
        ys, xs = torch.nonzero(masks[0] > 0.5, as_tuple=True)
        corners = [int(n) for n in (xs.min(), xs.max() + 1, ys.min(), ys.max() + 1)]
        assert corners == pytest.approx([96, 416, 64, 320], abs=1)


FORMATS = json.loads((Path(__file__).parents[1] / "web" / "boxes.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", FORMATS, ids=lambda case: json.dumps(case["boxes"]))
def test_boxes_are_read_as_the_editor_reads_them(case: dict[str, Any]) -> None:
    from attention_director.bridge.regions.boxes import read_boxes

    if case["found"] is None:
        with pytest.raises(ValueError, match="^test: (bboxes|box 1) .*[.]$"):
            read_boxes("test", case["boxes"], 200, 100)
    else:
        read = read_boxes("test", case["boxes"], 200, 100)
        assert [[[round(n, 6) for n in box.corners], box.phrase] for box in read] == case["found"]


def test_one_box_in_pixels_makes_all_of_them_pixels() -> None:
    """A small box beside a large one stays small."""
    _, masks = run([[0, 0, 1, 1], CORNERS])
    assert masks[0].sum() <= 4
    assert run([[0, 0, 1, 1]])[1].all(), "alone it is the whole canvas"


def test_a_label_that_is_not_in_the_prompt_is_refused_with_the_nearest_words() -> None:
    from scene import family, region_prompt

    model, clip, _ = family()
    parts, _ = run({"bboxes": [CORNERS], "labels": ["cat"]})
    with pytest.raises(ValueError, match='region 1 "cat" is not in the prompt; nearest: "hat"'):
        region_prompt(model, clip, "a red hat", parts)


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
    ([[1, 2, 3]], "box 1 cannot be read"), ([{"label": "cat"}], "box 1 cannot be read"),
    ({"bboxes": [[1, 2, 3]], "labels": ["a"]}, "box 1 cannot be read"),
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
