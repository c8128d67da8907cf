"""Every parser of a text or a value on a wire, given anything: it is read, or refused in a sentence."""

from __future__ import annotations

import json
import re
from typing import Any

import tiny
import torch
from hostile import both_ways, refused, said
from hypothesis import given
from hypothesis import strategies as st

ODD_NUMBERS = (0, -1, 1, 0.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"), 10**400, 10**5000, True)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(-1, 2), st.text(max_size=6),
                    st.sampled_from((*ODD_NUMBERS[:-2], "NaN", "1e999", "\ud83d", "\0", "x" * 5000)))
ANYTHING = st.recursive(SCALARS, lambda inner: st.one_of(
    st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(("x", "bbox", "0")), inner, max_size=3)),
    max_leaves=12)
POINT = st.lists(st.one_of(st.floats(-1, 2), SCALARS), min_size=1, max_size=3)
PAIRS = st.lists(st.lists(st.floats(-0.5, 1.5), min_size=2, max_size=2), max_size=30)
POINTS = st.one_of(PAIRS, PAIRS, st.lists(POINT, max_size=3))
STROKE = st.fixed_dictionaries({}, optional={
    "points": st.one_of(POINTS, ANYTHING), "width": st.one_of(st.floats(0, 1e-3), st.floats(0, 2), SCALARS),
    "erase": SCALARS, "fill": SCALARS})


def text_of(value: Any) -> str:
    """As JSON with what JSON does not have; numbers of thousands of digits cannot be written by Python."""
    return json.dumps(value)


def drawing(of: st.SearchStrategy[Any], name: str) -> st.SearchStrategy[str]:
    whole = st.fixed_dictionaries({name: st.one_of(st.lists(of, max_size=4), ANYTHING)}, optional={"version": st.one_of(
        st.just(1), SCALARS)})
    return st.one_of(whole.map(text_of), ANYTHING.map(text_of), st.text(max_size=40),
                     st.sampled_from(("[" * 60_000, '{"a":' * 60_000, "9" * 5000, "{}", "\ud83d")))


@both_ways
@given(drawing(STROKE, "strokes"), st.integers(1, 80), st.integers(1, 80), st.integers(1, 64))
def test_strokes(text: str, width: int, height: int, pen: int) -> None:
    from attention_director.bridge.sketch.strokes import draw_strokes

    mask = said(lambda: draw_strokes("node", text, width, height, pen))
    assert isinstance(mask, str) or (mask.shape == (1, height, width) and mask.min() >= 0 and mask.max() <= 1)


BOXES = st.lists(st.one_of(st.lists(st.floats(-0.5, 1.5), min_size=4, max_size=4), POINT), max_size=3)
REGION = st.fixed_dictionaries({}, optional={
    "phrase": SCALARS, "strength": st.one_of(st.floats(0, 2), SCALARS), "boxes": st.one_of(BOXES, ANYTHING),
    "polygons": st.one_of(st.lists(POINTS, max_size=2), ANYTHING), "strokes": st.lists(STROKE, max_size=2)})


@both_ways
@given(drawing(REGION, "regions"), st.integers(1, 80), st.integers(1, 80))
def test_canvas(text: str, width: int, height: int) -> None:
    from attention_director.bridge.regions.canvas import parse_canvas
    from attention_director.bridge.regions.wired import wired_shapes

    found = said(lambda: parse_canvas("node", text, width, height))
    for region in () if isinstance(found, str) else found:
        assert region.mask.shape == (1, height, width) and region.mask.isfinite().all() and 0 <= region.strength <= 100
    assert isinstance(found, str) or isinstance(wired_shapes(found), str)


NAMES = ("x", "y", "width", "height", "bbox", "box", "xmin", "ymin", "xmax", "ymax", "label", "desc", "metadata",
         "score", "bboxes", "labels", "<OD>", "text")
FOUR = st.lists(st.floats(0, 900), min_size=4, max_size=4)
BOX = st.one_of(
    st.dictionaries(st.sampled_from(NAMES), st.one_of(SCALARS, FOUR, st.dictionaries(st.sampled_from(NAMES), SCALARS)),
                    max_size=6),
    st.lists(st.one_of(st.floats(-10, 900), SCALARS), max_size=9), FOUR)
ODD_BOXES = ("[" * 5000, "9" * 5000, [[0.0] * 4] * 200, torch.rand(3, 4), torch.rand(0), torch.tensor(1))


@both_ways
@given(st.one_of(st.lists(BOX, max_size=4), BOX, ANYTHING, st.lists(BOX, max_size=4).map(text_of), st.text(max_size=30),
                 st.sampled_from(ODD_BOXES)))
def test_boxes(boxes: Any) -> None:
    from attention_director.bridge.regions.boxes import read_boxes
    from attention_director.bridge.regions.canvas import box_mask

    found = said(lambda: read_boxes("node", boxes, 640, 480))
    for box in () if isinstance(found, str) else found:
        assert box_mask(list(box.corners), 64, 48).isfinite().all() and isinstance(box.phrase, str)


def nested(depth: int) -> list[Any]:
    out: list[Any] = []
    for _ in range(depth):
        out = [out]
    return out


def test_boxes_of_the_list_of_what_went_wrong_once() -> None:
    from attention_director.bridge.regions.boxes import read_boxes

    for boxes in ("[" * 5000, nested(5000), [{"x": 10**400, "y": 0, "width": 1, "height": 1}], [[0, 0, 1, 10**400]],
                  [{"bbox": [0, 0, 10**400, 1]}], [[0.0, 0.0, 1.0, 1.0]] * 129):
        refused(lambda boxes=boxes: read_boxes("node", boxes, 640, 480))
    whole = {"x": 1, "y": 1, "width": 20, "height": 20}
    assert read_boxes("node", [whole | {"metadata": "a"}], 640, 480)[0].phrase == ""


OLD_NAME = re.compile(r"(?:^|(?<=\s))embedding:\s*[^\s<\[]+?(?=,*(?:[\s<\[]|$))")


PARTS = ("embedding:", ",", ",,", " ", "a", "b2", "<", "[", "(", ")", ":1.2", "\n", "é")


@given(st.lists(st.sampled_from(PARTS), max_size=14))
def test_names_of_embeddings_are_found_as_by_the_slow_pattern(parts: list[str]) -> None:
    from attention_director.bridge.text import as_read

    text = "".join(parts)
    spans = [[m.span() for m in pattern.finditer(text)] for pattern in (OLD_NAME, as_read._NAME)]
    assert spans[0] == spans[1]


PROMPTS = st.one_of(st.text(max_size=40), st.lists(st.sampled_from((
    "a red hat", "(", ")", "\\(", ":1.2)", "\ud83d", "\U0001f600", "embedding:x", ",", "\n", "#2", "\0", "é", "İ",
    " ")), max_size=12).map("".join))


@both_ways
@given(PROMPTS, PROMPTS)
def test_prompts_and_phrases(prompt: str, phrase: str) -> None:
    from attention_director.bridge.text.prompt import tokenise_phrase, tokenised
    from attention_director.bridge.text.words import phrase_without_clip

    clip = tiny.clip()
    found = said(lambda: tokenised(clip, prompt, "node"))
    wanted = said(lambda: tokenise_phrase(clip, phrase, "node"))
    if not isinstance(found, str):
        layout = found[1].layout
        assert all(token is None or 0 <= token[0] <= token[1] <= len(prompt) for token in layout.tokens)
        layout.words(), layout.nearest(phrase_without_clip(phrase).layout)
        if not isinstance(wanted, str):
            layout.occurrences(wanted.layout)


LINES = st.lists(st.sampled_from((
    "hat", "red hat: 1.8", "hat: 0-0.4", "hat: 9" + "9" * 400, "hat: .5-.2", ": 1", "hat:", "x" * 300, "hat: -2",
    "hat = 2", "\ud83d: 2", "hat: 0-0.4-0.5", "hat#2: 1", "", " : ")), max_size=3).map("\n".join)


@both_ways
@given(LINES)
def test_lines_of_edits(text: str) -> None:
    from attention_director.bridge.edit.lists import read_weights, read_windows, read_words
    from attention_director.bridge.text.prompt import tokenised

    clip = tiny.clip()
    target = tokenised(clip, "a red hat", "node")[1].layout
    weights = said(lambda: read_weights("node", clip, text, [target]))
    assert isinstance(weights, str) or all(abs(number) < float("inf") for _, number in weights)
    windows = said(lambda: read_windows("node", clip, text, [target]))
    assert isinstance(windows, str) or all(0 <= window.start <= window.end <= 1 for _, window in windows)
    said(lambda: read_words("node", clip, text))


@both_ways
@given(st.lists(st.sampled_from(("a red cat", "a cat in the rain", "", "x" * 200, "\ud83d", "cat" * 60)), max_size=3),
       st.sampled_from(("cat", "red cat#2", "", "\ud83d", "dog", "(cat", ",")))
def test_scenes_and_subjects(scenes: list[str], subjects: str) -> None:
    from attention_director.bridge.subject.build import scenes_of, subjects_of

    clip = tiny.clip()
    found = said(lambda: scenes_of("node", clip, "\n".join(scenes), "", ""))
    if not isinstance(found, str):
        said(lambda: subjects_of("node", clip, subjects, found[1]))


NODES = st.one_of(ANYTHING, st.lists(st.dictionaries(st.sampled_from(("id", "widgets_values")), ANYTHING), max_size=3))


@given(st.one_of(ANYTHING, ANYTHING.map(lambda v: {"workflow": v}), NODES.map(lambda v: {"workflow": {"nodes": v}})))
def test_a_workflow_beside_the_prompt_is_only_a_hint(extra: Any) -> None:
    from attention_director.nodes.region_prompt import typed_text

    assert isinstance(typed_text(extra, "5"), str)
