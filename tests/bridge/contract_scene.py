"""A method that acts on every layer, and what a network holds: for what every family promises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from attention_director.bridge.text.prompt import TAG_KEY
from attention_director.core.call import AttentionCall
from attention_director.core.method import spans_of
from attention_director.core.schedule import Schedule
from families import ENTRIES

KEY = "1/contract"
entries = pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)


@dataclass(frozen=True, eq=False)
class Everywhere:
    """Acts on the rows of its prompt in every layer. change: what it does to a call."""

    change: Callable[[AttentionCall, Any], torch.Tensor]
    key: str = KEY
    label: str = "Contract"
    acts_in_joint_layers: bool = True
    schedule: Schedule = field(default_factory=Schedule)

    def acts_on(self, rows: Any) -> bool:
        return bool(spans_of(self.key, rows))

    def selects(self, layer: Any) -> bool:
        return True

    def __call__(self, call: AttentionCall, attend: Any) -> torch.Tensor:
        return self.change(call, attend)


def ours(conditioning: list) -> list:
    """The conditioning with the test's key on its tag."""
    return [[cond, {**values, TAG_KEY: values[TAG_KEY].with_key(KEY)}] for cond, values in conditioning]


def held_by(network: torch.nn.Module) -> list[tuple]:
    """Of each module: which weights and buffers it holds, its hooks, and whether its forward was replaced."""
    return [([id(v) for store in (m._parameters, m._buffers) for v in store.values()],
             [*m._forward_hooks, *m._forward_pre_hooks], "forward" in vars(m)) for m in network.modules()]
