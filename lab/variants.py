"""Starters: example workflows for a model of one's own, one a family and method, named by the family first.

`python3 lab/run.py variants` numbers the examples and writes the starters again; those for transformers are in
starters.py. Those for SDXL and Stable Diffusion 1.5 are derived here from an example: same wires, with Load Checkpoint
in place of the demo model, sizes and sampling that suit the family, and other words. A test compares the committed
files with what is derived.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starters import starters
from templates import FOLDER, example, renumber
from variant_control import CONTROLLED, with_control_net
from variant_pictures import mark
from variant_words import ADVICE, CHECKED, WORDS
from workflow_edit import Node, Workflow, add, connect, field, of_type, remove, socket, targets

LOADER = "CheckpointLoaderSimple"
CHECKPOINT = "your-checkpoint.safetensors"
DEMO_SIDES = {"UNet": 128, "transformer": 256}  # pixels of a demo model's square picture
# The examples that starters are made from, and what a starter's name says behind its family: one a method, and those
# that make a file another one needs. The editor lists every workflow as a card, so few are better.
TWO_BOXES = "Region Prompt - two boxes"
STARTERS = {TWO_BOXES: "Region Prompt",
            "Attention Edit - swap a word": "Attention Edit",
            "Attention Edit - a real picture": "Attention Edit of a real picture",
            "Attention Readout - heat maps": "Attention Readout",
            "Shared Subject - a story of four scenes": "Shared Subject",
            "Shared Subject - the hero in a new scene": "Shared Subject in a new scene",
            "Sketch Guidance - follow a drawing": "Sketch Guidance",
            "Sketch Guidance - train a predictor": "Train Guidance Predictor",
            "Identity Inject - one subject": "Identity Inject"}
# Widgets in pixels of the drawn picture: node type -> places in widgets_values.
PIXELS = {"EmptyLatentImage": (0, 1), "RegionPrompt": (2, 3), "AttnDirSketch": (1, 2, 3)}

# Where the demo departs from the paper for its small model: node type -> {place: (the demo's, the paper's)}.
# Here variety, where sharing begins, and injection's window; an identity's strength.
PUBLISHED = {"SharedSubjectAttention": {8: (0.0, 0.5), 9: (0.5, 0), 11: (0.3, 0.1), 12: (0.9, 0.32)},
             "IdentityInject": {1: (0.8, 1)}}


@dataclass(frozen=True)
class Family:
    """side: pixels of a square picture."""

    key: str
    label: str
    article: str
    side: int
    cfg: float
    steps: int


SD15 = Family("sd15", "SD1.5", "a Stable Diffusion 1.5", 512, 7.0, 25)
SDXL = Family("sdxl", "SDXL", "an SDXL", 1024, 6.0, 30)
FAMILIES = (SD15, SDXL)
# Starters that are not for SDXL alone; adapters for identities exist for Stable Diffusion 1.5 only.
FAMILIES_OF = {"Region Prompt": FAMILIES, "Identity Inject": (SD15,)}
ALSO_SD15 = " With one for Stable Diffusion 1.5, set every *width* and *height* to 512."


def families_of(starter: str) -> tuple[Family, ...]:
    return FAMILIES_OF.get(starter, (SDXL,))


def derive(starter: str, demo: Workflow, family: Family) -> Workflow:
    """The starter of this name; the demo is not changed."""
    workflow = copy.deepcopy(demo)
    (loader,) = of_type(workflow, "AttnDirLoadDemoModel")
    larger = family.side // DEMO_SIDES[(loader.get("widgets_values") or ["UNet"])[0]]
    swap_loader(loader)
    if of_type(workflow, "AttnDirTrainPredictor"):
        train_on_a_folder(workflow)
    enlarge_examples(workflow, family)
    for node in workflow["nodes"]:
        if node.get("widgets_values") and node["type"] != "AttnDirExampleImage":  # its value names a file
            fit(node, family, larger)
            node["widgets_values"] = [own_files(reworded(value, WORDS.get(starter, {})), starter, family)
                                      for value in node["widgets_values"]]
    advice = ADVICE.get(starter, "").format(family=family.label)
    if SD15 not in families_of(starter):
        advice = ALSO_SD15 + advice
    for note in of_type(workflow, "MarkdownNote"):
        note["widgets_values"] = [note_of(family, advice, note["widgets_values"][0])]
    return workflow


def swap_loader(node: Node) -> None:
    """Load Checkpoint; its outputs stand in the demo model's order, so the wires stay."""
    node |= {"type": LOADER, "size": [270, 98], "inputs": [field("ckpt_name")], "widgets_values": [CHECKPOINT],
             "properties": {"Node name for S&R": LOADER}}


def fit(node: Node, family: Family, larger: int) -> None:
    """Sizes and sampling of one node. larger: how many times the demo's side is that of the family's pictures."""
    values = node["widgets_values"]
    for place in PIXELS.get(node["type"], ()):
        values[place] *= larger
    for place, (ours, papers) in PUBLISHED.get(node["type"], {}).items():
        values[place] = papers if values[place] == ours else values[place]
    if node["type"] == "KSampler":
        values[2], values[3] = family.steps, family.cfg
        values[4:6] = ["dpmpp_2m", "karras"] if values[4] == "euler" else values[4:6]
    if node["type"] == "CLIPTextEncode":
        values[0] = values[0] or "blurry"
    if node["type"] == "AttnDirInversion":
        values[2] = family.steps


def reworded(value: Any, words: dict[str, str]) -> Any:
    """A text with its words replaced, longest first and each once; other values as they are."""
    if not isinstance(value, str) or not words:
        return value
    longest = sorted(words, key=len, reverse=True)
    return re.sub("|".join(map(re.escape, longest)), lambda found: words[found.group()], value)


def own_files(value: Any, starter: str, family: Family) -> Any:
    """File names a variant must not share with its demo: saved pictures, banks, predictors and adapters."""
    if not isinstance(value, str):
        return value
    name = f"{family.key}-{starter.lower().replace(' ', '-')}"
    value = re.sub(r"^attention_director/\d\d", f"attention_director/{name}", value)
    value = value.replace("subject_banks/hero", f"subject_banks/hero_{family.key}")
    value = value.replace("guidance_predictors/mine", f"guidance_predictors/mine_{family.key}")
    value = value.replace("demo_edges.safetensors", f"mine_{family.key}_00001_.safetensors")
    value = value.replace("demo_identity.safetensors", "pytorch_model.bin")
    return re.sub(r"^hero_(\d)", rf"hero_{family.key}_\1", value)


def enlarge_examples(workflow: Workflow, family: Family) -> None:
    """An example picture has the demo's size; a checkpoint wants its own."""
    for picture in of_type(workflow, "AttnDirExampleImage"):
        fed = targets(workflow, picture["id"], 0)
        number = max(node["id"] for node in workflow["nodes"] if node["type"] != "MarkdownNote") + 1
        add(workflow, number, "ImageScale", (picture["pos"][0], picture["pos"][1] + 242), (270, 130),
            [socket("image", "IMAGE"), field("upscale_method"), field("width", "INT"), field("height", "INT"),
             field("crop")], [("IMAGE", "IMAGE")], ["lanczos", family.side, family.side, "center"])
        for node, name in fed:
            connect(workflow, number, 0, node, name)
        connect(workflow, picture["id"], 0, number, "image")


def train_on_a_folder(workflow: Workflow) -> None:
    """Training starts anew, on the pictures and texts of a folder."""
    (trainer,), (example,) = (of_type(workflow, kind) for kind in ("AttnDirTrainPredictor", "AttnDirExampleImage"))
    for loader in of_type(workflow, "AttnDirLoadPredictor"):
        remove(workflow, loader["id"])
    remove(workflow, example["id"])
    add(workflow, example["id"], "LoadImageTextDataSetFromFolder", example["pos"], (300, 102), [field("folder")],
        [("images", "IMAGE"), ("texts", "STRING")], ["your-pictures"])
    connect(workflow, example["id"], 0, trainer["id"], "images")
    connect(workflow, example["id"], 1, trainer["id"], "texts")
    trainer["widgets_values"][:2] = ["", 3000]


def note_of(family: Family, advice: str, said: str) -> str:
    """What holds for the variant comes first, for notes scroll."""
    return (f"For {family.article} checkpoint of yours: choose it in Load Checkpoint.{advice}\n\n"
            f"{CHECKED}\n\n{said}")


def variants() -> Iterator[tuple[str, Workflow, Path, str]]:
    """(name, workflow, the demo's thumbnail, mark on it) of every starter."""
    for name, starter in STARTERS.items():
        path = example(name)
        demo = json.loads(path.read_text(encoding="utf-8"))
        sources = [(starter, demo, "")]
        if name == CONTROLLED.example:
            sources.append((CONTROLLED.starter, with_control_net(demo), " + ControlNet"))
        for made, source, more in sources:
            for family in families_of(made):
                yield (f"{family.label} - {made}", derive(made, source, family), path.with_suffix(".jpg"),
                       family.label + more)
    yield from starters()


def text_of(workflow: Workflow) -> str:
    return json.dumps(workflow, indent=1) + "\n"


def main() -> None:
    renumber()
    kept = set()
    for name, workflow, thumbnail, words in variants():
        (FOLDER / f"{name}.json").write_text(text_of(workflow), encoding="utf-8")
        (FOLDER / f"{name}.jpg").write_bytes(mark(thumbnail, words))
        kept.add(name)
        print(name)
    families = {name.partition(" - ")[0] for name in kept}
    for path in FOLDER.iterdir():
        if path.stem.partition(" - ")[0] in families and path.stem not in kept:
            path.unlink()  # a starter that was renamed or is gone
            print(f"removed {path.name}")


if __name__ == "__main__":
    main()
