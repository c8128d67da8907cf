"""The line a node shows after a run: what happened, or that nothing did."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ...core.hooks import SumsUp
from ...core.method import Method
from ...core.schedule import Schedule
from .hooks import NamesItsPrompt
from .run import Run

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
        return f"nothing happened: no step fell into {schedule.start:.0%} to {schedule.end:.0%} of the run"
    span = f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]}-{steps[-1]}"
    parts = [f"active in {span} of {total}", summary]
    if extra_seconds is not None:
        parts.append(f"+{extra_seconds:.1f} s")
    return "; ".join(part for part in parts if part)


def send_status(key: str, label: str, line: str) -> None:
    """Log the line, and show it on the node where an editor is listening."""
    log.info("%s: %s", label, line)
    node_id = key.rpartition("/")[0]
    try:
        from server import PromptServer
    except ImportError:
        return
    server = getattr(PromptServer, "instance", None)
    if server is not None and node_id:
        server.send_sync(EVENT, {"node": node_id, "text": line})


def report(run: Run) -> None:
    """Leave one line for each node, whose methods have one key."""
    parts: dict[str, list[Method]] = {}
    for method in run.chain.methods:
        parts.setdefault(method.key, []).append(method)
    for key, methods in parts.items():
        send_status(key, methods[0].label, _line(run, methods))


def _line(run: Run, methods: Sequence[Method]) -> str:
    method = methods[0]
    steps = sorted({number for _, number, keys in run.calls if method.key in keys})
    start = None if run.first_progress is None else run.first_progress
    summary = "; ".join(m.sum_up(run.scratch) for m in methods if isinstance(m, SumsUp))
    unseen = next((m.unseen for m in methods if isinstance(m, NamesItsPrompt)), UNSEEN)
    return report_line(steps, len(run.sigmas) - 1, _extra_seconds(run, method.key), summary,
                       method.key in run.seen_keys, start, method.schedule, unseen)


def _extra_seconds(run: Run, key: str) -> float | None:
    """Time of the calls where it acted beyond that of as many where it did not; None when unknown."""
    spans = [(b[0] - a[0], key in a[2]) for a, b in zip(run.calls, run.calls[1:], strict=False)]
    with_us = sorted(s for s, acted in spans if acted)
    without = sorted(s for s, acted in spans if not acted)
    if len(with_us) < 2 or len(without) < 2:
        return None
    return max(0.0, (with_us[len(with_us) // 2] - without[len(without) // 2]) * (len(with_us) + 1))
