"""Runs a graph node by node in this process, with stand-ins for what files of a person would bring."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tiny
import torch
from attention_director.bridge.demo.model import load_demo_model
from attention_director.bridge.identity.adapter import load_adapter
from attention_director.nodes import NODES
from client import Graph
from identity_files import published, save

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bridge"))
from sketch_scene import predictor  # noqa: E402

# Takes a node's type and its inputs; gives its outputs, or None where the node itself shall run.
StandIn = Callable[[str, dict[str, Any]], tuple[Any, ...] | None]
# Where the host keeps nodes that its own `nodes` does not import.
EXTRAS = ("custom_sampler", "flux", "sd3", "cond", "model_advanced")
OURS = {node.GET_SCHEMA().node_id: node for node in NODES}
# Short runs of small pictures: input name -> value, whatever the workflow says.
SHORT: dict[str, dict[str, Any]] = {
    "KSampler": {"steps": 4}, "BasicScheduler": {"steps": 4},
    "Flux2Scheduler": {"steps": 4, "width": 128, "height": 128},
    "EmptySD3LatentImage": {"width": 128, "height": 128}, "EmptyFlux2LatentImage": {"width": 128, "height": 128},
    "AttnDirInversion": {"steps": 4},
    "AttnDirTrainPredictor": {"steps": 2, "batch_size": 1}, "ImageScale": {"width": 128, "height": 128}}


class Bench:
    """A graph on tiny models. changes: node type -> inputs in place of the graph's."""

    def __init__(self, graph: Graph, stand_in: StandIn, changes: dict[str, dict[str, Any]] | None = None) -> None:
        self.graph, self.stand_in, self.changes = graph, stand_in, changes or {}
        self.results: dict[str, tuple[Any, ...]] = {}
        self.pictures: dict[str, torch.Tensor] = {}  # by the title of the node that shows them

    def run_all(self) -> None:
        with torch.inference_mode():
            for key in self.graph:
                self.outputs(key)

    def value(self, given: Any) -> Any:
        """An input: the output it is linked to, or itself."""
        return self.outputs(given[0])[given[1]] if isinstance(given, list) else given

    def outputs(self, node_id: str) -> tuple[Any, ...]:
        if node_id not in self.results:
            node = self.graph[node_id]
            kind = node["class_type"]
            inputs = {name: self.value(given) for name, given in node["inputs"].items()}
            inputs |= SHORT.get(kind, {}) | self.changes.get(kind, {})
            self.results[node_id] = self.run(node["_meta"]["title"], kind, inputs)
        return self.results[node_id]

    def run(self, title: str, kind: str, inputs: dict[str, Any]) -> tuple[Any, ...]:
        if kind in ("SaveImage", "PreviewImage"):
            self.pictures[title] = inputs["images"]
            return ()
        if (given := self.stand_in(kind, inputs)) is not None:
            return given
        if kind in OURS:
            lists = OURS[kind].GET_SCHEMA().is_input_list
            return OURS[kind].execute(**(listed(inputs) if lists else inputs)).args
        made = host_node(kind)
        if hasattr(made, "define_schema"):
            return made.execute(**inputs).args
        return getattr(made(), made.FUNCTION)(**inputs)


def host_node(kind: str) -> Any:
    """The class of a node of the host."""
    import nodes as host

    modules = (importlib.import_module(f"comfy_extras.nodes_{name}") for name in EXTRAS)
    return host.NODE_CLASS_MAPPINGS.get(kind) or next(getattr(m, kind) for m in modules if hasattr(m, kind))


def checkpoint(family: str) -> StandIn:
    """What files of a person would give for one of Stable Diffusion's families."""
    def stand_in(kind: str, inputs: dict[str, Any]) -> tuple[Any, ...] | None:
        if kind == "CheckpointLoaderSimple":
            return tiny.model(family), tiny.clip(family), load_demo_model()[2]
        if kind == "ControlNetLoader":
            return (tiny.control_net(family),)
        if kind == "AttnDirLoadPredictor":
            return (predictor(tiny.model(family)),)
        if kind == "AttnDirLoadAdapter":
            return adapter(), ""
        if kind == "LoadImageTextDataSetFromFolder":
            return [torch.rand(1, 128, 128, 3), torch.rand(1, 128, 128, 3)], ["a red fox", "a blue vase"]
        if kind == "EmptyLatentImage":
            rows = 16 * inputs["height"] // max(inputs["width"], inputs["height"])
            return ({"samples": torch.zeros(inputs["batch_size"], 4, rows, 16)},)
        return None

    return stand_in


def adapter() -> Any:
    """A file of the published layout, read as the node reads it."""
    with TemporaryDirectory() as folder:
        return load_adapter("test", save(Path(folder) / "adapter.safetensors", published()))[0]


def listed(inputs: dict[str, Any]) -> dict[str, list[Any]]:
    """Inputs as the host gives them to a node that takes lists."""
    return {name: given if isinstance(given, list) else [given] for name, given in inputs.items()}
