"""The key of a node's methods: the same inputs give the same one, others another."""

from __future__ import annotations

import torch
from attention_director.bridge.run.install import key_of
from attention_director.core.schedule import Schedule


def test_the_same_inputs_give_the_same_key() -> None:
    mask = torch.rand(1, 40, 40)
    key = key_of("12", ["a cat"], [("cat", 1.0, mask)], Schedule(0.0, 0.5), None)
    assert key == key_of("12", ["a cat"], [("cat", 1.0, mask.clone())], Schedule(0.0, 0.5), None)
    assert key.startswith("12/") and len(key) == len("12/") + 12


def test_every_part_counts_and_every_value_of_a_tensor() -> None:
    """A tensor's repr leaves out most of a large one."""
    mask = torch.zeros(1, 40, 40)
    other = mask.clone()
    other[0, 20, 20] = 1.0
    assert repr(mask) == repr(other)
    given = [("a", mask, 1.0), ("a", other, 1.0), ("b", mask, 1.0), ("a", mask, 1.5), ("a", mask.half(), 1.0),
             ("a", mask[:, :20], 1.0), ("a", None, 1.0), ("a", (mask, other), 1.0), ("a", (other, mask), 1.0)]
    assert len({key_of("1", *parts) for parts in given}) == len(given)
    assert key_of("1", mask) != key_of("2", mask)
