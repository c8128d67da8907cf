"""What a workflow's note and titles say is what its wires do."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
from templates import FOLDER, example
from workflow_edit import Workflow, by_id, of_type

PATHS = sorted(FOLDER.glob("*.json"))
RESULTS = ("SaveImage", "PreviewImage")
SIDES = {"upper": (1, 0), "lower": (1, -1), "left": (0, 0), "right": (0, -1)}  # word -> axis of pos, place along it
SIDE = re.compile(rf"\b({'|'.join(SIDES)})\b", re.IGNORECASE)
CLAIM = re.compile(rf"\b({'|'.join(SIDES)}) (?:sampler|one|row)\b([^.,;]*)", re.IGNORECASE)
UNDIRECTED = ("without it", "by words alone")
workflows = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def read(path: Path) -> Workflow:
    return json.loads(path.read_text(encoding="utf-8"))


def before(workflow: Workflow, node: dict[str, Any], kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    """Nodes that feed this one through wires of these types, near and far."""
    found = [by_id(workflow, link[1]) for link in workflow["links"] if link[3] == node["id"] and link[5] in kinds]
    return [*found, *(further for near in found for further in before(workflow, near, kinds))]


def samplers(workflow: Workflow) -> list[dict[str, Any]]:
    return [node for node in workflow["nodes"] if node["type"] in ("KSampler", "SamplerCustomAdvanced")]


def is_directed(workflow: Workflow, sampler: dict[str, Any]) -> bool:
    """Its model went through a node of ours, which has nodes before it: a loader alone directs nothing."""
    behind = before(workflow, sampler, ("MODEL", "GUIDER"))
    passed = [node for node in behind if any(given["type"] == "MODEL" for given in node["inputs"])]
    return any("clip" in names or "predictor" in names or node["type"] == "AttnDirRecord"
               for node in passed for names in [{given["name"] for given in node["inputs"]}])


def untrue(workflow: Workflow) -> list[str]:
    """What the note claims of a sampler's place and is not so, and places that no claim is read from."""
    (note,) = of_type(workflow, "MarkdownNote")
    text, wrong = note["widgets_values"][0], []
    claims = list(CLAIM.finditer(text))
    if len(claims) != len(SIDE.findall(text)):
        wrong.append("a place without \"sampler\", \"one\" or \"row\" behind it")
    for claim in claims:
        axis, place = SIDES[claim[1].lower()]
        ranked = sorted(samplers(workflow), key=lambda node: node["pos"][axis])
        if is_directed(workflow, ranked[place]) == any(words in claim[2] for words in UNDIRECTED):
            wrong.append(claim[0])
    return wrong


@workflows
def test_a_note_says_what_the_wires_do(path: Path) -> None:
    assert not untrue(read(path))


def test_a_note_that_says_the_opposite_is_seen() -> None:
    workflow = read(example("Region Prompt - two boxes"))
    (note,) = of_type(workflow, "MarkdownNote")
    assert len(CLAIM.findall(note["widgets_values"][0])) == 2
    upper, lower = samplers(workflow)
    swapped = copy.deepcopy(workflow)
    for node, pos in zip(samplers(swapped), (lower["pos"], upper["pos"]), strict=True):
        node["pos"] = pos
    assert len(untrue(swapped)) == 2
    note["widgets_values"] = ["On the left you see more."]
    assert len(untrue(workflow)) == 1


@workflows
def test_every_result_has_a_title_and_plain_is_plain(path: Path) -> None:
    workflow = read(path)
    for result in (node for node in workflow["nodes"] if node["type"] in RESULTS):
        assert result.get("title"), f"{result['type']} {result['id']}"
        drawn = [node for node in before(workflow, result, ("IMAGE", "LATENT")) if node in samplers(workflow)]
        if result["title"] in ("Plain", "Directed"):
            assert drawn and is_directed(workflow, drawn[0]) == (result["title"] == "Directed")


@workflows
def test_results_stand_in_the_order_of_their_samplers(path: Path) -> None:
    """Where two rows are compared, the upper picture is the upper sampler's."""
    workflow = read(path)
    saves = sorted(of_type(workflow, "SaveImage"), key=lambda node: node["pos"][1])
    drawn = [[node for node in before(workflow, save, ("IMAGE", "LATENT")) if node in samplers(workflow)][0]
             for save in saves]
    heights = [node["pos"][1] for node in drawn]
    assert heights == sorted(heights)
