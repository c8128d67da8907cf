"""How methods stack on a model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from attention_director.core.call import Attend, AttentionCall, RowSpan
from attention_director.core.method import Chain, Method, spans_of
from attention_director.core.network import LayerAddress
from attention_director.core.schedule import Schedule
from region_cases import innermost, make_call, tag


@dataclass(frozen=True)
class Shout:
    """Multiplies what it gets back, and remembers nothing."""

    key: str
    factor: float
    offset: float = 0.0
    schedule: Schedule = Schedule(0.0, 0.5)
    kinds: tuple[str, ...] = ("self", "cross")
    label: str = "Shout"

    def selects(self, layer: LayerAddress) -> bool:
        return layer.kind in self.kinds

    def acts_on(self, rows) -> bool:
        return bool(spans_of(self.key, rows))

    def check_run(self, rows, images: int) -> None: ...

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        return attend(call) * self.factor + self.offset


def test_the_first_installed_is_outermost() -> None:
    call = make_call("self", (2, 2), (RowSpan(0, 1, None),))
    plain = innermost(call)
    twice, plus = Shout("a", 2.0), Shout("b", 1.0, 1.0)
    assert isinstance(twice, Method)
    torch.testing.assert_close(Chain((twice, plus)).attend(call, innermost), (plain + 1) * 2)
    torch.testing.assert_close(Chain((plus, twice)).attend(call, innermost), plain * 2 + 1)
    only_cross = replace(twice, kinds=("cross",))
    assert torch.equal(Chain((only_cross,)).attend(call, innermost), plain)
    assert torch.equal(Chain().attend(call, innermost), plain)


def test_appending_makes_a_new_chain() -> None:
    one = Chain().append(Shout("a", 2.0))
    two = one.append(Shout("b", 3.0))
    assert [m.key for m in one.methods] == ["a"] and [m.key for m in two.methods] == ["a", "b"]


def test_a_method_acts_inside_its_window_and_on_its_own_rows_only() -> None:
    rows = (RowSpan(0, 2, None), RowSpan(2, 4, tag("x", key="a")))
    chain = Chain((Shout("a", 2.0), Shout("b", 2.0), Shout("a", 3.0, schedule=Schedule(0.5, 1.0))))
    assert [m.factor for m in chain.active(0.2, rows).methods] == [2.0]
    assert [m.factor for m in chain.active(0.5, rows).methods] == [3.0]
    assert chain.active(0.2, rows[:1]).methods == ()
    assert spans_of("a", rows) == rows[1:] and spans_of("b", rows) == ()


def test_a_node_leaves_a_chain_with_all_its_methods() -> None:
    """Also for one that stands in for them: the others of the node would act beside it."""
    one, other, two = Shout("a", 2.0), Shout("b", 3.0), Shout("a", 4.0)
    chain = Chain((one, other, two))
    assert chain.without("a").methods == (other,)
    instead = Shout("a", 5.0)
    assert chain.with_instead(two, instead).methods == (other, instead)
    assert chain.with_instead(one, instead).methods == (instead, other)
    assert chain.methods == (one, other, two)
