"""How the pack refuses: one sentence that names the node, what it saw, and what to do."""

from __future__ import annotations


class DirectorError(ValueError):
    """A refusal meant for the person at the graph. ``str()`` is the whole message."""

    def __init__(self, node: str, sentence: str) -> None:
        self.node = node
        super().__init__(f"{node}: {sentence}")
