"""The converter from saved workflows to prompts, on workflows made by hand."""

from __future__ import annotations

from typing import Any

import pytest
from graph import CannotConvert, missing_files, to_prompt

COMBO = {"options": [{"key": "strong", "inputs": {"required": {}}},
                     {"key": "custom", "inputs": {"required": {"power": ["FLOAT", {"default": 5.0}],
                                                               "on": ["BOOLEAN", {"default": True}]}}}]}


def node_info(**inputs: Any) -> dict[str, Any]:
    optional = inputs.pop("optional", {})
    return {"input": {"required": inputs, "optional": optional}, "display_name": "A node",
            "input_order": {"required": list(inputs), "optional": list(optional)}}


INFO = {
    "Load": node_info(file=[["a.safetensors"], {}]),
    "Prompt": node_info(model=["MODEL", {}], text=["STRING,CONDITIONING", {"widgetType": "STRING", "multiline": True}],
                        preset=["COMFY_DYNAMICCOMBO_V3", COMBO], last=["COMBO", {"options": ["x", "y"]}]),
    "Sample": node_info(model=["MODEL", {}], seed=["INT", {"control_after_generate": True}], steps=["INT", {}],
                        optional={"latent": ["LATENT", {}]}),
    "Pass": node_info(amount=["FLOAT", {}], model=["MODEL", {}]),
}


def node(key: int, kind: str, values: list[Any] | None = None, mode: int = 0, **links: int | None) -> dict[str, Any]:
    return {"id": key, "type": kind, "mode": mode, "widgets_values": values or [], "outputs": [{"type": "MODEL"}],
            "inputs": [{"name": name, "type": "MODEL", "link": link} for name, link in links.items()]}


def convert(nodes: list[dict[str, Any]], links: list[Any]) -> dict[str, dict[str, Any]]:
    return {key: value["inputs"] for key, value in to_prompt({"nodes": nodes, "links": links}, INFO).items()}


def test_values_find_their_names_past_the_seeds_second_widget() -> None:
    found = convert([node(1, "Load", ["a.safetensors"]), node(2, "Sample", [7, "randomize", 20], model=5)],
                    [[5, 1, 0, 2, 0, "MODEL"]])
    assert found == {"1": {"file": "a.safetensors"}, "2": {"seed": 7, "steps": 20, "model": ["1", 0]}}


@pytest.mark.parametrize(("values", "expected"), [
    (["a cat", "strong", "y"], {"text": "a cat", "preset": "strong", "last": "y"}),
    (["a cat", "custom", 2.0, False, "y"],
     {"text": "a cat", "preset": "custom", "preset.power": 2.0, "preset.on": False, "last": "y"}),
    (["a cat", "custom"],
     {"text": "a cat", "preset": "custom", "preset.power": 5.0, "preset.on": True, "last": "x"}),
])
def test_a_dynamic_combo_brings_its_own_values(values: list[Any], expected: dict[str, Any]) -> None:
    assert convert([node(2, "Prompt", values)], []) == {"2": expected}


def test_linked_text_replaces_what_is_typed() -> None:
    found = convert([node(1, "Load", ["a.safetensors"]), node(2, "Prompt", ["old", "strong", "x"], text=5)],
                    [[5, 1, 0, 2, 0, "CONDITIONING"]])
    assert found["2"]["text"] == ["1", 0]


@pytest.mark.parametrize("between", [node(3, "Reroute", a=5), node(3, "Pass", [0.5], mode=4, model=5)])
def test_wires_go_through_reroutes_and_bypassed_nodes(between: dict[str, Any]) -> None:
    found = convert([node(1, "Load", ["a.safetensors"]), between, node(2, "Sample", [7, "fixed", 20], model=6)],
                    [[5, 1, 0, 3, 0, "MODEL"], {"id": 6, "origin_id": 3, "origin_slot": 0}])
    assert set(found) == {"1", "2"} and found["2"]["model"] == ["1", 0]


def test_muted_nodes_and_notes_are_left_out() -> None:
    found = convert([node(1, "Load", ["a.safetensors"], mode=2), node(4, "Note", ["hello"]),
                     node(2, "Sample", [7, "fixed", 20], model=5)], [[5, 1, 0, 2, 0, "MODEL"]])
    assert found == {"2": {"seed": 7, "steps": 20}}


def test_what_it_does_not_know_is_said() -> None:
    with pytest.raises(CannotConvert, match="no node Strange"):
        convert([node(1, "Strange")], [])
    with pytest.raises(CannotConvert, match="subgraphs"):
        to_prompt({"nodes": [], "links": [], "definitions": {"subgraphs": [{}]}}, INFO)


def test_files_a_person_must_bring_are_named() -> None:
    prompt = to_prompt({"nodes": [node(1, "Load", ["mine.safetensors"])], "links": []}, INFO)
    assert missing_files(prompt, INFO) == ["mine.safetensors"]
