"""The sockets of our nodes as the host sees them, for the tests of the nodes' surface."""

from __future__ import annotations

from typing import Any


def nodes() -> dict[str, Any]:
    from attention_director.nodes import NODES

    return {node.GET_SCHEMA().node_id: node for node in NODES}


def inputs(node: str) -> dict[str, tuple]:
    types = nodes()[node].INPUT_TYPES()
    return {**types.get("required", {}), **types.get("optional", {})}


def assert_holds(entry: tuple, kind: str | None, **options: Any) -> None:
    if kind is not None:
        assert entry[0] == kind
    for key, value in options.items():
        assert entry[1][key] == value, (entry, key)
