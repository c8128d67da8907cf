"""A picture of every node in action: its example workflow is opened and run, and the node cut out of the editor.

With ATTENTION_DIRECTOR_PICTURES=web/docs the pictures are written there, for the help pages; without it the
runs are short and the pictures only looked at.
"""

from __future__ import annotations

import io
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attention_director.nodes import NODES
from editor import ROOT, Editor
from PIL import Image

FOLDER = os.environ.get("ATTENTION_DIRECTOR_PICTURES", "")
KINDS = [node.GET_SCHEMA().node_id for node in NODES]
MARGIN, TITLE = 12, 30  # pixels
MAX_BYTES = 60_000
LONGEST = 900  # seconds a run may take on a busy machine
VIEW = {"width": 1500, "height": 1700}
# Places of the number of steps in widgets_values, for runs that nobody keeps.
STEPS = {"KSampler": 2, "AttnDirInversion": 2, "AttnDirTrainPredictor": 1}
PLACE = """(id) => { const node = app.graph.nodes.find((n) => n.id == id), view = app.canvas.ds;
    view.scale = 1; view.offset = [300 - node.pos[0], 180 - node.pos[1]]; app.canvas.deselectAll?.();
    app.canvas.setDirty(true, true); }"""
BOX = """(id) => { const node = app.graph.nodes.find((n) => n.id == id), view = app.canvas.ds;
    const at = app.canvas.canvas.getBoundingClientRect();
    return [at.left + node.pos[0] + view.offset[0], at.top + node.pos[1] + view.offset[1], ...node.size]; }"""
# What a run gave to a node is fetched after it, and in this renderer only when the node comes into view.
SHOWS = """(id) => { const node = app.graph.nodes.find((n) => n.id == id), left = app.nodeOutputs[id] ?? {};
    if (left.attention_director_readout) return !!document.querySelector(".ad-readout:not(.ad-empty)");
    const images = left.images?.length && !node.hideOutputImages ? node.imgs : [];
    return !!images && images.every((image) => image.naturalWidth > 0); }"""
BADGES = "(mode) => app.extensionManager.setting.set('Comfy.NodeBadge.NodeSourceBadgeMode', mode)"
WAKE = """async () => { await app.refreshComboInNodes();
    const find = (type) => app.graph.nodes.filter((n) => n.type === type);
    const [bank] = find("AttnDirLoadBank"), user = find("SharedSubjectAttention").find((n) =>
        n.inputs.some((i) => i.name === "bank" && i.link != null));
    bank.mode = 0; bank.connect(0, user, user.inputs.findIndex((i) => i.name === "bank")); }"""


def workflows() -> dict[Path, list[str]]:
    """Which nodes are pictured in which workflow: the first that has them, those of the demo model before others."""
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "workflows").glob("*.json")}
    order = sorted(texts, key=lambda path: ("AttnDirLoadDemoModel" not in texts[path], path.stem))
    found = defaultdict(list)
    for kind in KINDS:
        found[next(path for path in order if f'"{kind}"' in texts[path])].append(kind)
    return dict(found)


SHOWN = workflows()


@pytest.fixture
def classic(editor: Editor) -> Iterator[Editor]:
    """The classic renderer, in a window that holds the tallest node, without the badges above nodes."""
    editor.use_vue(False)
    badges = editor.page.evaluate("() => app.extensionManager.setting.get('Comfy.NodeBadge.NodeSourceBadgeMode')")
    editor.page.evaluate(BADGES, "None")
    before = editor.page.viewport_size
    editor.page.set_viewport_size(VIEW)
    yield editor
    editor.page.set_viewport_size(before)
    editor.page.evaluate(BADGES, badges)


def opened(path: Path) -> dict[str, Any]:
    """The workflow; with few steps where the pictures are not kept."""
    workflow = json.loads(path.read_text(encoding="utf-8"))
    for node in workflow["nodes"]:
        if not FOLDER and node["type"] in STEPS:
            node["widgets_values"][STEPS[node["type"]]] = 4
    return workflow


def cut_out(editor: Editor, node: int) -> Image.Image:
    """The node with a small margin, at its own size."""
    editor.page.evaluate(PLACE, node)
    editor.page.mouse.move(VIEW["width"] // 2, VIEW["height"] - 5)
    editor.page.wait_for_function(SHOWS, arg=node)
    editor.rest()
    x, y, width, height = editor.page.evaluate(BOX, node)
    clip = {"x": x - MARGIN, "y": y - TITLE - MARGIN, "width": width + 2 * MARGIN,
            "height": height + TITLE + 2 * MARGIN}
    assert clip["y"] + clip["height"] < VIEW["height"], "the window is too small for this node"
    return Image.open(io.BytesIO(editor.page.screenshot(clip=clip, timeout=120_000))).convert("RGB")


def small(picture: Image.Image) -> bytes:
    """A palette PNG of as many colours as fit into MAX_BYTES."""
    data = b""
    for colours in (256, 128, 64, 32):
        out = io.BytesIO()
        picture.quantize(colours, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
        data = out.getvalue()
        if len(data) <= MAX_BYTES:
            break
    return data


# What the help page of Region Prompt shows of the canvas: a box, a lasso, brush strokes, and words of a longer prompt.
STORY = "an old man with a red hat and his brown dog in front of a mountain lake, golden hour"
FOUR = {"version": 1, "regions": [
    {"number": 1, "phrase": "red hat", "boxes": [[0.34, 0.08, 0.55, 0.31]]},
    {"number": 2, "phrase": "old man", "polygons": [
        [[0.36, 0.27], [0.52, 0.27], [0.6, 0.56], [0.66, 0.97], [0.24, 0.97], [0.28, 0.56]]]},
    {"number": 3, "phrase": "brown dog", "locked": True, "strokes": [{"width": 0.2, "erase": False, "points": [
        [0.8, 0.68], [0.84, 0.8], [0.88, 0.82]]}]},
    {"number": 4, "phrase": "mountain lake", "boxes": [[0, 0.03, 1, 0.46]]}]}
WIDE = "() => app.graph.nodes.find((n) => n.type === 'RegionPrompt').setSize([480, 900])"  # all chips in one row
CANVAS = "[data-attention-director=regions]"


def is_blank(picture: Image.Image) -> bool:
    """Bare ground, or a box without text: within its outline hardly any pixel differs from its neighbour."""
    inner = slice(2 * MARGIN, -2 * MARGIN)
    pixels = np.asarray(picture.convert("L"), np.int16)[inner, inner]
    edges = (np.abs(np.diff(pixels, axis=1)) > 24).mean()
    return bool(pixels.std() < 4 or edges < 0.004)


def test_a_blank_picture_is_seen_as_one() -> None:
    ground = Image.new("RGB", (300, 200), (30, 30, 30))
    assert is_blank(ground)
    ground.paste((60, 60, 60), (12, 12, 288, 188))
    assert is_blank(ground), "a node without a word on it"


def canvas_of_four(editor: Editor) -> bytes:
    """The canvas alone, with a region selected by its chip."""
    editor.demo(json.dumps(FOUR))
    editor.set_widget("text", STORY)
    editor.page.evaluate(WIDE)
    editor.rest("RegionPrompt")
    editor.find(".ad-region").filter(has_text="old man").click()
    editor.page.mouse.move(VIEW["width"] // 2, VIEW["height"] - 5)
    editor.rest("RegionPrompt")
    shot = editor.page.locator(CANVAS).first.screenshot(timeout=120_000)
    return small(Image.open(io.BytesIO(shot)).convert("RGB"))


def test_the_canvas_shows_itself(classic: Editor) -> None:
    data = canvas_of_four(classic)
    assert len(data) <= MAX_BYTES and not is_blank(Image.open(io.BytesIO(data)).convert("RGB"))
    if FOLDER:
        (ROOT / FOLDER / "region_canvas.png").write_bytes(data)


@pytest.mark.parametrize("path", SHOWN, ids=lambda path: path.stem)
def test_every_node_shows_itself_in_its_workflow(classic: Editor, path: Path) -> None:
    workflow = opened(path)
    classic.load(workflow)
    types = {node["type"]: node["id"] for node in reversed(workflow["nodes"])}
    if "AttnDirLoadDemoModel" in types:  # others need files that a person brings
        assert classic.queue(LONGEST) == "execution_success"
        if "AttnDirLoadBank" in SHOWN[path]:
            classic.page.evaluate(WAKE)
            assert classic.queue(LONGEST) == "execution_success"
    for kind in SHOWN[path]:
        picture = cut_out(classic, types[kind])
        assert not is_blank(picture), kind
        data = small(picture)
        assert len(data) <= MAX_BYTES, f"{kind}: {len(data)} bytes"
        if FOLDER:
            (ROOT / FOLDER / f"{kind}.png").write_bytes(data)
