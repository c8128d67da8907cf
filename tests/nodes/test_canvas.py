"""Drawings as JSON: what they become, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from scene import custom, family, left, region_prompt, regions

START = "RegionPrompt: the drawing "


def parse(drawing: Any, width: int = 100, height: int = 100) -> tuple:
    from attention_director.bridge.regions.canvas import parse_canvas

    return parse_canvas("RegionPrompt", drawing if isinstance(drawing, str) else json.dumps(drawing), width, height)


def mask(width: int = 100, height: int = 100, **region: Any) -> torch.Tensor:
    (made,) = parse({"version": 1, "regions": [{"phrase": "x", **region}]}, width, height)
    assert made.mask.shape == (1, height, width) and set(made.mask.unique().tolist()) <= {0.0, 1.0}
    return made.mask[0] > 0.5


def filled(x0: int, y0: int, x1: int, y1: int, width: int = 100, height: int = 100) -> torch.Tensor:
    out = torch.zeros(height, width, dtype=torch.bool)
    out[y0:y1, x0:x1] = True
    return out


def test_boxes() -> None:
    assert torch.equal(mask(boxes=[[0.1, 0.2, 0.5, 0.9]]), filled(10, 20, 50, 90))
    assert torch.equal(mask(boxes=[[0.5, 0.9, 0.1, 0.2]]), filled(10, 20, 50, 90)), "drawn from any corner"
    assert torch.equal(mask(boxes=[[-1, 0.5, 2, 3]]), filled(0, 50, 100, 100)), "cut at the canvas"
    assert torch.equal(mask(boxes=[[0, 0, 0.2, 1], [0.8, 0, 1, 1]]), filled(0, 0, 20, 100) | filled(80, 0, 100, 100))
    assert torch.equal(mask(200, 100, boxes=[[0.5, 0, 1, 0.5]]), filled(100, 0, 200, 50, 200, 100))
    assert mask(boxes=[[0.5, 0.5, 0.5, 0.5]]).sum() == 1, "a click is a dot, not nothing"
    halves = mask(boxes=[[0, 0, 0.5, 1]]), mask(boxes=[[0.5, 0, 1, 1]])
    assert not (halves[0] & halves[1]).any() and (halves[0] | halves[1]).all()


def test_polygons() -> None:
    triangle = mask(polygons=[[[0, 0], [1, 0], [0, 1]]])
    assert triangle[10, 10] and not triangle[90, 90] and abs(int(triangle.sum()) - 5000) < 200
    assert not mask(polygons=[[[0, 0], [1, 1]]]).any(), "two points enclose nothing"


def test_strokes_and_their_eraser() -> None:
    line = mask(strokes=[{"width": 0.1, "points": [[0.2, 0.5], [0.8, 0.5]]}])
    assert line[50, 20:80].all() and line[47, 50] and not line[60, 50] and not line[50, 90]
    assert line[50, 16] and not line[42, 13], "round ends"
    dot = mask(strokes=[{"width": 0.2, "points": [[0.5, 0.5]]}])
    assert dot[50, 50] and abs(int(dot.sum()) - 314) < 60
    assert mask(strokes=[{"width": 1e300, "points": [[0.5, 0.5]]}]).all(), "however wide, it is drawn at once"
    erase = {"width": 0.2, "points": [[0.5, 0.5], [0.5, 0.5]], "erase": True}
    assert not mask(boxes=[[0, 0, 1, 1]], strokes=[erase])[50, 50]
    again = mask(boxes=[[0, 0, 1, 1]], strokes=[erase, {"width": 0.1, "points": [[0.5, 0.5]]}])
    assert again[50, 50] and not again[50, 58] and again[50, 75], "in the order they were drawn"


def test_filled_outlines_among_the_strokes() -> None:
    cut = {"fill": True, "erase": True, "points": [[0.2, 0.2], [0.6, 0.2], [0.6, 0.6], [0.2, 0.6]]}
    hole = mask(boxes=[[0, 0, 1, 1]], strokes=[cut])
    assert not hole[40, 40] and hole[40, 80] and hole[10, 40] and abs(int((~hole).sum()) - 1600) < 120
    again = mask(boxes=[[0, 0, 1, 1]], strokes=[cut, {**cut, "erase": False, "points": cut["points"][:3]}])
    assert again[25, 55] and not again[55, 25], "in the order they were drawn"
    assert torch.equal(mask(strokes=[{**cut, "erase": False}]), mask(polygons=[cut["points"]]))
    assert not mask(strokes=[{"fill": True, "points": [[0, 0], [1, 1]]}]).any(), "two points enclose nothing"


def test_a_large_canvas_is_drawn_small_in_the_same_shape() -> None:
    (made,) = parse({"regions": [{"phrase": "x", "boxes": [[0, 0, 0.5, 1]]}]}, 4096, 2048)
    assert made.mask.shape == (1, 512, 1024) and made.mask[0, :, :512].all() and not made.mask[0, :, 512:].any()
    (thin,) = parse({"regions": [{"phrase": "x", "boxes": [[0, 0, 1, 1]]}]}, 16384, 64)
    assert thin.mask.all()


def test_regions_keep_their_order_words_and_strengths() -> None:
    drawn = parse({"version": 1, "regions": [{"phrase": " red hat ", "strength": 0.5}, {}, {"phrase": "dog"}]})
    assert [(r.phrase, r.strength) for r in drawn] == [("red hat", 0.5), ("", 1.0), ("dog", 1.0)]
    assert parse("") == parse("   ") == () and parse({"version": 1, "regions": []}) == ()


@pytest.mark.parametrize("text", [
    "{", "nonsense", "[]", "3", "null", "{}", '"x"', '{"regions": 3}', '{"regions": null}', '{"regions": [3]}',
    '{"regions": {"a": 1}}', '{"regions": [{"boxes": [[0, 0, 1]]}]}', '{"regions": [{"boxes": [["a", 0, 1, 1]]}]}',
    '{"regions": [{"boxes": [[NaN, 0, 1, 1]]}]}', '{"regions": [{"boxes": [[1e999, 0, 1, 1]]}]}',
    '{"regions": [{"boxes": [[1' + "0" * 400 + ', 0, 1, 1]]}]}',
    '{"regions": [{"strokes": [{"points": []}]}]}', '{"regions": [{"strokes": [{}]}]}',
    '{"regions": [{"strokes": [{"fill": true}]}]}',
    '{"regions": [{"strokes": [{"width": NaN, "points": [[0, 0], [1, 1]]}]}]}',
    '{"regions": [{"polygons": [[[0, 0], [1, Infinity], [1, 1]]]}]}', '{"regions": [{"strength": "strong"}]}',
    "[" * 100_000,
])
def test_text_that_is_no_drawing_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert str(caught.value).startswith(START + "cannot be read (") and "clear it and draw again." in str(caught.value)


def test_limits() -> None:
    with pytest.raises(ValueError) as caught:
        parse({"version": 2, "regions": []})
    assert str(caught.value) == START + "has version 2; update Attention Director."
    with pytest.raises(ValueError) as caught:
        parse(" " + "x" * 1_000_000)
    assert str(caught.value) == START + "has 1000001 characters; clear it and draw again."
    with pytest.raises(ValueError) as caught:
        parse({"regions": [{}] * 65})
    assert str(caught.value) == START + "has 65 regions; use 64 or fewer."
    assert len(parse({"regions": [{}] * 64})) == 64
    for strength in ("NaN", "-1", "Infinity"):
        with pytest.raises(ValueError, match='RegionPrompt: region "a" has strength'):
            parse(f'{{"regions": [{{"phrase": "a", "strength": {strength}}}]}}')


def test_drawn_regions_lie_before_the_wired_ones() -> None:
    model, clip, _ = family()
    canvas = json.dumps({"regions": [{"phrase": "dog", "boxes": [[0.5, 0, 1, 1]]}]})
    graph = region_prompt(model, clip, "a red hat and a dog", regions(("red hat", left())), canvas=canvas,
                          preset=custom())
    assert graph.masks.shape == (2, 512, 512)
    assert torch.equal(graph.masks[0] > 0.5, filled(256, 0, 512, 512, 512, 512))
    assert graph.masks[1, :, :200].all() and not graph.masks[1, :, 210:].any()
    assert graph.preview.shape == (1, 512, 512, 3)
    assert graph.preview.min() >= 0 and graph.preview.max() <= 1
    assert (graph.preview[0, 5, 400] - graph.preview[0, 5, 5]).abs().max() > 0.1, "each region has its tint"


@pytest.mark.parametrize(("given", "numbers"), [([None, None, None], [3, 2, 1]), ([7, 2], [7, 2]), ([2, 2], [2, 1]),
                                                ([1, 0], [2, 1]), ([1, "2"], [2, 1]), ([1, True], [2, 1]),
                                                ([1, 1.5], [2, 1]), ([1, 1000], [2, 1]), ([1, [3]], [2, 1])])
def test_numbers_are_those_of_the_editor(given: list[Any], numbers: list[int]) -> None:
    drawing = [{"phrase": "x", "boxes": [[0, 0, 1, 1]], **({} if n is None else {"number": n})} for n in given]
    assert [region.number for region in parse({"regions": drawing})] == numbers


def test_a_region_is_called_and_coloured_by_its_number() -> None:
    from attention_director.bridge.run.run import CHAIN_KEY

    model, clip, _ = family()

    def drawn(*numbers: int) -> str:
        return json.dumps({"regions": [{"number": n, "phrase": phrase, "boxes": [box]} for n, phrase, box in
                                       zip(numbers, ("red hat", "blue dog"), ([0, 0, 0.5, 1], [0.5, 0, 1, 1]),
                                           strict=True)]})

    def corners(canvas: str) -> list[list[float]]:
        preview = region_prompt(model, clip, canvas=canvas, parts=()).preview[0]
        return [preview[2, 2].tolist(), preview[2, -3].tolist()]

    one, other = corners(drawn(1, 2)), corners(drawn(2, 1))
    assert one != other and one == other[::-1]
    with pytest.raises(ValueError, match='^RegionPrompt: region 5 "red hat" is not in the prompt'):
        region_prompt(model, clip, "xylophones", canvas=drawn(5, 3), parts=())
    method = region_prompt(model, clip, canvas=drawn(5, 3), parts=regions(("cat", left()))).model
    (method,) = method.model_options["transformer_options"][CHAIN_KEY].methods
    assert method.warn() == "region 6 has no words in this prompt and was left out", "wired ones follow the drawn"


@pytest.mark.parametrize(("off", "strength"), [(True, 0.0), (False, 1.5), (None, 1.5), ("yes", 1.5), (1, 1.5)])
def test_a_region_that_is_off_has_strength_0(off: Any, strength: float) -> None:
    (made,) = parse({"regions": [{"phrase": "x", "strength": 1.5, "off": off, "boxes": [[0, 0, 1, 1]]}]})
    assert made.strength == strength
