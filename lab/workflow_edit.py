"""A saved workflow, edited: nodes found, added and taken away, wires laid. Standard library only.

A wire stands in three places of the file (the list of links, its source's output, its target's input);
these functions keep the three in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Workflow = dict[str, Any]
Node = dict[str, Any]


def of_type(workflow: Workflow, kind: str) -> list[Node]:
    """The nodes of a type, in the file's order."""
    return [node for node in workflow["nodes"] if node["type"] == kind]


def by_id(workflow: Workflow, node_id: int) -> Node:
    """Raises StopIteration when there is none."""
    return next(node for node in workflow["nodes"] if node["id"] == node_id)


def field(name: str, kind: str = "COMBO") -> dict[str, Any]:
    """An input that is typed or chosen on the node."""
    return {"name": name, "type": kind, "widget": {"name": name}, "link": None}


def socket(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "link": None}


def set_widget(node: Node, name: str, value: Any) -> None:
    """Fill a field in by its name, on a node without a seed (the editor saves a second value after a seed)."""
    names = [given["name"] for given in node["inputs"] if given.get("widget")]
    node["widgets_values"][names.index(name)] = value


def add(workflow: Workflow, node_id: int, kind: str, pos: Sequence[float], size: Sequence[float],
        inputs: Sequence[dict[str, Any]], outputs: Sequence[tuple[str, str]], values: Sequence[Any]) -> None:
    """A node with no wires. outputs: (name, type); values: of its widgets, in order."""
    workflow["nodes"].append({
        "id": node_id, "type": kind, "pos": list(pos), "size": list(size), "flags": {}, "order": 0, "mode": 0,
        "inputs": list(inputs), "outputs": [{"name": name, "type": type_, "links": None} for name, type_ in outputs],
        "properties": {"Node name for S&R": kind}, "widgets_values": list(values)})


def connect(workflow: Workflow, source: int, slot: int, target: int, name: str) -> None:
    """A wire from an output to the named input, in place of the one that was there."""
    start, end = by_id(workflow, source), by_id(workflow, target)
    index = next(i for i, given in enumerate(end["inputs"]) if given["name"] == name)
    disconnect(workflow, end["inputs"][index]["link"])
    workflow["last_link_id"] += 1
    number, output = workflow["last_link_id"], start["outputs"][slot]
    end["inputs"][index]["link"] = number
    output["links"] = [*(output["links"] or ()), number]
    workflow["links"].append([number, source, slot, target, index, output["type"]])


def disconnect(workflow: Workflow, number: int | None) -> None:
    """Take a wire away; None is no wire."""
    for link in [link for link in workflow["links"] if link[0] == number]:
        workflow["links"].remove(link)
        by_id(workflow, link[3])["inputs"][link[4]]["link"] = None
        output = by_id(workflow, link[1])["outputs"][link[2]]
        output["links"] = [other for other in output["links"] if other != number] or None


def remove(workflow: Workflow, node_id: int) -> None:
    """Take a node and its wires away."""
    for link in [link for link in workflow["links"] if node_id in (link[1], link[3])]:
        disconnect(workflow, link[0])
    workflow["nodes"].remove(by_id(workflow, node_id))


def remove_onwards(workflow: Workflow, node_id: int) -> None:
    """Take a node away, and everything that is fed by it."""
    for slot in range(len(by_id(workflow, node_id)["outputs"])):
        for target, _ in targets(workflow, node_id, slot):
            remove_onwards(workflow, target)
    remove(workflow, node_id)


def targets(workflow: Workflow, node_id: int, slot: int) -> list[tuple[int, str]]:
    """(node id, input name) of everything that an output feeds."""
    return [(link[3], by_id(workflow, link[3])["inputs"][link[4]]["name"]) for link in workflow["links"]
            if link[1] == node_id and link[2] == slot]
