"""From a workflow as the graph editor saves it to the prompt the server runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

NOT_RUN = frozenset({"Note", "MarkdownNote", "Reroute", "PrimitiveNode"})
WIDGETS = frozenset({"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "COLOR", "COMFY_DYNAMICCOMBO_V3"})
AFTER_SEED = frozenset({"fixed", "randomize", "increment", "decrement"})
MUTED, BYPASSED = 2, 4

Workflow = dict[str, Any]
Info = dict[str, Any]


class CannotConvert(ValueError):
    """The workflow holds something this small converter does not know."""


@dataclass(frozen=True)
class Link:
    """Where a wire begins."""

    node: int
    slot: int


def to_prompt(workflow: Workflow, info: Info) -> dict[str, dict[str, Any]]:
    """The API prompt. info: all of /object_info. Raises CannotConvert."""
    if (workflow.get("definitions") or {}).get("subgraphs"):
        raise CannotConvert("it holds subgraphs; unpack them before saving")
    nodes = {node["id"]: node for node in workflow["nodes"]}
    links = dict(_links(workflow))
    prompt = {}
    for key, node in nodes.items():
        if node["type"] in NOT_RUN or node.get("mode", 0) in (MUTED, BYPASSED):
            continue
        if node["type"] not in info:
            raise CannotConvert(f"the host has no node {node['type']}")
        inputs = widget_inputs(node, info[node["type"]])
        for slot in node.get("inputs") or ():
            if slot.get("link") is not None:
                inputs.pop(slot["name"], None)
                origin = follow(links.get(slot["link"]), nodes, links)
                if origin is not None:
                    inputs[slot["name"]] = origin
        prompt[str(key)] = {"class_type": node["type"], "inputs": inputs,
                            "_meta": {"title": node.get("title") or info[node["type"]]["display_name"]}}
    return prompt


def _links(workflow: Workflow) -> Iterator[tuple[int, Link]]:
    for link in workflow.get("links") or ():
        if isinstance(link, dict):
            yield link["id"], Link(link["origin_id"], link["origin_slot"])
        else:
            yield link[0], Link(link[1], link[2])


def follow(link: Link | None, nodes: dict[int, Any], links: dict[int, Link]) -> Any:
    """What feeds a wire: [node id, slot], a primitive's value, or None; past reroutes and bypassed nodes."""
    while link is not None:
        node = nodes[link.node]
        if node["type"] == "PrimitiveNode":
            return node["widgets_values"][0]
        if node.get("mode", 0) == MUTED:
            return None
        if node["type"] != "Reroute" and node.get("mode", 0) != BYPASSED:
            return [str(link.node), link.slot]
        passed = _through(node, link.slot)
        link = None if passed is None else links.get(passed)
    return None


def _through(node: dict[str, Any], slot: int) -> int | None:
    """The link that leaves by ``slot`` when the node only passes things on: same place, else same type."""
    inputs = node.get("inputs") or []
    if node["type"] == "Reroute":
        return inputs[0].get("link")
    wanted = node["outputs"][slot]["type"]
    here = inputs[slot:slot + 1] + inputs
    return next((i.get("link") for i in here if wanted in str(i["type"]).split(",")), None)


def inputs_of(info: Info) -> dict[str, tuple[Any, dict[str, Any]]]:
    """Input name -> (type, options), in the editor's order: required, then optional."""
    found = {}
    for group in ("required", "optional"):
        specs = info["input"].get(group) or {}
        for name in (info.get("input_order") or {}).get(group) or specs:
            kind, *rest = specs[name]
            found[name] = (kind, (rest[0] if rest else None) or {})
    return found


def widget_inputs(node: dict[str, Any], info: Info) -> dict[str, Any]:
    """Input name -> value, from the saved values, which carry no names."""
    shown = {slot["name"] for slot in node.get("inputs") or () if slot.get("widget")}
    left = list(reversed(node.get("widgets_values") or ()))
    found = dict(_read(info, "", shown, left))
    return {name: {"__value__": value} if isinstance(value, list) else value for name, value in found.items()}


def _read(info: Info, prefix: str, shown: set[str], left: list[Any]) -> Iterator[tuple[str, Any]]:
    """Take the widgets' values from the end of ``left``; a dynamic combo's own inputs follow it."""
    for name, (kind, options) in inputs_of(info).items():
        full = prefix + name
        if not is_widget(kind, options, full in shown):
            continue
        value = left.pop() if left else default_of(kind, options)
        yield full, value
        seed = options.get("control_after_generate") or name in ("seed", "noise_seed")
        upload = any(options.get(f"{what}_upload") for what in ("image", "audio", "video"))
        if left and (upload or seed and left[-1] in AFTER_SEED):
            left.pop()  # the value of a second widget, which the editor adds and the server does not know
        for option in options["options"] if kind == "COMFY_DYNAMICCOMBO_V3" else ():
            if option["key"] == value:
                yield from _read({"input": option["inputs"]}, full + ".", shown, left)


def is_widget(kind: Any, options: dict[str, Any], shown: bool) -> bool:
    """Whether the editor draws a field for an input rather than a socket alone."""
    if options.get("forceInput"):
        return False
    return isinstance(kind, list) or kind in WIDGETS or bool(options.get("widgetType")) or shown


def default_of(kind: Any, options: dict[str, Any]) -> Any:
    """What the editor shows before anybody chose; the first of a list."""
    choices = (kind if isinstance(kind, list) else options.get("options")) or [None]
    first = choices[0]["key"] if isinstance(choices[0], dict) else choices[0]
    return options.get("default", first)


def missing_files(prompt: dict[str, dict[str, Any]], info: Info) -> list[str]:
    """Choices of lists that this server does not offer: checkpoints and other files a person must bring."""
    out = []
    for node in prompt.values():
        for name, (kind, options) in inputs_of(info[node["class_type"]]).items():
            value = node["inputs"].get(name)
            choices = kind if isinstance(kind, list) else options.get("options") if kind == "COMBO" else None
            if choices is not None and isinstance(value, str) and value not in choices:
                out.append(value)
    return out
