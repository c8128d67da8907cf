"""The workflows for checkpoints of one's own: their wiring, on tiny random models of the same family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from attention_director.bridge.demo_model import load_demo_model
from attention_director.nodes import NODES
from client import Graph, Server
from graph import to_prompt

WORKFLOWS = Path(__file__).resolve().parents[2] / "workflows"
TWINS = {"04 Region Prompt - SD1.5 checkpoint": "sd15", "05 Region Prompt - SDXL checkpoint": "sdxl"}
EDITS = {"11 Attention Edit - SD1.5 checkpoint": "sd15", "12 Attention Edit - SDXL checkpoint": "sdxl"}
OURS = {node.GET_SCHEMA().node_id: node for node in NODES}


class Bench:
    """Runs a graph node by node in this process, with stand-ins for what a checkpoint would bring."""

    def __init__(self, graph: Graph, family: str) -> None:
        self.graph, self.family = graph, family
        self.results: dict[str, tuple[Any, ...]] = {}
        self.pictures: dict[str, torch.Tensor] = {}

    def value(self, given: Any) -> Any:
        """An input: the output it is linked to, or itself."""
        return self.outputs(given[0])[given[1]] if isinstance(given, list) else given

    def outputs(self, node_id: str) -> tuple[Any, ...]:
        if node_id not in self.results:
            node = self.graph[node_id]
            inputs = {name: self.value(given) for name, given in node["inputs"].items()}
            self.results[node_id] = self.run(node_id, node["class_type"], inputs)
        return self.results[node_id]

    def run(self, node_id: str, kind: str, inputs: dict[str, Any]) -> tuple[Any, ...]:
        import nodes as host

        if kind == "CheckpointLoaderSimple":
            return tiny.model(self.family), tiny.clip(self.family), load_demo_model()[2]
        if kind == "EmptyLatentImage":
            return ({"samples": torch.zeros(inputs["batch_size"], 4, 16, 16)},)
        if kind == "SaveImage":
            self.pictures[node_id] = inputs["images"]
            return ()
        if kind in OURS:
            return OURS[kind].execute(**inputs).args
        inputs |= {"steps": 2} if kind == "KSampler" else {}
        made = host.NODE_CLASS_MAPPINGS[kind]
        return getattr(made(), made.FUNCTION)(**inputs)


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_is_wired_like_its_demo(server: Server, name: str) -> None:
    workflow = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    bench = Bench(to_prompt(workflow, server.object_info()), TWINS[name])
    saves = [key for key, node in bench.graph.items() if node["class_type"] == "SaveImage"]
    with torch.inference_mode():
        for key in saves:
            bench.outputs(key)
    directed, plain = (bench.pictures[key] for key in sorted(saves, key=int))
    assert directed.shape == plain.shape == (1, 128, 128, 3)
    assert directed.isfinite().all() and not torch.equal(directed, plain)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_twin_draws_source_and_target(server: Server, name: str) -> None:
    workflow = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    bench = Bench(to_prompt(workflow, server.object_info()), EDITS[name])
    (save,) = (key for key, node in bench.graph.items() if node["class_type"] == "SaveImage")
    with torch.inference_mode():
        bench.outputs(save)
    source, target = bench.pictures[save]
    assert source.shape == target.shape == (128, 128, 3)
    assert source.isfinite().all() and target.isfinite().all() and not torch.equal(source, target)
