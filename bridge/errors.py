"""How the pack refuses: one sentence that names the node, what it saw, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

# What a refusal quotes is a reminder, not a copy; a phrase on a wire can have any length.
MOST_QUOTED = 80
MOST_SENTENCE = 400
_QUOTED = re.compile(rf'"([^"]{{{MOST_QUOTED + 1},}})"')
_UNBROKEN = re.compile(rf"\S{{{MOST_QUOTED + 1},}}")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f]+")


class DirectorError(ValueError):
    """A refusal meant for the person at the graph. ``str()`` is the whole message."""

    def __init__(self, node: str, sentence: str) -> None:
        self.node = node
        super().__init__(f"{node}: {readable(sentence)}")


def readable(sentence: str) -> str:
    """One line that can be shown anywhere: no control characters, no half characters, nothing endless."""
    line = _UNSEEN.sub(" ", sentence).encode("utf-8", "replace").decode("utf-8")
    line = _QUOTED.sub(lambda found: f'"{shortened(found[1], MOST_QUOTED)}"', line)
    line = _UNBROKEN.sub(lambda found: shortened(found[0], MOST_QUOTED), line)
    return shortened(line, MOST_SENTENCE)


def shortened(text: str, most: int) -> str:
    """At most so many characters, the middle left out: the beginning says what, the end what to do."""
    if len(text) <= most:
        return text
    tail = (most - 3) // 2
    return f"{text[:most - 3 - tail]}...{text[-tail:]}"


@contextmanager
def signed(node: str) -> Iterator[None]:
    """Give core's refusals, ValueErrors with a whole sentence, the name of the node that meets them."""
    try:
        yield
    except DirectorError:
        raise
    except ValueError as error:
        raise DirectorError(node, str(error)) from None
