"""The line a node shows after a run: what happened, or that nothing did."""

from __future__ import annotations

import logging
from collections.abc import Sequence, Sized

from ...core.hooks import SumsUp, Warns, needs_places, part_of
from ...core.method import AttentionMethod, Chain, Method, ObservesAttention
from ...core.schedule import Schedule
from ..families.family import LayersMet
from .hooks import NamesItsPrompt
from .run import Run

NOTHING = "nothing happened"
EVENT = "attention_director.status"
UNSEEN = "the sampler's positive does not come from this node"

log = logging.getLogger("attention_director")


def report_line(steps: Sequence[int], total: int, extra_seconds: float | None, summary: str, prompt_seen: bool,
                first_progress: float | None, schedule: Schedule, unseen: str = UNSEEN) -> str:
    """One sentence about a method's part in a run of ``total`` steps; ``unseen``: when its prompt never came."""
    if not prompt_seen:
        return f"nothing happened: {unseen}"
    if not steps:
        if first_progress is not None and first_progress >= schedule.end:
            return (f"nothing happened: the run began at {first_progress:.0%}; "
                    f"this node's window ends at {schedule.end:.0%}")
        return f"nothing happened: no step of the run lies between {schedule.start:.0%} and {schedule.end:.0%}"
    span = f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]}-{steps[-1]}"
    parts = [f"active in {span} of {total}", summary]
    if extra_seconds is not None:
        parts.append(f"+{extra_seconds:.1f} s")
    return "; ".join(part for part in parts if part)


def send_status(key: str, label: str, line: str, warns: bool = False) -> None:
    """Log the line, and show it on the node of the client whose prompt is running; no other has asked.

    warns: something that was asked for was not done. So it is with a line that begins with "nothing happened".
    """
    log.info("%s: %s", label, line)
    node_id = key.rpartition("/")[0]
    try:
        from server import PromptServer
    except ImportError:
        return
    server = getattr(PromptServer, "instance", None)
    client = getattr(server, "client_id", None)
    if server is not None and client is not None and node_id:
        server.send_sync(EVENT, {"node": node_id, "text": line, "warns": warns or line.startswith(NOTHING)}, client)


def report(run: Run) -> None:
    """Leave one line for each node. Parts of a node that act by themselves have a sentence each."""
    nodes: dict[str, dict[str, list[Method]]] = {}
    for method in run.chain.methods:
        key, part = part_of(method)
        nodes.setdefault(key, {}).setdefault(part, []).append(method)
    for key, parts in nodes.items():
        lines = [(f"{part}: " if part and len(parts) > 1 else "") + _line(run, parts[part]) for part in sorted(parts)]
        every = [method for methods in parts.values() for method in methods]
        warnings = [warning for method in every if isinstance(method, Warns) and (warning := method.warn())]
        send_status(key, every[0].label, "; ".join([*warnings, *lines]), warns=bool(warnings))


def _line(run: Run, methods: Sequence[Method]) -> str:
    method = methods[0]
    met = run.scratch.has(method.key, LayersMet) if any(map(_in_layers, methods)) else None
    if met and met.left_out and not met.acted and all(map(needs_places, methods)):
        return f"nothing happened: {_left_out(met, 'all ')}"
    steps = sorted({number for _, number, parts in run.calls if part_of(method) in parts})
    if steps and met is None and any(map(Chain(tuple(methods)).wanting, run.layers)):
        return "nothing happened: another node computes this model's attention in its own way; bypass that node"
    summary = [m.sum_up(run.scratch) for m in methods if isinstance(m, SumsUp)]
    if met and met.left_out:
        summary.append(_left_out(met))
    if met and met.evicted:
        summary.append(f"in {_layers(met.evicted)} ComfyUI's own attention took the place of another node's")
    unseen = next((m.unseen for m in methods if isinstance(m, NamesItsPrompt)), UNSEEN)
    return report_line(steps, len(run.sigmas) - 1, _extra_seconds(run, part_of(method)), "; ".join(summary),
                       method.key in run.seen_keys, run.first_progress, method.schedule, unseen)


def _in_layers(method: Method) -> bool:
    return isinstance(method, (AttentionMethod, ObservesAttention))


def _left_out(met: LayersMet, which: str = "") -> str:
    return f"left out in {which}{_layers(met.left_out)} whose pixels another node rearranged"


def _layers(found: Sized) -> str:
    return f"{len(found)} layer{'s' * (len(found) != 1)}"


def _extra_seconds(run: Run, part: tuple[str, str]) -> float | None:
    """Time of the calls where it acted beyond that of as many where it did not; None when unknown."""
    spans = [(b[0] - a[0], part in a[2]) for a, b in zip(run.calls, run.calls[1:], strict=False)]
    with_us = sorted(s for s, acted in spans if acted)
    without = sorted(s for s, acted in spans if not acted)
    if len(with_us) < 2 or len(without) < 2:
        return None
    return max(0.0, (with_us[len(with_us) // 2] - without[len(without) // 2]) * (len(with_us) + 1))
