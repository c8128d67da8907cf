"""The graph editor as a test drives it: by mouse and keys where a person would, by its graph where none looks."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from templates import example

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]
if hasattr(os, "geteuid") and os.geteuid() == 0:
    ARGUMENTS.append("--no-sandbox")  # Chromium refuses its sandbox to root
READY = """() => window.LiteGraph?.registered_node_types?.RegionPrompt
    && window.app?.extensionManager?.workflow?.activeWorkflow?.changeTracker && app.graph.nodes.length"""
STYLED = "() => [...document.styleSheets].some((sheet) => sheet.href?.endsWith('/editor.css'))"
FIND = "const node = app.graph.nodes.find((n) => n.type === 'RegionPrompt');"
PROMPT = "a red circle and a blue square on a white background"
PAD = "[data-attention-director=regions]"
TWO = json.dumps({"version": 1, "regions": [{"phrase": "red circle", "strength": 1, "boxes": [[0.1, 0.1, 0.4, 0.4]]},
                                            {"phrase": "blue square", "strength": 1, "boxes": [[0.5, 0.5, 0.9, 0.9]]}]})
TRACKER = "app.extensionManager.workflow.activeWorkflow.changeTracker"
STEPS = f"(({{ undoQueue, redoQueue }}) => `${{undoQueue.length}} ${{redoQueue.length}}`)({TRACKER})"
# Nodes 2.0 has an element for each node, the classic renderer none.
DRAWN = """(vue) => { const count = document.querySelectorAll("[data-node-id]").length;
    return vue ? count >= app.graph.nodes.length : count === 0; }"""
# The page comes to rest: places and sizes of nodes and of our editors stay as they are for some frames in a row. Our
# elements on the page are then those of the graph's own nodes, and those of the first node of a type are seen.
REST = """async (type) => {
    const place = ({ x, y, width, height }) => [x, y, width, height];
    const shown = (more) => [...document.querySelectorAll(`[data-attention-director]${more}`)];
    const places = () => JSON.stringify([app.graph.nodes.map((n) => [...n.pos, ...n.size]), app.canvas.ds.scale,
        [...app.canvas.ds.offset], shown(", [data-node-id]").map((e) => place(e.getBoundingClientRect()))]);
    const of = (n) => (n?.widgets ?? []).map((w) => w.element).filter((e) => e?.dataset.attentionDirector);
    const seen = () => {
        const own = new Set(app.graph.nodes.flatMap(of));
        return shown("").every((e) => own.has(e))
            && of(app.graph.nodes.find((n) => n.type === type)).every((e) => e.isConnected && e.offsetHeight > 0);
    };
    for (let [before, same, frame] = ["", 0, 0]; same < 6; frame++) {
        if (frame > 2000) throw new Error("the page does not come to rest");
        await new Promise((done) => requestAnimationFrame(done));
        const now = places();
        same = now === before && seen() ? same + 1 : 0;
        before = now;
    }
}"""
FRAME = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
Box = tuple[float, float, float, float]


@dataclass
class Editor:
    page: Any
    errors: list[str] = field(default_factory=list)
    seed: int = 0
    vue: bool = False

    @classmethod
    def open(cls, page: Any, address: str) -> Editor:
        editor = cls(page)
        page.on("pageerror", lambda error: editor.errors.append(str(error)))
        page.goto(address)
        page.wait_for_function(READY, timeout=120_000)
        page.wait_for_function(STYLED)
        editor.rest()  # the default graph is still being put in place
        return editor

    def use_vue(self, on: bool) -> None:
        self.errors.clear()
        self.page.evaluate("async (on) => app.extensionManager.setting.set('Comfy.VueNodes.Enabled', on)", on)
        self.page.wait_for_function(DRAWN, arg=on)
        self.vue = on
        self.rest()

    def rest(self, kind: str = "") -> None:
        """Until the page shows what it was told, and our editor of the first node of a kind."""
        self.page.evaluate(REST, kind)

    def frame(self) -> None:
        """Until what an event has changed is painted."""
        self.page.evaluate(FRAME)

    def load(self, workflow: Any) -> None:
        """Load a workflow (a path or its JSON) and bring the RegionPrompt, if any, into view."""
        graph = json.loads(workflow.read_text(encoding="utf-8")) if isinstance(workflow, Path) else workflow
        self.page.evaluate("(graph) => app.loadGraphData(graph)", graph)
        self.page.wait_for_function(DRAWN, arg=self.vue)
        self.page.evaluate(f"""() => {{ {FIND} const view = app.canvas.ds; view.scale = 1;
            if (node) view.offset = [250 - node.pos[0], 100 - node.pos[1]]; app.canvas.setDirty(true, true); }}""")
        self.rest("RegionPrompt")
        # Nodes 2.0 gives nodes other sizes than the file; else the first undo would take those back.
        self.capture()
        self.rest("RegionPrompt")

    def capture(self) -> None:
        """What the page does at every mouse-up and key-up: a change that is found counts as an edit."""
        self.page.evaluate(f"() => {TRACKER}.captureCanvasState()")

    def steps(self) -> str:
        """How many steps of undo and of redo there are."""
        return self.page.evaluate(f"() => {STEPS}")

    def travel(self, keys: str, focus: str = "") -> None:
        """Undo or redo by these keys; until the graph is in place and the focus, where a place is named, is there."""
        before = self.steps()
        self.page.keyboard.press(keys)
        self.page.wait_for_function(f"(before) => !{TRACKER}._restoringState && {STEPS} !== before", arg=before)
        if focus:
            self.page.wait_for_function("(place) => document.activeElement.closest(place)", arg=focus)
        self.rest()

    def slow_down(self, times: float) -> None:
        """The page's processor as if it were so many times slower; 1 as it is."""
        self.page.context.new_cdp_session(self.page).send("Emulation.setCPUThrottlingRate", {"rate": times})

    def demo(self, canvas: str = "", steps: int = 2, seed: int = 0) -> None:
        """The small UNet's example with this drawing and so few steps; without a seed never from the host's cache."""
        self.seed += 1
        path = example("Region Prompt - on a UNet")
        graph = json.loads(path.read_text(encoding="utf-8"))
        for node in graph["nodes"]:
            values = node.get("widgets_values")
            if node["type"] == "RegionPrompt":
                values[0], values[1] = PROMPT, canvas
            if node["type"] == "KSampler":
                values[0], values[2] = seed or 1000 + self.seed, steps
        self.load(graph)

    @property
    def pad(self) -> Any:
        return self.page.locator(f"{PAD} canvas").first

    def find(self, selector: str) -> Any:
        return self.page.locator(f"{PAD} {selector}")

    def drag(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """On the pad, in shares of its canvas."""
        box = self.pad.bounding_box()
        place = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in ((x0, y0), (x1, y1))]
        self.page.mouse.move(*place[0])
        self.page.mouse.down()
        self.page.mouse.move(*place[1], steps=6)
        self.page.mouse.up()
        self.frame()

    def drag_words(self, first: str, last: str) -> None:
        """From one word of the prompt strip to another."""
        places = [self.find(".ad-word").get_by_text(word, exact=True).first.bounding_box() for word in (first, last)]
        x, y = (places[0]["x"] + 3, places[0]["y"] + places[0]["height"] / 2)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(places[1]["x"] + places[1]["width"] - 3, places[1]["y"] + places[1]["height"] / 2, steps=4)
        self.page.mouse.up()
        self.frame()

    def widget(self, name: str) -> Any:
        return self.page.evaluate(f"(name) => {{ {FIND} return node.widgets.find((w) => w.name === name).value; }}",
                                  name)

    def set_widget(self, name: str, value: Any) -> None:
        self.page.evaluate(f"""([name, value]) => {{ {FIND} const w = node.widgets.find((w) => w.name === name);
            w.value = value; w.callback?.(value); }}""", [name, value])
        self.frame()

    def type_over(self, gone: str, come: str) -> None:
        """In the prompt's text box: select some of its text, and type in its place."""
        self.page.evaluate("""(gone) => {
            const boxes = [...document.querySelectorAll("textarea")];
            const box = boxes.find((e) => e.offsetHeight && e.value.includes(gone));
            box.focus();
            const at = box.value.indexOf(gone);
            box.setSelectionRange(at, at + gone.length);
        }""", gone)
        self.page.keyboard.type(come)
        self.frame()

    def status(self, words: str) -> str:
        """The line at the foot of a node, once it has these words."""
        line = self.page.locator("[data-attention-director=status]").filter(has_text=words)
        line.wait_for(timeout=10_000)
        return line.inner_text()

    def regions(self) -> list[dict[str, Any]]:
        value = self.widget("canvas")
        return json.loads(value)["regions"] if value else []

    def saved(self) -> Any:
        """The workflow as it would be saved."""
        return self.page.evaluate("() => app.graph.serialize()")

    def api_prompt(self) -> dict[str, Any]:
        """Inputs of the RegionPrompt as they are sent to the server."""
        output = self.page.evaluate("async () => (await app.graphToPrompt()).output")
        return next(node["inputs"] for node in output.values() if node["class_type"] == "RegionPrompt")

    def queue(self, seconds: int = 120) -> str:
        """Run what is in the editor; returns the event that ended it."""
        self._listen(seconds)
        self.page.evaluate("() => app.queuePrompt(0, 1)")
        return self.page.evaluate("() => window.attentionDirectorDone")

    def queue_by(self, keys: str, seconds: int = 120) -> str:
        """As ``queue``, by a press of these keys where the focus is."""
        self._listen(seconds)
        self.page.keyboard.press(keys)
        return self.page.evaluate("() => window.attentionDirectorDone")

    def _listen(self, seconds: int) -> None:
        self.page.evaluate("""(seconds) => { window.attentionDirectorDone = new Promise((resolve) => {
            for (const name of ["execution_success", "execution_error", "execution_interrupted"])
                app.api.addEventListener(name, () => resolve(name), { once: true });
            setTimeout(() => resolve("timeout"), seconds * 1000);
        }); }""", seconds)
