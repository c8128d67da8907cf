"""The recording that the README begins with: boxes drawn, words swept, Run, things in their boxes, and where words are.

With ATTENTION_DIRECTOR_RECORDING=docs/regions.webp it is written there; without it the run is short and the frames are
only looked at.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from editor import ROOT, Editor
from PIL import Image, ImageChops, ImageDraw
from templates import example
from workflow_edit import Workflow, connect, of_type, remove

FILE = os.environ.get("ATTENTION_DIRECTOR_RECORDING", "")
MAX_BYTES = 2_000_000
SIZE = {"width": 900, "height": 800}
SCALE, OFFSET = 0.8, (85, 140)
MOVE_MS, HOLD_MS, REST_MS = 60, 900, 2600
STEPS = 9  # of a movement
LONGEST = 900  # seconds a run may take on a busy machine
BOXES = {"red balloon": (0.6, 0.08, 0.9, 0.5), "fox": (0.1, 0.45, 0.5, 0.85)}
POINTER = ((0, 0), (0, 19), (4.5, 15), (8, 23), (11.5, 21.5), (8, 14), (14, 14))
VIEW = """([scale, at]) => { const view = app.canvas.ds; view.scale = scale; view.offset = at;
    app.canvas.deselectAll?.(); app.canvas.setDirty(true, true); }"""
SETTINGS = {"Comfy.Minimap.Visible": False, "Comfy.NodeBadge.NodeSourceBadgeMode": "None"}
SET = "([name, value]) => app.extensionManager.setting.set(name, value)"
GET = "(name) => app.extensionManager.setting.get(name)"
READOUT = "[data-attention-director=readout]"


def scene(canvas: str = "") -> Workflow:
    """Region Prompt with this drawing beside Attention Readout; all that is between them is out of sight."""
    workflow = json.loads(example("Attention Readout - heat maps").read_text(encoding="utf-8"))
    regions = json.loads(example("Region Prompt - two boxes").read_text(encoding="utf-8"))
    (region,), (encode,), (loader,), (record,), (sampler,), (readout,), (note,) = (
        *([of_type(regions, "RegionPrompt")]),
        *(of_type(workflow, kind) for kind in ("AttnDirEncode", "AttnDirLoadDemoModel", "AttnDirRecord", "KSampler",
                                               "AttnDirReadout", "MarkdownNote")))
    for slot in (*region["inputs"], *region["outputs"]):
        slot |= {"link": None} if "link" in slot else {"links": None}
    for gone in (encode, note):
        remove(workflow, gone["id"])
    for node in workflow["nodes"]:
        node["pos"] = [node["pos"][0], node["pos"][1] + 3000]
    region |= {"id": 50, "pos": [0, 0], "size": [440, 800]}
    region["widgets_values"][1] = canvas
    workflow["nodes"].append(region)
    for source, slot, target, name in ((loader["id"], 0, 50, "model"), (loader["id"], 1, 50, "clip"),
                                       (50, 0, record["id"], "model"), (50, 1, record["id"], "positive"),
                                       (50, 1, sampler["id"], "positive")):
        connect(workflow, source, slot, target, name)
    (save,), (decode,) = of_type(workflow, "SaveImage"), of_type(workflow, "VAEDecode")
    connect(workflow, decode["id"], 0, save["id"], "images")
    record["widgets_values"][0] = "\n".join(BOXES)
    readout |= {"pos": [500, 0], "size": [420, 660]}
    if not FILE:
        sampler["widgets_values"][2] = 2
    return workflow


@dataclass
class Camera:
    """What a person at the page would see; the pointer, which no screenshot has, is drawn in."""

    editor: Editor
    at: tuple[float, float] = (SIZE["width"] / 2, SIZE["height"] - 60.0)
    frames: list[Image.Image] = field(default_factory=list)
    times: list[int] = field(default_factory=list)

    def shoot(self, milliseconds: int) -> None:
        self.editor.frame()
        shot = Image.open(io.BytesIO(self.editor.page.screenshot(timeout=120_000))).convert("RGB")
        x, y = self.at
        ImageDraw.Draw(shot).polygon([(x + dx, y + dy) for dx, dy in POINTER], fill="white", outline="black")
        self.frames.append(shot)
        self.times.append(milliseconds)

    def go(self, x: float, y: float) -> None:
        """The pointer on its way, every step a frame."""
        from_x, from_y = self.at
        for step in range(1, STEPS + 1):
            self.at = (from_x + (x - from_x) * step / STEPS, from_y + (y - from_y) * step / STEPS)
            self.editor.page.mouse.move(*self.at)
            self.shoot(MOVE_MS)

    def press(self, *way: tuple[float, float]) -> None:
        """A drag from the first place over the others; of one place alone, a click."""
        self.go(*way[0])
        self.editor.page.mouse.down()
        for place in way[1:]:
            self.go(*place)
        self.editor.page.mouse.up()
        self.shoot(HOLD_MS // 2)

    def saved(self) -> bytes:
        out = io.BytesIO()
        self.frames[0].save(out, "WEBP", save_all=True, append_images=self.frames[1:], duration=self.times, loop=0,
                            quality=72, method=6, minimize_size=True)
        return out.getvalue()


@pytest.fixture
def camera(editor: Editor) -> Iterator[Camera]:
    """Nodes 2.0 in a window of the recording's size, without what does not belong in the picture."""
    editor.use_vue(True)
    before, size = {name: editor.page.evaluate(GET, name) for name in SETTINGS}, editor.page.viewport_size
    for name, value in SETTINGS.items():
        editor.page.evaluate(SET, [name, value])
    editor.page.set_viewport_size(SIZE)
    yield Camera(editor)
    editor.page.set_viewport_size(size)
    for name, value in before.items():
        editor.page.evaluate(SET, [name, value])


def middle(locator: Any) -> tuple[float, float]:
    box = locator.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def draw(camera: Camera, phrase: str, box: tuple[float, float, float, float]) -> None:
    """A box, and its words swept."""
    pad = camera.editor.pad.bounding_box()
    camera.press(*((pad["x"] + pad["width"] * x, pad["y"] + pad["height"] * y) for x, y in (box[:2], box[2:])))
    words = [middle(camera.editor.find(".ad-word").get_by_text(word, exact=True).first) for word in phrase.split()]
    camera.press(*words)


def test_a_thing_is_drawn_run_and_looked_at(camera: Camera) -> None:
    editor = camera.editor
    editor.load(scene())
    editor.page.evaluate(VIEW, [SCALE, OFFSET])
    editor.rest("RegionPrompt")
    camera.shoot(HOLD_MS)  # nothing is drawn yet
    for phrase, box in BOXES.items():
        draw(camera, phrase, box)
    assert [(region["phrase"], region["boxes"]) for region in editor.regions()[::-1]] == [
        (phrase, [pytest.approx(box, abs=0.04)]) for phrase, box in BOXES.items()]
    camera.go(*middle(editor.page.get_by_role("button", name="Run").first))
    assert editor.queue(LONGEST) == "execution_success"
    editor.page.wait_for_selector(f"{READOUT} .ad-item", timeout=10_000)
    editor.rest("RegionPrompt")
    camera.go(SIZE["width"] / 2, SIZE["height"] - 150)
    camera.shoot(REST_MS)
    bare = camera.frames[-1]
    for phrase in BOXES:
        camera.go(*middle(editor.page.locator(f"{READOUT} .ad-item").filter(has_text=phrase).first))
        camera.shoot(REST_MS)
        assert ImageChops.difference(bare, camera.frames[-1]).getbbox(), "the word's map is seen"
    data = camera.saved()
    assert len(data) <= MAX_BYTES
    if FILE:
        (ROOT / FILE).write_bytes(data)
