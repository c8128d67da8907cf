"""The second pass of a sampler starts as if the first had not been."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch


class Hook:
    def __init__(self) -> None:
        self.begun: list[Any] = []

    def initialize_timesteps(self, model: Any) -> None:
        self.begun.append(model)


def test_each_pass_has_its_own_arguments_and_the_same_chance() -> None:
    from attention_director.bridge.run.hooks import SamplerCall
    from attention_director.bridge.run.two_pass import sample_twice

    hook, other, events = Hook(), Hook(), []
    group = SimpleNamespace(hooks=[hook])
    patcher = SimpleNamespace(clear_cached_hook_weights=lambda: events.append("weights"))
    model = SimpleNamespace(current_patcher=patcher)
    guider = SimpleNamespace(inner_model=model, conds={
        "positive": [{"hooks": group}, {"hooks": SimpleNamespace(hooks=[hook, other])}, {}],
        "negative": [{"hooks": None}]})
    noise, extra_args = torch.randn(2, 4, 8, 8), {"seed": 3}
    call = SamplerCall(guider, torch.tensor([2.0, 1.0, 0.0]), extra_args, lambda *a: events.append(a), noise)
    kept, seen = noise.clone(), []

    def sample(given: SamplerCall) -> torch.Tensor:
        assert given.callback is not None and "denoise_mask" not in given.extra_args
        given.extra_args["denoise_mask"] = 1
        given.noise.mul_(2)  # a sampler may write into it
        for i in (0, 1, 2):  # an adaptive sampler counts past its total
            given.callback(i, "x0", "x", 2)
        seen.append(torch.randn(3))
        events.append("pass")
        return seen[-1]

    torch.manual_seed(11)
    expected = torch.randn(3)
    torch.manual_seed(11)
    found = sample_twice(call, sample, lambda: events.append("between"))
    assert torch.equal(seen[0], expected) and torch.equal(found, expected)
    assert torch.equal(noise, kept) and extra_args == {"seed": 3}
    assert hook.begun == [model] and other.begun == [model]
    counts = [(e[0], e[3]) if isinstance(e, tuple) else e for e in events]
    assert counts == [(0, 4), (1, 4), (1, 4), "pass", "weights", "between", (2, 4), (3, 4), (3, 4), "pass"]
    assert all(e[1:3] == ("x0", "x") for e in events if isinstance(e, tuple))
