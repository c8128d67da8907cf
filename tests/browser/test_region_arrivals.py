"""Regions that come from elsewhere, in both renderers: masks of pictures, and boxes on the wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from editor import FIND, PAD, Editor
from PIL import Image, ImageDraw
from templates import example

DETECTOR = example("Region Prompt - boxes of a detector")
MASKS = example("Region Prompt - masks")
LINKED = f"() => {{ {FIND} return node.inputs.find((i) => i.name === 'regions').link != null; }}"
ROW = ".ad-row:has(button:text('Copy wired regions here'))"
MASK_FILES = "input[type=file][multiple]"


def undo(renderer: Editor) -> None:
    renderer.travel("Control+z", PAD)


def picture(path: Path, draw: Any) -> Path:
    image = Image.new("RGB", (128, 128))
    draw(ImageDraw.Draw(image))
    image.save(path)
    return path


def notice(renderer: Editor) -> str:
    return renderer.find(".ad-notice").inner_text()


def test_mask_files_become_regions_in_one_step(renderer: Editor, tmp_path: Path) -> None:
    renderer.demo()
    files = [picture(tmp_path / "box.png", lambda draw: draw.rectangle((32, 16, 95, 63), fill="white")),
             picture(tmp_path / "ring.png", lambda draw: draw.ellipse((16, 16, 111, 111), outline="white", width=20)),
             picture(tmp_path / "photo.png", lambda draw: draw.rectangle((0, 0, 127, 127), fill=(200, 40, 40)))]
    renderer.find(MASK_FILES).set_input_files(files)
    renderer.page.wait_for_function("() => document.querySelector('.ad-notice').innerText.includes('from 2 masks')")
    assert '"photo.png" is a colour picture, not a mask' in notice(renderer)
    box, ring = renderer.regions()
    assert box["boxes"] == [[0.25, 0.125, 0.75, 0.5]] and box["phrase"] == ring["phrase"] == ""
    assert [(s["fill"], s["erase"]) for s in ring["strokes"]] == [(True, True)], "the hole of the ring"
    renderer.drag_words("red", "circle")  # the first is selected already
    assert renderer.regions()[0]["phrase"] == "red circle"
    renderer.page.keyboard.press("Escape")
    undo(renderer)
    undo(renderer)
    assert renderer.regions() == []


def test_a_batch_of_masks_that_a_node_shows(renderer: Editor) -> None:
    drawn = [[0.0625, 0.0625, 0.5, 0.5], [0.5, 0.25, 0.9375, 0.875]]
    canvas = ", ".join(f'{{"phrase": "{words}", "boxes": [{box}]}}'
                       for words, box in zip(("red circle", "blue square"), drawn, strict=True))
    renderer.demo(f'{{"version": 1, "regions": [{canvas}]}}')
    renderer.page.evaluate(f"""() => {{ {FIND} const shown = LiteGraph.createNode("MaskPreview");
        shown.pos = [node.pos[0], node.pos[1] - 500]; app.graph.add(shown); node.connect(2, shown, 0); }}""")
    assert renderer.queue() == "execution_success"
    renderer.page.wait_for_function("""() => app.nodeOutputs[app.graph.nodes.find((n) => n.type === "MaskPreview").id]
        ?.images?.length""")
    before = len(renderer.regions())
    renderer.find(".ad-menu-holder > button").click()
    renderer.find(".ad-menu-item").get_by_text("Mask").click()
    renderer.page.wait_for_function("() => document.querySelector('.ad-notice').innerText.includes('from 2 masks')")
    found = renderer.regions()
    assert len(found) == before + 2
    assert [region["boxes"][0] for region in found[:2]] == [pytest.approx(box, abs=0.002) for box in drawn]


def test_boxes_on_the_wire_are_seen_before_a_run_and_copied_in_one_step(renderer: Editor) -> None:
    renderer.load(DETECTOR)
    row = renderer.find(ROW)
    row.wait_for(timeout=5000)
    assert "3 wired regions (dashed)" in row.inner_text()
    row.locator("button").click()
    renderer.frame()
    found = renderer.regions()
    assert [region["phrase"] for region in found] == ["rocket", "robot", "yellow star"]
    assert found[0]["boxes"][0] == pytest.approx([12 / 256, 24 / 256, 104 / 256, 156 / 256], abs=1e-4)
    assert not renderer.page.evaluate(LINKED), "none counts twice"
    assert not row.is_visible()
    renderer.find(".ad-words").focus()
    renderer.page.keyboard.press("Escape")
    undo(renderer)
    assert renderer.regions() == [] and renderer.page.evaluate(LINKED)
    assert renderer.find(ROW).is_visible()


def test_boxes_of_the_hosts_editor_land_where_they_were_drawn(renderer: Editor) -> None:
    """It measures on 1024 x 1024, the node here on 256 x 256; before the run and in it, by the output without words."""
    renderer.load(DETECTOR)
    renderer.page.evaluate("""() => {
        const at = app.graph.nodes.find((n) => n.type === "AttnDirRegionsFromBoxes");
        const drawn = LiteGraph.createNode("CreateBoundingBoxes");
        app.graph.add(drawn);
        drawn.widgets.find((w) => w.name === "editor_state").value = [
            { x: 96, y: 128, width: 320, height: 320, metadata: { type: "obj", desc: "robot" } },
            { x: 512, y: 512, width: 416, height: 416, metadata: { type: "obj", desc: "yellow star" } }];
        drawn.connect(1, at, at.inputs.findIndex((i) => i.name === "bboxes"));
        app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState();
    }""")
    row = renderer.find(ROW).filter(has_text="2 wired regions")
    row.wait_for(timeout=5000)
    assert renderer.queue() == "execution_success"
    row.locator("button").click()
    renderer.frame()
    robot, star = renderer.regions()
    assert (robot["phrase"], star["phrase"]) == ("robot", "yellow star")
    assert robot["boxes"][0] == pytest.approx([96 / 1024, 128 / 1024, 416 / 1024, 448 / 1024], abs=1e-3)
    renderer.load(DETECTOR)
    told = renderer.page.evaluate("""async () => {
        const at = app.graph.nodes.find((n) => n.type === "AttnDirRegionsFromBoxes");
        const { link } = at.inputs.find((i) => i.name === "bboxes");
        const text = app.graph.getNodeById(app.graph.links.get(link).origin_id);
        text.widgets[0].value = '[{"x": 96, "y": 96, "width": 320, "height": 320}]';
        const failed = new Promise((done) => app.api.addEventListener("execution_error", ({ detail }) =>
            done(detail.exception_message), { once: true }));
        await app.queuePrompt(0, 1);
        return failed;
    }""")
    assert "box 1 goes from 96, 96 to 416, 416, which is beyond 256 x 256" in told
    renderer.page.keyboard.press("Escape")  # the host's dialog


def test_a_box_of_a_detector_is_moved_and_the_graph_runs(renderer: Editor) -> None:
    renderer.load(DETECTOR)
    renderer.find(f"{ROW} button").click()
    renderer.frame()
    renderer.page.keyboard.press("Escape")
    renderer.page.keyboard.press("v")
    renderer.drag(0.25, 0.3, 0.25, 0.55)
    rocket = renderer.regions()[0]
    assert rocket["phrase"] == "rocket" and rocket["boxes"][0][1] > 0.25
    assert renderer.queue() == "execution_success"


def test_wired_masks_are_seen_after_a_run(renderer: Editor) -> None:
    renderer.load(MASKS)
    assert not renderer.find(ROW).is_visible(), "what a mask covers is known after a run"
    assert renderer.queue() == "execution_success"
    row = renderer.find(ROW)
    row.wait_for(timeout=10_000)
    assert "2 wired regions (dashed)" in row.inner_text()
    row.locator("button").click()
    renderer.frame()
    found = {region["phrase"]: region["boxes"][0] for region in renderer.regions()}
    assert found["panda"] == pytest.approx([40 / 320, 110 / 256, 136 / 320, 206 / 256], abs=1e-3)
    assert found["purple tent"] == pytest.approx([190 / 320, 90 / 256, 286 / 320, 186 / 256], abs=1e-3)
    assert renderer.queue() == "execution_success"
