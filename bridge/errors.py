"""How the pack refuses: one sentence that names the node, what it saw, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class DirectorError(ValueError):
    """A refusal meant for the person at the graph. ``str()`` is the whole message."""

    def __init__(self, node: str, sentence: str) -> None:
        self.node = node
        super().__init__(f"{node}: {sentence}")


@contextmanager
def signed(node: str) -> Iterator[None]:
    """Give core's refusals, ValueErrors with a whole sentence, the name of the node that meets them."""
    try:
        yield
    except DirectorError:
        raise
    except ValueError as error:
        raise DirectorError(node, str(error)) from None
