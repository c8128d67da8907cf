"""Who looks on changes nothing, and sees what is really used, wherever it stands in the chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from attention_director.core.call import Attend, AttentionCall, RowSpan
from attention_director.core.heat import pixel_maps
from attention_director.core.method import Chain
from attention_director.core.network import LayerAddress
from attention_director.core.schedule import Schedule
from region_cases import innermost, make_call, method, tag

PROMPT = "a red hat and a blue dog"
ROWS = (RowSpan(0, 1, None), RowSpan(1, 2, tag(PROMPT)))
MASKS = torch.zeros(1, 2, 8, 8, dtype=torch.bool)
MASKS[0, 0, :, :4] = MASKS[0, 1, 2:, 4:] = True


@dataclass(frozen=True, eq=False)
class Watcher:
    """Counts some tokens of every row."""

    tokens: tuple[int, ...]
    seen: list[torch.Tensor] = field(default_factory=list)
    key: str = "1/watcher"
    label: str = "Watcher"
    schedule: Schedule = Schedule()

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return True

    def observes(self, layer: LayerAddress) -> bool:
        return layer.kind == "cross"

    def probe(self, call: AttentionCall) -> torch.Tensor:
        probe = torch.zeros(call.q.shape[0], 1, call.k.shape[2], 1, dtype=call.q.dtype)
        probe[:, :, list(self.tokens)] = 1.0
        return probe

    def observe(self, call: AttentionCall, probe: torch.Tensor) -> None:
        self.seen.append(pixel_maps(call, probe, slice(0, call.q.shape[0])))


@dataclass(frozen=True, eq=False)
class Mixer(Watcher):
    """Reads some keys' values in the place of others, half of them by a second attention, as edits do."""

    def selects(self, layer: LayerAddress) -> bool:
        return True

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        turned = replace(call, v=0.5 * call.v.roll(1, 2), probe=None if call.probe is None else
                         0.5 * call.probe.roll(1, 2))
        kept = replace(call, v=0.5 * call.v, probe=None if call.probe is None else 0.5 * call.probe)
        return attend(turned) + attend(kept)

    def observes(self, layer: LayerAddress) -> bool:
        return False


def effective(chain: Chain, call: AttentionCall, token: int) -> torch.Tensor:
    """Attention on one key as the output tells it: values of one at that key, zero elsewhere, mean of the heads."""
    values = torch.zeros_like(call.v)
    values[:, :, token] = 1.0
    return chain.attend(replace(call, v=values), innermost)[..., 0].mean(1).unflatten(-1, call.grid)


@pytest.mark.parametrize("first", [True, False])
def test_the_bias_of_regions_is_seen_from_either_side(first: bool) -> None:
    regions = method(["red hat", "blue dog"], MASKS)
    watcher = Watcher((3,))
    call = make_call("cross", (8, 8), ROWS)
    chain = Chain((watcher, regions) if first else (regions, watcher))
    out = chain.attend(call, innermost)
    assert torch.equal(out, Chain((regions,)).attend(call, innermost))
    truth = effective(Chain((regions,)), call, 3)
    torch.testing.assert_close(watcher.seen[0][:, 0], truth, rtol=0, atol=1e-12)
    plain = effective(Chain(()), call, 3)
    assert (truth[1] - plain[1]).abs().max() > 0.01 and torch.allclose(truth[0], plain[0])


@pytest.mark.parametrize("first", [True, False])
def test_values_that_another_method_mixes_are_counted_where_they_are_read(first: bool) -> None:
    mixer, watcher = Mixer(()), Watcher((3,))
    call = make_call("cross", (8, 8), ROWS)
    (Chain((watcher, mixer)) if first else Chain((mixer, watcher))).attend(call, innermost)
    assert len(watcher.seen) == 2
    torch.testing.assert_close(sum(watcher.seen)[:, 0], effective(Chain((mixer,)), call, 3), rtol=0, atol=1e-12)
    assert (sum(watcher.seen)[:, 0] - effective(Chain(()), call, 3)).abs().max() > 0.01


def test_two_watchers_see_their_own_marks_and_no_method_is_needed() -> None:
    one, two = Watcher((3,)), Watcher((5,))
    call = make_call("cross", (8, 8), ROWS)
    chain = Chain((one, two))
    assert not chain.selects(call.layer) and chain.observers(call.layer) == (one, two)
    assert torch.equal(chain.attend(call, innermost), innermost(call))
    for watcher, token in ((one, 3), (two, 5)):
        torch.testing.assert_close(watcher.seen[0][:, 0], effective(Chain(()), call, token), rtol=0, atol=1e-12)


def test_what_reaches_the_kernel_carries_no_marks() -> None:
    seen: list[AttentionCall] = []

    def attend(call: AttentionCall) -> torch.Tensor:
        seen.append(call)
        return innermost(call)

    call = make_call("cross", (8, 8), ROWS)
    Chain((Watcher((3,)),)).attend(call, attend)
    assert seen[0].probe is None and call.probe is None
    assert not Chain((Watcher((3,)),)).without_observers().methods
