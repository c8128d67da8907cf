"""What the region canvas takes from the graph behind it: the result, the latent's shape; and its switch."""

from __future__ import annotations

import pytest
from editor import FIND, PAD, TWO, Editor

# The nodes that save pictures lie beyond the page's right edge; answers how far.
FAR = f"""() => {{ {FIND} const view = app.canvas.ds; view.scale = 2; view.offset = [-node.pos[0], -node.pos[1]];
    app.canvas.setDirty(true, true);
    const savers = app.graph.nodes.filter((n) => n.type === "SaveImage");
    return Math.min(...savers.map((n) => (n.pos[0] + view.offset[0]) * view.scale)); }}"""


def corner(renderer: Editor) -> str:
    return renderer.page.evaluate(f"""() => {{ const pad = document.querySelector('{PAD} canvas');
        return JSON.stringify([...pad.getContext("2d").getImageData(2, pad.height - 9, 40, 6).data]); }}""")


def test_the_last_result_lies_behind_the_regions_and_is_never_an_old_one(renderer: Editor) -> None:
    """Also while the nodes that show it are out of sight; the eye hides it."""
    renderer.demo()
    assert renderer.page.evaluate(FAR) > 1500
    renderer.rest("RegionPrompt")
    seen = [corner(renderer)]
    for _ in range(2):
        assert renderer.queue() == "execution_success"
        renderer.page.wait_for_function(f"""(was) => {{ const pad = document.querySelector('{PAD} canvas');
            return JSON.stringify([...pad.getContext("2d").getImageData(2, pad.height - 9, 40, 6).data]) !== was; }}""",
                                        arg=seen[-1], timeout=10_000)
        seen.append(corner(renderer))
        renderer.page.evaluate("""() => { for (const n of app.graph.nodes.filter((n) => n.type === "KSampler"))
            n.widgets[0].value += 7; }""")
    renderer.find("button[aria-label^='Show the picture']").click()
    renderer.page.wait_for_function(f"""(was) => {{ const pad = document.querySelector('{PAD} canvas');
        return JSON.stringify([...pad.getContext("2d").getImageData(2, pad.height - 9, 40, 6).data]) === was; }}""",
                                    arg=seen[0], timeout=10_000)
    saved = renderer.saved()
    renderer.load(saved)
    hidden = renderer.find("button[aria-label^='Show the picture']")
    assert hidden.get_attribute("aria-pressed") == "false"


def test_previews_are_seen_behind_the_regions(renderer: Editor) -> None:
    renderer.demo()
    before = corner(renderer)
    renderer.page.evaluate(f"""async () => {{ {FIND}
        const sampler = app.graph.nodes.find((n) => n.type === "KSampler"
            && n.inputs.some((i) => i.name === "positive" && app.graph.links.get(i.link)?.origin_id == node.id));
        const canvas = new OffscreenCanvas(8, 8);
        const to = canvas.getContext("2d");
        to.fillStyle = "rgb(255, 0, 0)";
        to.fillRect(0, 0, 8, 8);
        const blob = await canvas.convertToBlob();
        const detail = {{ blob, displayNodeId: String(sampler.id), nodeId: String(sampler.id), jobId: "x" }};
        app.api.dispatchEvent(new CustomEvent("b_preview_with_metadata", {{ detail }})); }}""")
    renderer.page.wait_for_function(f"""(was) => {{ const pad = document.querySelector('{PAD} canvas');
        const [r, g, b] = pad.getContext("2d").getImageData(4, pad.height - 5, 1, 1).data;
        return r > 120 && g < 60 && b < 60; }}""", arg=before, timeout=10_000)


def test_the_switch_is_strength_0_and_back(renderer: Editor) -> None:
    renderer.demo(TWO)
    renderer.set_widget("strength", 1.5)
    switch = renderer.find("button[aria-label^='Regions on or off']")
    assert switch.inner_text() == "on"
    switch.click()
    renderer.frame()
    assert renderer.widget("strength") == 0 and switch.inner_text() == "off"
    assert renderer.api_prompt()["strength"] == 0
    renderer.load(renderer.saved())
    renderer.find("button[aria-label^='Regions on or off']").click()
    renderer.frame()
    assert renderer.widget("strength") == 1.5


def test_the_canvas_takes_its_shape_from_the_latent_and_says_where_a_drawing_does_not_fit(renderer: Editor) -> None:
    renderer.demo(TWO)
    renderer.page.evaluate("""() => { const latent = app.graph.nodes.find((n) => n.type === "EmptyLatentImage");
        for (const [i, value] of [192, 96].entries()) {
            latent.widgets[i].value = value;
            latent.widgets[i].callback?.(value);
        }
        app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState(); }""")
    renderer.rest("RegionPrompt")
    area = renderer.pad.bounding_box()
    assert area["width"] / area["height"] == pytest.approx(2, rel=0.02)
    assert "Drawn at 128 x 128, but the picture is 192 x 96." in renderer.find(".ad-notice").inner_text()
    renderer.find(".ad-notice button").get_by_text("Keep proportions").click()
    renderer.frame()
    left, top, right, bottom = renderer.regions()[0]["boxes"][0]
    assert (right - left) * 192 == pytest.approx((bottom - top) * 96, abs=0.1), "still a square"
    assert (renderer.widget("width"), renderer.widget("height")) == (192, 96)
    assert "Drawn at" not in renderer.find(".ad-notice").inner_text()


def test_a_chip_is_dragged_to_another_depth_and_a_region_switched_off(renderer: Editor) -> None:
    renderer.demo(TWO)
    first, second = (renderer.find(".ad-region").nth(i).bounding_box() for i in range(2))
    place = renderer.page.evaluate(f"() => {{ {FIND} return [...node.pos]; }}")
    renderer.page.mouse.move(first["x"] + 30, first["y"] + 10)
    renderer.page.mouse.down()
    renderer.page.mouse.move(second["x"] + second["width"] - 5, second["y"] + 10, steps=5)
    renderer.page.mouse.up()
    renderer.frame()
    assert [(r["number"], r["phrase"]) for r in renderer.regions()] == [(1, "blue square"), (2, "red circle")]
    assert renderer.page.evaluate(f"() => {{ {FIND} return [...node.pos]; }}") == place, "the node stayed"
    renderer.find("button[title^='This region on or off']").click()
    renderer.frame()
    assert [r.get("off") for r in renderer.regions()] == [None, True]
    assert renderer.find(".ad-switched-off").count() == 1


def test_the_numbers_of_a_custom_preset_are_read_where_they_were_written(renderer: Editor) -> None:
    """They come and go with the preset, beside widgets that are not saved: the button for more, the line of a run."""
    renderer.demo(TWO)
    assert renderer.queue() == "execution_success"
    renderer.status("active in step")
    renderer.set_widget("preset", "custom")
    for name, value in (("preset.decay_power", 2.5), ("preset.reencode_phrases", False), ("unbound_words", "paper"),
                        ("uncovered", "paper")):
        renderer.set_widget(name, value)
    values = f"""() => {{ {FIND} return Object.fromEntries(node.widgets.filter((w) => w.serialize !== false)
        .map((w) => [w.name, w.value])); }}"""
    before = renderer.page.evaluate(values)
    assert before["preset.decay_power"] == 2.5 and before["uncovered"] == "paper"
    renderer.load(renderer.saved())
    assert renderer.page.evaluate(values) == before
