"""Schema helpers shared by the nodes: words that older hosts lack, and sockets of our own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from comfy_api.latest import io

from ..bridge.untrusted import require_window
from ..core.schedule import Schedule

CATEGORY = "Attention Director"
Regions = io.Custom("ATTN_DIR_REGIONS")
InversionSocket = io.Custom("ATTN_DIR_INVERSION")
Predictor = io.Custom("ATTN_DIR_PREDICTOR")
Subjects = io.Custom("ATTN_DIR_SUBJECTS")
Adapters = io.Custom("ATTN_DIR_ADAPTER")
Bank = io.Custom("ATTN_DIR_BANK")
SelfCheck = io.Custom("ATTN_DIR_SELF_CHECK")


def known(make: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call ``make`` without the keywords this host does not know; older hosts raise on them."""
    names = inspect.signature(make).parameters
    return make(*args, **{k: v for k, v in kwargs.items() if k in names})


def schema(**kwargs: Any) -> io.Schema:
    return known(io.Schema, **kwargs)


def number(name: str, default: float, low: float, high: float, step: float, tooltip: str,
           advanced: bool = False) -> Any:
    return known(io.Float.Input, name, default=default, min=low, max=high, step=step, tooltip=tooltip,
                 advanced=advanced or None)


def percent(name: str, default: float, tooltip: str, advanced: bool = False) -> Any:
    return number(name, default, 0.0, 1.0, 0.001, tooltip, advanced)


def prompt(tooltip: str, dynamic: bool = True) -> Any:
    """Typed text, or the positive of another node of this pack. dynamic: the editor draws among {a|b}."""
    text = io.String.Input("text", multiline=True, dynamic_prompts=dynamic, tooltip=tooltip)
    if hasattr(io, "MultiType"):
        return io.MultiType.Input(text, types=[io.Conditioning])
    return text


def canvas_size(name: str, tooltip: str) -> Any:
    return io.Int.Input(name, default=1024, min=64, max=16384, step=8, tooltip=tooltip)


def editor(name: str, widget: str, tooltip: str) -> Any:
    """A text that web/ gives a widget of its own; without the editor it is a text box."""
    return known(io.String.Input, name, default="", multiline=True, socketless=True, tooltip=tooltip,
                 extra_dict={"widgetType": widget})


def unique_id(node: type[io.ComfyNode]) -> str:
    """The id of the node that executes, "" where the host tells none."""
    return str(getattr(node.hidden, "unique_id", None) or "")


def schedule(node: str, start: float, end: float, prefix: str = "") -> Schedule:
    """The window of two inputs of a node. Raises DirectorError for numbers that are not one."""
    return require_window(node, start, end, (f"{prefix}start_percent", f"{prefix}end_percent"))
