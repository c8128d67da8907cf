"""Region Prompt's canvas under the mouse and the keys, in both renderers."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from editor import FIND, PAD, TWO, Editor
from PIL import Image
from templates import example
from world.oracle import LayoutScores, layout_scores, look

EVIL = '<img src=x onerror="window.hurt=true">'


def test_two_boxes_bound_by_their_words_are_drawn_saved_and_queued(renderer: Editor) -> None:
    renderer.demo()
    assert "Drag a box" in renderer.find(".ad-notice").inner_text()
    renderer.drag(0.05, 0.3, 0.45, 0.7)
    renderer.drag_words("red", "circle")
    renderer.drag(0.55, 0.3, 0.95, 0.7)
    renderer.drag_words("blue", "square")
    blue, red = renderer.regions()
    assert (blue["phrase"], red["phrase"]) == ("blue square", "red circle")
    assert red["boxes"][0] == pytest.approx([0.0625, 0.3125, 0.4375, 0.6875]), "on the grid of 8 of 128 pixels"
    assert renderer.api_prompt()["canvas"] == renderer.widget("canvas")

    before, saved = renderer.widget("canvas"), renderer.saved()
    renderer.demo()
    assert not renderer.regions()
    renderer.load(saved)
    assert renderer.widget("canvas") == before
    assert renderer.find(".ad-region").all_inner_texts() == ["2\nblue square", "1\nred circle"]

    assert renderer.queue() == "execution_success"
    renderer.page.wait_for_function("() => [...document.querySelectorAll('[data-attention-director=status]')]"
                                    ".some((e) => e.textContent.includes('active in step'))", timeout=10_000)


def seen_by_the_oracle(renderer: Editor, prefix: str) -> LayoutScores:
    """What a SaveImage of the page shows, against a red circle on the left and a blue square on the right."""
    data = renderer.page.evaluate("""async (prefix) => {
        const node = app.graph.nodes.find((n) => n.type === "SaveImage" && n.widgets[0].value.endsWith(prefix));
        const image = app.nodeOutputs[node.id].images[0];
        const answer = await fetch("/view?" + new URLSearchParams(image));
        return btoa(String.fromCharCode(...new Uint8Array(await answer.arrayBuffer())));
    }""", prefix)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    places = np.zeros((2, *pixels.shape[:2]), bool)
    for place, x in zip(places, (8, 72), strict=True):
        place[40:88, x:x + 48] = True
    return layout_scores(look(pixels).objects, [("red", "circle", places[0]), ("blue", "square", places[1])])


def test_what_was_drawn_is_in_the_picture(renderer: Editor) -> None:
    renderer.demo(steps=20, seed=7)
    renderer.drag(0.05, 0.3, 0.45, 0.7)
    renderer.drag_words("red", "circle")
    renderer.drag(0.55, 0.3, 0.95, 0.7)
    renderer.drag_words("blue", "square")
    assert renderer.queue() == "execution_success"
    renderer.page.wait_for_function("""() => app.graph.nodes.filter((n) => n.type === "SaveImage")
        .every((n) => app.nodeOutputs[n.id]?.images?.length)""")
    directed, plain = (seen_by_the_oracle(renderer, name) for name in ("directed", "plain"))
    print(f"directed {directed}, plain {plain}")
    assert directed.bound == (True, True) and min(directed.iou) > 0.5
    assert sum(directed.iou) > sum(plain.iou)


def test_without_a_mouse(renderer: Editor) -> None:
    """Two boxes, their words and the run, from the prompt's text box on, by keys alone."""
    renderer.demo()
    renderer.page.evaluate(f"() => document.querySelector('{PAD}').focus()")
    first = ("n", "Shift+ArrowLeft", "ArrowLeft", "w", "ArrowRight", "ArrowRight", "Shift+ArrowRight", "Enter",
             "Escape")
    second = ("n", "ArrowRight", "ArrowDown", "Enter", "b", "l", "ArrowDown", "ArrowDown", "Enter", "Escape")
    for keys in (*first, *second):
        renderer.page.keyboard.press(keys)
        renderer.frame()
    blue, red = renderer.regions()
    assert (red["phrase"], blue["phrase"]) == ("red circle", "blue square")
    assert red["boxes"][0][0] < blue["boxes"][0][0]
    assert renderer.queue_by("Control+Enter") == "execution_success"


@pytest.fixture(params=[1, 6], ids=["quick", "slow"])
def paced(request: pytest.FixtureRequest, renderer: Editor) -> Iterator[Editor]:
    """On a page with the machine's own speed, and with a sixth of it."""
    renderer.slow_down(request.param)
    yield renderer
    renderer.slow_down(1)


def test_undo_and_redo_keep_the_focus(paced: Editor) -> None:
    paced.demo()
    paced.drag(0.1, 0.1, 0.4, 0.4)
    paced.drag(0.5, 0.5, 0.9, 0.9)
    full = paced.widget("canvas")
    for keys, count in (("Control+z", 1), ("Control+z", 0), ("Control+y", 1), ("Control+y", 2)):
        paced.travel(keys, PAD)
        assert len(paced.regions()) == count, keys
    assert paced.widget("canvas") == full
    paced.drag(0.6, 0.1, 0.9, 0.3)
    assert len(paced.regions()) == 3, "what is on the page is the canvas of the node"


@pytest.mark.parametrize("height", [0, 1000], ids=["least height", "a tall node"])
def test_what_undo_puts_in_place_is_no_edit(renderer: Editor, height: int) -> None:
    """Else the next mouse-up or key-up would empty the list of redo: the host sets the node's height anew."""
    renderer.demo()
    if height:
        renderer.page.evaluate(f"""(height) => {{ {FIND} node.setSize([node.size[0], height]);
            app.canvas.setDirty(true, true); }}""", height)
        renderer.rest()
        renderer.capture()
    renderer.drag(0.1, 0.1, 0.4, 0.4)
    size = renderer.page.evaluate(f"() => {{ {FIND} return [...node.size]; }}")
    for keys in ("Control+z", "Control+y", "Control+z"):
        renderer.travel(keys, PAD)
        steps = renderer.steps()
        renderer.capture()
        assert renderer.steps() == steps, keys
        assert renderer.page.evaluate(f"() => {{ {FIND} return [...node.size]; }}") == size
    renderer.page.mouse.click(20, 700)  # beside the nodes
    renderer.page.evaluate(f"() => document.querySelector('{PAD}').focus()")
    renderer.travel("Control+y", PAD)
    assert len(renderer.regions()) == 1


def test_keys_of_the_canvas_stay_there(renderer: Editor) -> None:
    renderer.demo(TWO)
    renderer.page.evaluate(f"() => {{ {FIND} app.canvas.selectNode(node); }}")
    renderer.find(".ad-region").first.click()
    renderer.pad.click(position={"x": 4, "y": 4})
    renderer.page.keyboard.press("PageDown")
    renderer.page.keyboard.press("ArrowRight")
    moved = renderer.regions()[0]["boxes"][0]
    assert moved[0] > 0.1
    renderer.page.keyboard.press("Delete")
    renderer.frame()
    assert renderer.page.evaluate(f"() => {{ {FIND} return !!node; }}"), "the node itself is still there"
    assert [r["phrase"] for r in renderer.regions()] == ["blue square"]
    nodes = "() => app.graph.nodes.length"
    before = renderer.page.evaluate(nodes)
    for keys in ("PageDown", "Control+c", "Control+v"):
        renderer.page.keyboard.press(keys)
    renderer.frame()
    assert [r["phrase"] for r in renderer.regions()] == ["blue square", "blue square"]
    assert renderer.page.evaluate(nodes) == before, "a region was copied, not the node"


def test_the_wheel_over_the_canvas_zooms_the_graph(renderer: Editor) -> None:
    renderer.demo(TWO)
    box = renderer.pad.bounding_box()
    renderer.page.mouse.move(box["x"] + 40, box["y"] + 40)
    renderer.page.mouse.wheel(0, -200)
    renderer.page.wait_for_function("() => app.canvas.ds.scale > 1", timeout=5000)


def test_a_picture_behind_the_regions_stays_out_of_the_prompt(renderer: Editor, tmp_path: Path) -> None:
    renderer.demo(TWO)
    Image.new("RGB", (64, 64), (0, 0, 255)).save(tmp_path / "blue.png")
    before = renderer.api_prompt()
    renderer.find("input[type=file]:not([multiple])").set_input_files(tmp_path / "blue.png")
    renderer.page.wait_for_function(f"""() => {{ const pad = document.querySelector('{PAD} canvas');
        return pad.getContext("2d").getImageData(2, pad.height - 2, 1, 1).data[2] > 150; }}""", timeout=10_000)
    assert renderer.api_prompt() == before
    saved = renderer.saved()
    renderer.demo()
    renderer.load(saved)
    chosen = renderer.page.evaluate(f"() => {{ {FIND} return node.properties.attention_director_background; }}")
    assert chosen.startswith("file:blue")


def test_a_new_thing_of_an_edit_gets_its_box(renderer: Editor) -> None:
    """Behind Attention Edit the canvas shows source and target, and binds what only the target says."""
    renderer.load(example("Attention Edit - a new thing in its place"))
    words = renderer.find(".ad-words").inner_text().split()
    assert words.count("green") == 2 and words.count("yellow") == 1
    assert renderer.find(".ad-region.ad-stale").count() == 0
    renderer.set_widget("canvas", "")
    renderer.drag(0.05, 0.6, 0.4, 0.95)
    renderer.drag_words("yellow", "star")
    assert [region["phrase"] for region in renderer.regions()] == ["yellow star"]
    assert renderer.queue() == "execution_success"


def test_words_of_a_workflow_file_show_as_text(renderer: Editor) -> None:
    renderer.demo(json.dumps({"version": 1, "regions": [{"phrase": EVIL, "boxes": [[0, 0, 1, 1]]}]}))
    renderer.set_widget("text", f"{EVIL} and a dog")
    renderer.find(".ad-region").first.click()
    renderer.find(".ad-phrase").focus()
    renderer.frame()
    assert EVIL in renderer.find(".ad-words").inner_text()
    assert renderer.page.evaluate(f"() => [window.hurt, document.querySelectorAll('{PAD} img').length]") == [None, 0]


def test_brush_eraser_and_lasso_travel(renderer: Editor) -> None:
    renderer.demo()
    for key, way in (("p", (0.2, 0.2, 0.6, 0.2)), ("e", (0.3, 0.2, 0.4, 0.2)), ("l", (0.1, 0.6, 0.5, 0.9))):
        renderer.find(".ad-words").focus()
        renderer.page.keyboard.press("Escape")
        renderer.page.keyboard.press(key)
        renderer.drag(*way)
    regions = renderer.regions()
    strokes = [stroke["erase"] for region in regions for stroke in region.get("strokes", [])]
    assert strokes == [False, True]
    assert renderer.queue() == "execution_success"


def many(count: int) -> str:
    """A drawing of so many regions over each other, every other one with a stroke."""
    places = [0.02 * i for i in range(count)]
    strokes = [{"width": 0.05, "points": [[0.3 + 0.01 * k, 0.5] for k in range(60)], "erase": False}]
    regions = [{"phrase": "red circle", "boxes": [[0.3 + x, 1.5 * x, 0.5 + x, 1.5 * x + 0.3]],
                "strokes": strokes if i % 2 else []} for i, x in enumerate(places, 1)]
    return json.dumps({"version": 1, "regions": regions})


def frame_of_a_drag(renderer: Editor) -> float:
    """Median milliseconds that a frame takes while a box is drawn."""
    return renderer.page.evaluate(f"""async () => {{
        const pad = document.querySelector('{PAD} .ad-pad');
        const area = pad.querySelector("canvas").getBoundingClientRect();
        const send = (name, k) => pad.dispatchEvent(new PointerEvent(name, {{ bubbles: true, pointerId: 1, button: 0,
            buttons: 1, clientX: area.left + 3 + k * 3, clientY: area.top + 3 + k * 3 }}));
        pad.setPointerCapture = () => {{}};
        send("pointerdown", 0);
        const frames = [];
        for (let k = 1; k < 50; k++) {{
            // Between two callbacks of one frame lies the pad's own, asked for by the event.
            let begun = 0;
            requestAnimationFrame(() => {{ begun = performance.now(); }});
            const before = performance.now();
            send("pointermove", k);
            const handled = performance.now() - before;
            await new Promise((done) => requestAnimationFrame(() => {{
                frames.push(handled + performance.now() - begun);
                done();
            }}));
        }}
        send("pointerup", 50);
        return frames.sort((a, b) => a - b)[24];
    }}""")


def test_a_frame_takes_no_longer_than_its_regions(renderer: Editor) -> None:
    """On the same page: ten times the regions, at most ten times the frame."""
    spent = {}
    for count in (2, 20):
        renderer.demo(many(count))
        spent[count] = frame_of_a_drag(renderer)
        assert len(renderer.regions()) == count + 1
    print(f"a frame of a drag over 2 and 20 regions: {spent[2]:.1f} and {spent[20]:.1f} ms")
    assert spent[20] < 10 * spent[2]
