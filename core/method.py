"""What a method is, and how methods stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from .call import Attend, AttentionCall, RowSpan
from .layers import LayerAddress
from .schedule import Schedule


@runtime_checkable
class Method(Protocol):
    """A frozen value on a model's chain.

    key: names the node that made it. schedule: when it acts. acts_on: on which rows; those whose tag
    carries the key (``owned``), or all of a run's for a node that has no prompt. check_run raises
    ValueError, before the first step, for a run it cannot act in.
    """

    @property
    def key(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def schedule(self) -> Schedule: ...

    def acts_on(self, rows: Sequence[RowSpan]) -> bool: ...

    def check_run(self, rows: Sequence[RowSpan], images: int) -> None: ...


@runtime_checkable
class AttentionMethod(Method, Protocol):
    """A method that changes attention.

    selects: in which layers. Calling it gives [B, H, Nq, D]; it hands the call on, changed or not,
    to ``attend``.
    """

    def selects(self, layer: LayerAddress) -> bool: ...

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor: ...


@dataclass(frozen=True)
class Chain:
    """The methods on a model, first installed outermost. Appending gives a new chain."""

    methods: tuple[Method, ...] = ()

    def append(self, method: Method) -> Chain:
        return Chain((*self.methods, method))

    def active(self, progress: float, rows: Sequence[RowSpan]) -> Chain:
        """The methods that act at this point of the run on at least one of these rows."""
        return Chain(tuple(m for m in self.methods if m.schedule.active(progress) and m.acts_on(rows)))

    def with_instead(self, method: Method, other: Method) -> Chain:
        """The chain with ``other`` in the place of ``method``."""
        return Chain(tuple(other if m is method else m for m in self.methods))

    def selects(self, layer: LayerAddress) -> bool:
        """True where some method changes the attention of the layer."""
        return any(isinstance(m, AttentionMethod) and m.selects(layer) for m in self.methods)

    def attend(self, call: AttentionCall, innermost: Attend) -> torch.Tensor:
        """Run the call through every method that selects its layer, then ``innermost``."""
        attend = innermost
        for method in reversed(self.methods):
            if isinstance(method, AttentionMethod) and method.selects(call.layer):
                attend = _around(method, attend)
        return attend(call)


def owned(key: str, rows: Sequence[RowSpan]) -> tuple[RowSpan, ...]:
    """The spans whose conditioning carries the key."""
    return tuple(span for span in rows if span.tag is not None and key in span.tag.keys)


def _around(method: AttentionMethod, attend: Attend) -> Attend:
    return lambda call: method(call, attend)
