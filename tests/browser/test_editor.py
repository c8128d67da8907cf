"""What every node and workflow of the pack does in the editor, in both renderers."""

from __future__ import annotations

from pathlib import Path

import pytest
from client import NAME
from editor import FIND, ROOT, Editor

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
# The others need a model of one's own.
SHIPPED = [path for path in WORKFLOWS if "AttnDirLoadDemoModel" in path.read_text(encoding="utf-8")]

SAVERS = ("const shows = /^(SaveImage|PreviewImage|AttnDirSelfCheck)$/;"
          "const savers = app.graph.nodes.filter((n) => shows.test(n.type) && !n.mode);")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_an_example_workflow_opens_without_a_red_node(renderer: Editor, path: Path) -> None:
    renderer.load(path)
    missing = renderer.page.evaluate("() => app.graph.nodes.map((n) => n.type)"
                                     ".filter((type) => !LiteGraph.registered_node_types[type])")
    assert missing == []
    overlapping = renderer.page.evaluate("""() => {
        const box = (n) => [n.pos[0], n.pos[1] - 30, n.pos[0] + n.size[0], n.pos[1] + n.size[1]];
        const meet = ([a, b, c, d], [e, f, g, h]) => a < g && e < c && b < h && f < d;
        const nodes = app.graph.nodes;
        return nodes.flatMap((n, i) => nodes.slice(i + 1).filter((m) => meet(box(n), box(m)))
            .map((m) => `${n.type} and ${m.type}`));
    }""")
    assert overlapping == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_an_example_workflow_is_queued_and_its_pictures_are_seen(editor: Editor, path: Path) -> None:
    """In one renderer: the run is the server's, and the pictures come by the same event."""
    editor.use_vue(False)
    editor.load(path)
    assert editor.queue(seconds=500) == "execution_success"
    count = editor.page.evaluate(f"() => {{ {SAVERS} return savers.length; }}")
    assert count
    for n in range(count):  # the classic renderer loads a picture when its node comes into view
        editor.page.evaluate(f"""(n) => {{ {SAVERS} const at = savers[n].pos;
            app.canvas.ds.offset = [300 - at[0], 200 - at[1]]; app.canvas.setDirty(true, true); }}""", n)
        editor.page.wait_for_function(f"""(n) => {{ {SAVERS} const {{ imgs }} = savers[n];
            return imgs?.length && imgs.every((i) => i.naturalWidth > 0); }}""", arg=n, timeout=20_000)
    assert not editor.errors, editor.errors


def test_the_first_card_of_the_templates_is_the_first_thing_to_try(renderer: Editor) -> None:
    """The host lists them as the disk has them."""
    page = renderer.page
    page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.get_by_role("dialog").get_by_text(NAME, exact=True).first.click()
    cards = page.locator("[data-testid^='template-workflow-']")
    cards.first.wait_for()
    names = cards.evaluate_all("(cards) => cards.map((c) => c.dataset.testid.replace('template-workflow-', ''))")
    assert names == sorted(path.stem for path in WORKFLOWS)[:len(names)] and len(names) >= 12
    assert names[0] == "01 Region Prompt - two boxes"
    page.keyboard.press("Escape")
    cards.first.wait_for(state="detached")


def test_a_sampler_without_our_model_is_marked_until_it_is_mended(renderer: Editor) -> None:
    renderer.demo()
    mark = renderer.page.locator("[data-attention-director=mark]")
    assert mark.count() == 0
    wire = f"""(from) => {{ {FIND}
        const sampler = app.graph.nodes.find((n) => n.type === "KSampler"
            && n.inputs.some((i) => i.name === "positive" && app.graph.links.get(i.link)?.origin_id == node.id));
        const source = from === "ours" ? node : app.graph.nodes.find((n) => n.type === "AttnDirLoadDemoModel");
        source.connect(0, sampler, sampler.inputs.findIndex((i) => i.name === "model"));
        app.extensionManager.workflow.activeWorkflow.changeTracker.captureCanvasState(); }}"""
    renderer.page.evaluate(wire, "loader")
    mark.wait_for(timeout=5000)
    assert "takes this node's positive but not its model" in mark.inner_text()
    renderer.page.evaluate(wire, "ours")
    mark.wait_for(state="detached", timeout=5000)
