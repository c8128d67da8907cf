"""What comes from outside, a file, a text or a number on a wire: bounded, checked, and refused in one sentence.

    with reading(node, f"{name} cannot be read", "make it again."):
        facts = parse_json(text, MOST)
        anchors = whole(facts["anchors"], 1, 8)

Inside such a block anything may go wrong in a reader's own words; out of it comes a DirectorError.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any

from ..core.schedule import Schedule, window
from .errors import DirectorError, shortened, signed

MOST_REASON = 80
MOST_PX = 1_000_000
# What broken input makes of its reader. Not Exception: with some hosts an interrupt is one, and must pass.
_BROKEN = (ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, TypeError,
           ValueError, struct.error, zipfile.BadZipFile)


class Unreadable(ValueError):
    """Why something from outside is refused, as a clause for a person: "its noise levels are no shares"."""


@contextmanager
def reading(node: str, what: str, remedy: str) -> Iterator[None]:
    """Turn whatever fails inside into ``what (reason); remedy``, a DirectorError."""
    try:
        yield
    except DirectorError:
        raise
    except _BROKEN as error:
        raise DirectorError(node, f"{what} ({reason_of(error)}); {remedy}") from error


def reason_of(error: BaseException) -> str:
    """An exception as a short clause; never with a path, which is the reader's own and not the person's business."""
    if isinstance(error, Unreadable):
        return str(error)
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return shortened(": ".join(filter(None, (type(error).__name__, *said.splitlines()[:1]))), MOST_REASON)


def parse_json(text: str, most: int) -> Any:
    """JSON of at most so many characters. Raises Unreadable, ValueError or RecursionError."""
    if len(text) > most:
        raise Unreadable(f"it has {len(text)} characters, {most} is the most")
    return json.loads(text)


def whole(value: Any, least: int, most: int) -> int:
    """An integer within bounds. Raises Unreadable for anything else, True and 2.0 included."""
    if type(value) is not int or not least <= value <= most:
        raise Unreadable(f"{as_text(value)} stands where a whole number from {least} to {most} belongs")
    return value


def finite(value: Any) -> float:
    """A number as a float. Raises Unreadable for NaN and infinity, and OverflowError for 400 digits."""
    number = float(value)
    if not math.isfinite(number):
        raise Unreadable(f"{number} stands where a number belongs")
    return number


def within(value: Any, least: float, most: float) -> bool:
    """True for a number within bounds; a linked one passes by the widget's limits, and may be NaN or endless."""
    return issubclass(type(value), Real) and least <= value <= most


def require_number(node: str, name: str, value: Any, least: float, most: float) -> None:
    """Raise DirectorError unless a linked number lies within bounds."""
    if not within(value, least, most):
        raise DirectorError(node, f"{name} is {as_text(value)}; give a number from {least:g} to {most:g}.")


def require_window(node: str, start: Any, end: Any, names: tuple[str, str] = ("start_percent", "end_percent"),
                   decay_power: float = 0.0) -> Schedule:
    """The window between two linked shares of a run. Raises DirectorError for numbers that are not one."""
    for name, share in zip(names, (start, end), strict=True):
        require_number(node, name, share, 0, 1)
    with signed(node):
        return window(start, end, names, decay_power)


def require_size(node: str, width: Any, height: Any) -> None:
    """Raise DirectorError unless two linked numbers are sides of a picture, in pixels."""
    require_number(node, "width", width, 1, MOST_PX)
    require_number(node, "height", height, 1, MOST_PX)


def as_text(value: Any) -> str:
    """A value as a refusal quotes it; Python itself refuses to write out very long integers."""
    try:
        return shortened(str(value), MOST_REASON)
    except ValueError:
        return "a number of thousands of digits"
