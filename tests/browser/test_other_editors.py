"""The sketch pad and the prompt pair, under the mouse, in both renderers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from editor import DRAWN, Editor

SOURCE, TARGET = "a photo of a cat on a chair", "a photo of a dog on a snowy chair"


def add(renderer: Editor, kind: str) -> None:
    """A graph of this one node."""
    renderer.page.evaluate("""(kind) => { app.graph.clear(); const node = LiteGraph.createNode(kind);
        node.pos = [250, 120]; app.graph.add(node); const view = app.canvas.ds; view.scale = 1; view.offset = [0, 0];
        app.canvas.setDirty(true, true); }""", kind)
    renderer.page.wait_for_function(DRAWN, arg=renderer.vue)
    renderer.rest(kind)
    renderer.capture()


def widget(renderer: Editor, name: str) -> Any:
    return renderer.page.evaluate("(name) => app.graph.nodes[0].widgets.find((w) => w.name === name).value", name)


def stroke(renderer: Editor, x0: float, y0: float, x1: float, y1: float) -> None:
    box = renderer.page.locator("[data-attention-director=sketch] canvas").first.bounding_box()
    renderer.page.mouse.move(box["x"] + box["width"] * x0, box["y"] + box["height"] * y0)
    renderer.page.mouse.down()
    renderer.page.mouse.move(box["x"] + box["width"] * x1, box["y"] + box["height"] * y1, steps=5)
    renderer.page.mouse.up()
    renderer.frame()


def test_strokes_are_drawn_erased_and_undone(renderer: Editor) -> None:
    add(renderer, "AttnDirSketch")
    stroke(renderer, 0.2, 0.3, 0.8, 0.3)
    renderer.page.keyboard.press("e")
    stroke(renderer, 0.5, 0.1, 0.5, 0.6)
    drawn = json.loads(widget(renderer, "strokes"))
    assert [s["erase"] for s in drawn["strokes"]] == [False, True] and drawn["version"] == 1
    assert drawn["strokes"][0]["points"] == [pytest.approx([0.2, 0.3], abs=0.01), pytest.approx([0.8, 0.3], abs=0.01)]
    assert drawn["strokes"][1]["width"] == pytest.approx(4 * drawn["strokes"][0]["width"], rel=0.02)
    renderer.travel("Control+z", "[data-attention-director=sketch]")
    assert len(json.loads(widget(renderer, "strokes"))["strokes"]) == 1
    renderer.page.keyboard.press("Delete")
    stroke(renderer, 0.2, 0.8, 0.8, 0.8)
    assert len(json.loads(widget(renderer, "strokes"))["strokes"]) == 2, "the node and its pad are still there"


def test_the_width_is_the_nodes_own(renderer: Editor) -> None:
    add(renderer, "AttnDirSketch")
    renderer.page.locator("[data-attention-director=sketch] input[type=range]").fill("16")
    assert widget(renderer, "line_width") == 16
    stroke(renderer, 0.2, 0.3, 0.8, 0.3)
    found = json.loads(widget(renderer, "strokes"))["strokes"][0]["width"]
    assert found == pytest.approx(16 / widget(renderer, "width"), abs=1e-4)


def test_words_that_changed_are_shown_and_weighed(renderer: Editor) -> None:
    add(renderer, "AttentionEdit")
    # The page keeps values by the numbers of nodes, also of a graph that is gone.
    for name, value in (("text", SOURCE), ("targets", TARGET), ("reweight", "")):
        renderer.page.evaluate("""([name, value]) => {
            const w = app.graph.nodes[0].widgets.find((w) => w.name === name);
            w.value = value;
            w.callback?.(value);
        }""", [name, value])
    pair = renderer.page.locator("[data-attention-director=pair]").first
    assert pair.locator(".ad-changed").all_inner_texts() == ["cat\ndog\n×1"]
    assert [text.strip() for text in pair.locator(".ad-added .ad-below").all_inner_texts()] == ["snowy"]
    renderer.rest("AttentionEdit")
    word = pair.get_by_label("Weight of snowy")
    at = word.bounding_box()
    renderer.page.mouse.move(at["x"] + 8, at["y"] + 8)
    renderer.page.mouse.down()
    renderer.page.mouse.move(at["x"] + 88, at["y"] + 8, steps=4)
    assert word.inner_text().split() == ["snowy", "×1.8"]
    renderer.page.mouse.up()
    renderer.frame()
    assert widget(renderer, "reweight") == "snowy: 1.8"
    assert word.bounding_box() == at, "nothing has moved under the hand"
    renderer.page.mouse.move(at["x"] + 8, at["y"] + 8)
    renderer.page.mouse.wheel(0, 100)
    renderer.page.wait_for_function("""() => app.graph.nodes[0].widgets.find((w) => w.name === "reweight").value
        === "snowy: 1.7" """)


def test_the_words_stand_below_the_targets_and_no_value_changes_its_place(renderer: Editor) -> None:
    """Also where the workflow was saved while they stood last."""
    add(renderer, "AttentionEdit")
    names = "() => app.graph.nodes[0].widgets.map((w) => w.name)"
    found = renderer.page.evaluate(names)
    assert found[found.index("targets") + 1] == "attention_director_pair"
    renderer.page.evaluate("""() => { for (const [name, value] of [["text", "a cat"], ["edit", "refine"],
        ["reweight", "cat: 2"], ["blend_words", "cat"]])
        app.graph.nodes[0].widgets.find((w) => w.name === name).value = value; }""")
    values = "() => app.graph.nodes[0].widgets.filter((w) => w.serialize !== false).map((w) => w.value)"
    before = renderer.page.evaluate(values)
    saved = renderer.saved()
    assert saved["nodes"][0]["widgets_values"] == before
    renderer.load(saved)
    assert renderer.page.evaluate(values) == before and renderer.page.evaluate(names) == found


NAMES = """() => {
    const [said, own] = [[], CanvasRenderingContext2D.prototype.fillText];
    CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
        const at = this.getTransform();
        if (this.font.startsWith("9px")) said.push([text, at.d / devicePixelRatio * y + at.f / devicePixelRatio]);
        return own.apply(this, arguments);
    };
    try { app.canvas.draw(true, true); } finally { CanvasRenderingContext2D.prototype.fillText = own; }
    const top = app.canvas.canvas.getBoundingClientRect().top;
    return said.map(([text, y]) => [text, y + top]);
}"""


def test_a_filled_text_box_keeps_its_name(renderer: Editor) -> None:
    """In the classic renderer in the gap above it; in Nodes 2.0 the host's own. Nothing of it is saved."""
    add(renderer, "AttentionEdit")
    before = [widget["name"] for widget in renderer.page.evaluate(
        "() => app.graph.nodes[0].widgets.map((w) => ({ name: w.name }))")]
    for name, value in (("text", SOURCE), ("targets", TARGET), ("reweight", ""), ("blend_words", "dog")):
        renderer.page.evaluate("""([name, value]) => {
            app.graph.nodes[0].widgets.find((w) => w.name === name).value = value; }""", [name, value])
    renderer.rest("AttentionEdit")
    names = dict(renderer.page.evaluate(NAMES))
    if renderer.vue:
        assert names == {}
        return
    assert list(names) == ["text", "targets", "blend_words"], "an empty box shows its own; the others are closed"
    for name, y in names.items():
        box = renderer.page.locator(f"textarea[placeholder={name}]").bounding_box()
        assert box["y"] - 11 <= y <= box["y"] - 8, f"{name} stands in the gap above its box"
    saved = renderer.saved()["nodes"][0]
    assert len(saved["widgets_values"]) == len([n for n in before if not n.startswith("attention_director")])
    renderer.page.evaluate("() => { app.graph.nodes[0].flags.collapsed = true; }")
    assert renderer.page.evaluate(NAMES) == []
    renderer.page.evaluate("() => { app.graph.nodes[0].flags.collapsed = false; }")


def test_rows_for_experts_are_behind_a_button(renderer: Editor) -> None:
    """In the classic renderer it is ours, in Nodes 2.0 the host's; no value changes its place."""
    add(renderer, "AttentionEdit")
    before = renderer.page.evaluate("() => app.graph.serialize().nodes[0].widgets_values")
    rows = """() => { const node = app.graph.nodes[0];
        return node.widgets.filter((w) => node.isWidgetVisible(w)).map((w) => w.name); }"""
    if renderer.vue:
        assert renderer.page.get_by_text("more settings").count() == 0
        return
    few = renderer.page.evaluate(rows)
    assert "reweight" in few and "legacy_tail" not in few and "attention_director_more" in few
    assert renderer.page.locator("textarea[placeholder=keep_words]:visible").count() == 0
    press = "() => app.graph.nodes[0].widgets.find((w) => w.name === 'attention_director_more').callback()"
    renderer.page.evaluate(press)
    many = renderer.page.evaluate(rows)
    assert set(many) - set(few) >= {"keep_words", "legacy_tail", "self_max_grid"}
    renderer.load(renderer.saved())
    assert renderer.page.evaluate(rows) == many, "saved with the workflow"
    assert renderer.page.evaluate("() => app.graph.serialize().nodes[0].widgets_values") == before
    renderer.page.evaluate(press)
    assert renderer.page.evaluate(rows) == few
