"""The committed starters are what the lab derives from the demos, so they cannot go stale."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from templates import FOLDER, METHODS, example, examples, numbered, split
from variant_words import ADVICE, WORDS
from variants import CONTROLLED, FAMILIES, LOADER, STARTERS, families_of, text_of, variants

AGAIN = "stale: python3 lab/run.py variants writes the starters again"
CARDS = 45  # the most in the editor's list of templates
TWINS = {name: (workflow, thumbnail, words) for name, workflow, thumbnail, words in variants()}


def committed(name: str) -> str:
    return (FOLDER / f"{name}.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_is_what_is_derived(name: str) -> None:
    assert committed(name) == text_of(TWINS[name][0]), AGAIN


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_carries_its_demos_picture_with_a_mark(name: str) -> None:
    """Compared as pixels: encoders of other versions write other bytes."""
    from variant_pictures import mark

    _, thumbnail, words = TWINS[name]
    derived, found = (np.asarray(Image.open(source), np.float32)
                      for source in (io.BytesIO(mark(thumbnail, words)), FOLDER / f"{name}.jpg"))
    demo = np.asarray(Image.open(thumbnail).convert("RGB"), np.float32)
    assert derived.shape == found.shape == demo.shape
    assert np.abs(derived - found).mean() < 2, AGAIN
    height, width = demo.shape[:2]
    middle = np.s_[round(0.8 * height):round(0.88 * height), width // 2 - 20:width // 2 + 20]
    assert np.abs(found - demo)[middle].mean() > 30, "the mark is seen"
    assert np.abs(found - demo)[round(0.9 * height):].mean() < 4, "and no card cuts it off"
    assert np.abs(found - demo)[:height // 2, :width // 2].mean() < 4, "the rest is the demo's"


def test_every_starter_is_there_and_every_other_workflow_is_a_demo() -> None:
    expected = {f"{family.label} - {starter}" for starter in (*STARTERS.values(), CONTROLLED.starter)
                for family in families_of(starter)}
    texts = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}
    assert {stem for stem, text in texts.items() if LOADER in text} == expected
    assert {stem for stem, text in texts.items() if "AttnDirLoadDemoModel" in text} == set(texts) - set(TWINS)
    assert set(texts) == {path.stem for path in FOLDER.glob("*.jpg")}


def test_the_list_of_templates_stays_short() -> None:
    assert len(list(FOLDER.glob("*.json"))) <= CARDS


def test_examples_are_numbered_by_method_without_gaps() -> None:
    stems = [path.stem for path in examples()]
    assert numbered(stems) == {stem: stem for stem in stems}, AGAIN
    assert {split(stem)[1].partition(" - ")[0] for stem in stems} == set(METHODS), "each method has one"


def test_a_new_example_takes_its_place_and_the_others_move_on() -> None:
    assert numbered(["01 Region Prompt - a", "2 Sketch Guidance - b", "99 Region Prompt - c"]) == {
        "01 Region Prompt - a": "01 Region Prompt - a", "99 Region Prompt - c": "02 Region Prompt - c",
        "2 Sketch Guidance - b": "03 Sketch Guidance - b"}
    with pytest.raises(ValueError, match="Nobody's"):
        numbered(["01 Nobody's Method - a"])


def test_no_word_to_replace_has_left_the_demos() -> None:
    texts = {starter: "\0".join(value for node in json.loads(example(name).read_text(encoding="utf-8"))["nodes"]
                                for value in node.get("widgets_values") or () if isinstance(value, str))
             for name, starter in (*STARTERS.items(), (CONTROLLED.example, CONTROLLED.starter))}
    assert set(WORDS) | set(ADVICE) <= set(texts)
    words = {word for replaced in WORDS.values() for word in replaced}
    unused = {word for word in words if not any(word in texts[key] for key in WORDS if word in WORDS[key])}
    assert not unused


def wires(workflow: dict[str, Any]) -> None:
    """A wire is told in three places; they agree, and types fit."""
    nodes = {node["id"]: node for node in workflow["nodes"]}
    assert len(nodes) == len(workflow["nodes"])
    for number, source, slot, target, index, kind in workflow["links"]:
        output, given = nodes[source]["outputs"][slot], nodes[target]["inputs"][index]
        assert number in output["links"] and given["link"] == number
        assert output["type"] in (kind, "*") and kind in given["type"].split(",")
    numbers = {link[0] for link in workflow["links"]}
    assert len(numbers) == len(workflow["links"]) and max(numbers) <= workflow["last_link_id"]
    ends = [link for node in nodes.values() for slot in (*node["inputs"], *node["outputs"])
            for link in (slot.get("links") or [slot.get("link")]) if link is not None]
    assert set(ends) == numbers and len(ends) == 2 * len(numbers)


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_is_sound(name: str) -> None:
    workflow = json.loads(committed(name))
    wires(workflow)
    text = committed(name)
    assert not any(word in text for word in ("AttnDirLoadDemoModel", "demo_edges", "demo_depth"))
    (note,) = (node for node in workflow["nodes"] if node["type"] == "MarkdownNote")
    said = note["widgets_values"][0]
    assert "Wiring checked on tiny random models; not yet verified on real weights." in said
    assert "Load Demo Model" not in said and "here for 20 steps" not in said
    side = 1024 if name.startswith("SDXL") else 512
    for node in workflow["nodes"]:
        if node["type"] == "EmptyLatentImage":
            width, height, _ = node["widgets_values"]
            assert width % 64 == height % 64 == 0 and 0.5 * side ** 2 <= width * height <= 1.5 * side ** 2


@pytest.mark.parametrize("name", TWINS)
def test_no_node_stands_on_another(name: str) -> None:
    """By the file's sizes; the browser tests look again in both renderers."""
    nodes = json.loads(committed(name))["nodes"]
    boxes = [(n["pos"][0], n["pos"][1] - 30, n["pos"][0] + n["size"][0], n["pos"][1] + n["size"][1]) for n in nodes]
    meeting = [(a["type"], b["type"]) for i, (a, (x0, y0, x1, y1)) in enumerate(zip(nodes, boxes, strict=True))
               for b, (u0, v0, u1, v1) in list(zip(nodes, boxes, strict=True))[i + 1:]
               if x0 < u1 and u0 < x1 and y0 < v1 and v0 < y1]
    assert not meeting


def test_the_demo_is_not_changed_by_deriving() -> None:
    from variants import derive

    for name, starter in STARTERS.items():
        demo = json.loads(example(name).read_text(encoding="utf-8"))
        derive(starter, demo, FAMILIES[0])
        assert demo == json.loads(example(name).read_text(encoding="utf-8"))


def test_a_file_of_a_twin_has_a_name_of_its_own() -> None:
    """Banks, predictors and pictures of a variant do not fall among its demo's."""
    def names(workflow: dict[str, Any]) -> set[str]:
        return {value for node in workflow["nodes"] for value in node.get("widgets_values") or ()
                if isinstance(value, str) and "/" in value and " " not in value}

    seen: dict[str, str] = {}
    for path in sorted(Path(FOLDER).glob("*.json")):
        for name in names(json.loads(path.read_text(encoding="utf-8"))):
            assert seen.setdefault(name, path.stem) == path.stem, (name, path.stem, seen[name])
