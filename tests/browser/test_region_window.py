"""A region's lock and eye, the points of its outline, and the large window, in both renderers."""

from __future__ import annotations

import json

import pytest
from editor import PAD, TWO, Editor
from test_recording import BOXES, scene

SCORED = """() => [...document.querySelectorAll(".ad-region")]
    .every(({ title }) => title.includes("% of its attention"))"""
OPEN = "document.querySelectorAll('.ad-large').length"


@pytest.fixture
def drawn(renderer: Editor) -> Editor:
    """Two boxes and, in front of them, the outline of a triangle, which is selected."""
    renderer.demo(TWO)
    renderer.find("button[title^='Lasso']").click()
    x, y, width, height = (renderer.pad.bounding_box()[side] for side in ("x", "y", "width", "height"))
    triangle = ((0.6, 0.1), (0.9, 0.1), (0.75, 0.4), (0.6, 0.1))
    corners = [(x + width * across, y + height * down) for across, down in triangle]
    renderer.page.mouse.move(*corners[0])
    renderer.page.mouse.down()
    for corner in corners[1:]:
        renderer.page.mouse.move(*corner, steps=5)
    renderer.page.mouse.up()
    renderer.frame()
    return renderer


def points(renderer: Editor) -> list[list[float]]:
    return renderer.regions()[0]["polygons"][0]


def test_a_point_of_a_lasso_is_moved_and_taken_away(drawn: Editor) -> None:
    before = points(drawn)
    at = next(i for i, (x, _) in enumerate(before) if x == max(x for x, _ in before))
    drawn.drag(*before[at], 0.99, 0.2)
    after = points(drawn)
    assert after[at][0] > 0.95 and [p for i, p in enumerate(after) if i != at] == [
        p for i, p in enumerate(before) if i != at]
    drawn.page.keyboard.down("Alt")
    drawn.drag(*after[at], *after[at])
    drawn.page.keyboard.up("Alt")
    assert len(points(drawn)) == 3, "a triangle keeps its corners"


def test_a_locked_region_stays_where_it_is(drawn: Editor) -> None:
    drawn.page.keyboard.press("k")
    before = drawn.regions()
    assert before[0]["locked"] is True
    drawn.page.keyboard.press("Delete")
    drawn.page.keyboard.press("ArrowLeft")
    assert drawn.regions() == before
    assert drawn.find(".ad-notice").inner_text() == "This region is locked (K)."
    drawn.page.keyboard.press("h")
    assert drawn.regions()[0] == {**before[0], "hidden": True}
    assert drawn.find(".ad-region.ad-unseen").count() == 1


def test_regions_show_how_much_of_the_attention_was_there_until_they_change(renderer: Editor) -> None:
    regions = [{"phrase": phrase, "boxes": [box]} for phrase, box in BOXES.items()]
    renderer.load(scene(json.dumps({"version": 1, "regions": regions})))
    assert renderer.queue() == "execution_success"
    renderer.page.wait_for_function(SCORED)
    renderer.find(".ad-region").first.click()
    renderer.page.locator(PAD).focus()
    renderer.page.keyboard.press("ArrowLeft")
    renderer.frame()
    assert not renderer.page.evaluate(SCORED), "of another drawing"


def test_the_large_window_holds_the_editor_and_gives_it_back(drawn: Editor) -> None:
    drawn.find("button[title='Large window']").click()
    assert drawn.page.evaluate(OPEN) == 1 and drawn.pad.bounding_box()["height"] > 700
    drawn.find("button[title^='Box']").click()
    drawn.drag(0.05, 0.55, 0.3, 0.9)
    drawn.page.locator(".ad-large .ad-prompt").fill("a red circle and a blue square and a star")
    assert drawn.widget("text").endswith("a star") and len(drawn.regions()) == 4
    drawn.page.locator(PAD).focus()
    drawn.travel("Control+z", PAD)
    drawn.page.wait_for_function(f"{OPEN} === 1")
    assert len(drawn.regions()) == 3 and drawn.pad.bounding_box()["height"] > 700, "undo builds the node anew"
    for _ in range(2):  # first nothing is selected any more, then it closes
        drawn.page.keyboard.press("Escape")
    drawn.rest("RegionPrompt")
    assert drawn.page.evaluate(OPEN) == 0 and drawn.pad.bounding_box()["height"] < 700
    drawn.page.locator(PAD).focus()
    drawn.travel("Control+y", PAD)
    assert drawn.page.evaluate(OPEN) == 0
