"""Attention Readout's viewer under the mouse and the keys, in both renderers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from editor import Editor
from templates import example

VIEW = "[data-attention-director=readout]"
READOUT = "const node = app.graph.nodes.find((n) => n.type === 'AttnDirReadout');"
TWO = json.dumps({"version": 1, "regions": [{"phrase": "red circle", "boxes": [[0.05, 0.3, 0.45, 0.8]]},
                                            {"phrase": "blue square", "boxes": [[0.55, 0.3, 0.95, 0.8]]}]})
EVIL = '<img src=x onerror="window.hurt=true">'
# Record Attention before the sampler and Attention Readout behind it, as a person would wire them.
RECORD = """() => {
    const graph = app.graph;
    const of = (type) => graph.nodes.find((n) => n.type === type);
    const at = (node, name) => node.inputs.findIndex((input) => input.name === name);
    const [sampler, prompt] = [of("KSampler"), of("RegionPrompt")];
    const [record, readout] = ["AttnDirRecord", "AttnDirReadout"].map((type) => LiteGraph.createNode(type));
    record.pos = [sampler.pos[0], sampler.pos[1] + 500];
    readout.pos = [sampler.pos[0] + 1200, sampler.pos[1]];
    for (const node of [record, readout]) graph.add(node);
    prompt.connect(0, record, at(record, "model"));
    prompt.connect(1, record, at(record, "positive"));
    record.connect(0, sampler, at(sampler, "model"));
    record.connect(0, readout, at(readout, "model"));
    sampler.connect(0, readout, at(readout, "samples"));
    of("VAEDecode").connect(0, readout, at(readout, "image"));
}"""


def look(editor: Editor) -> None:
    """Bring the readout into the middle of the page."""
    editor.page.evaluate(f"""() => {{ {READOUT} const view = app.canvas.ds; view.scale = 1;
        view.offset = [300 - node.pos[0], 120 - node.pos[1]]; app.canvas.setDirty(true, true); }}""")
    editor.rest()


def heat_maps(editor: Editor) -> None:
    """The example of heat maps in two steps and two pictures, not yet run."""
    graph = json.loads(example("Attention Readout - heat maps").read_text(encoding="utf-8"))
    editor.seed += 1
    for node in graph["nodes"]:
        if node["type"] == "KSampler":
            node["widgets_values"][0], node["widgets_values"][2] = 1000 + editor.seed, 2
        if node["type"] == "EmptyLatentImage":
            node["widgets_values"][2] = 2
    editor.load(graph)
    look(editor)


def run(editor: Editor) -> dict[str, Any]:
    """Queue, wait for the viewer, and give what the server sent it."""
    assert editor.queue() == "execution_success"
    editor.page.wait_for_selector(f"{VIEW} .ad-item", timeout=10_000)
    editor.frame()
    return editor.page.evaluate(f"() => {{ {READOUT} return app.nodeOutputs[node.id].attention_director_readout[0]; }}")


def pixels(editor: Editor) -> str:
    """A sum over what the viewer's canvas shows."""
    editor.frame()
    return editor.page.evaluate(f"""() => {{ const c = document.querySelector("{VIEW} canvas");
        const {{ data }} = c.getContext("2d").getImageData(0, 0, c.width, c.height);
        let sum = 7; for (let i = 0; i < data.length; i++) sum = (31 * sum + data[i]) % 2147483647;
        return `${{c.width}} ${{c.height}} ${{sum}}`; }}""")


def line(editor: Editor) -> str:
    return editor.page.locator(f"{VIEW} .ad-notice").first.inner_text()


def test_a_phrase_under_the_mouse_and_each_step_have_their_own_map(renderer: Editor) -> None:
    heat_maps(renderer)
    assert line(renderer) == "Press Run to see what it attended to."
    assert renderer.page.locator(f"{VIEW} .ad-item").count() == 0
    sent = run(renderer)
    items = renderer.page.locator(f"{VIEW} .ad-item")
    assert items.all_inner_texts() == sent["heat"]["phrases"] == ["cat", "red car", "beach"]
    first = pixels(renderer)
    items.nth(1).hover()
    second = pixels(renderer)
    assert second != first
    items.nth(2).hover()
    assert pixels(renderer) not in (first, second)
    renderer.page.mouse.move(20, 700)
    assert pixels(renderer) == first, "what is kept comes back"
    slider = renderer.page.locator(f"{VIEW} input[type=range]")
    slider.fill("2")
    assert renderer.page.locator(f"{VIEW} .ad-steps-at").inner_text() == "step 2 of 2"
    assert pixels(renderer) != first
    renderer.page.locator(f"{VIEW} button").get_by_text("Mean").click()
    assert pixels(renderer) == first
    box = renderer.page.locator(f"{VIEW} canvas").bounding_box()
    renderer.page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.5)
    assert line(renderer).startswith("image 1: ") and line(renderer).endswith("of this pixel's attention")
    renderer.page.keyboard.press("ArrowRight")
    renderer.page.keyboard.press("Delete")
    assert items.nth(1).get_attribute("aria-pressed") == "true"
    assert renderer.page.evaluate(f"() => {{ {READOUT} return !!node && node.hideOutputImages; }}")


def test_the_maps_are_the_servers_own_and_stay_through_undo_but_not_in_the_file(renderer: Editor) -> None:
    heat_maps(renderer)
    run(renderer)
    before = pixels(renderer)
    saved = renderer.page.evaluate(f"() => {{ {READOUT} return node.serialize().widgets_values; }}")
    assert saved == ["heat maps", -1]
    tracker = "app.extensionManager.workflow.activeWorkflow.changeTracker"
    renderer.page.evaluate(f"""() => {{ const node = app.graph.nodes.find((n) => n.type === "EmptyLatentImage");
        node.pos[0] += 10; {tracker}.captureCanvasState(); }}""")
    renderer.page.evaluate(f"async () => {{ await {tracker}.undo(); }}")
    renderer.page.wait_for_function(f"() => document.querySelectorAll('{VIEW} .ad-item').length === 3")
    look(renderer)
    assert renderer.page.locator(VIEW).count() == 1
    assert pixels(renderer) == before
    heat_maps(renderer)
    assert line(renderer) == "Press Run to see what it attended to."


def test_bars_are_the_scores_and_the_worst_is_marked(renderer: Editor) -> None:
    renderer.demo(TWO)
    renderer.page.evaluate(RECORD)
    look(renderer)
    sent = run(renderer)
    renderer.page.locator(f"{VIEW} button").get_by_text("Landing").click()
    places = sorted(sent["heat"]["landing"]["places"], key=lambda p: (p["column"], p["image"]))
    assert len(places) == 2 * sent["images"]
    bars = renderer.page.locator(f"{VIEW} .ad-fill")
    assert bars.evaluate_all("(all) => all.map((e) => parseFloat(e.style.width))") == pytest.approx(
        [100 * place["scores"][0] for place in places], abs=0.01)
    assert renderer.page.locator(f"{VIEW} .ad-worst").count() == (1 if len(places) > 1 else 0)
    before = pixels(renderer)
    renderer.page.locator(f"{VIEW} .ad-item").nth(1).hover()
    assert pixels(renderer) != before
    for size in ([300, 300], [700, 800]):
        renderer.page.evaluate(f"(size) => {{ {READOUT} node.setSize(size); app.canvas.setDirty(true, true); }}", size)
        renderer.rest()
        fits = renderer.page.evaluate(f"""() => {{ const root = document.querySelector("{VIEW}");
            const [own, last] = [root, root.lastElementChild].map((e) => e.getBoundingClientRect());
            return own.width > 200 && last.bottom <= own.bottom + 1 && root.scrollWidth <= root.clientWidth + 1; }}""")
        assert fits, size


def test_words_of_a_run_show_as_text_and_a_failed_run_says_why(renderer: Editor) -> None:
    heat_maps(renderer)
    run(renderer)
    renderer.page.evaluate(f"""(evil) => {{ {READOUT}
        const sent = JSON.parse(JSON.stringify(app.nodeOutputs[node.id].attention_director_readout[0]));
        sent.heat.phrases = sent.heat.phrases.map((_, i) => (i ? "dog" : evil));
        node.onExecuted({{ attention_director_readout: [sent] }}); }}""", EVIL)
    shown = renderer.page.locator(f"{VIEW} .ad-item").first
    renderer.page.wait_for_function(f"(evil) => document.querySelector('{VIEW} .ad-item').innerText === evil", arg=EVIL)
    shown.click()
    assert renderer.page.locator(f"{VIEW} img").count() == 0
    assert not renderer.page.evaluate("() => window.hurt")
    renderer.page.evaluate(f"""() => {{ {READOUT} const show = node.widgets.find((w) => w.name === "show");
        show.value = "edges"; show.callback?.("edges"); }}""")
    assert renderer.queue() == "execution_error"
    renderer.page.wait_for_function(f"() => !document.querySelector('{VIEW} .ad-item')")
    assert line(renderer).startswith("this run recorded no edges; put Sketch Guidance on the model")
    assert renderer.page.locator(f"{VIEW} .ad-item").count() == 0
    renderer.page.keyboard.press("Escape")
