"""Shared Subject beside a control net of the host's own class, with random weights."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from scene import assert_differs, assert_same, family
from sketch_scene import circle
from stories import shared

FULL: dict[str, Any] = dict(injection_start_percent=0.0, injection_end_percent=0.9, query_blend_end_percent=0.9)
# Two passes, and every hook, for nothing; test_shared_subject.py says what their equality takes.
NEUTRAL: dict[str, Any] = dict(start_percent=0.0, end_percent=0.0, injection=1e-40, injection_start_percent=0.0,
                               injection_end_percent=1.0)
WIDE = (12, 20)


def controlled(name: str, positive: list, negative: list, strength: float = 1.0, start: float = 0.0,
               end: float = 1.0) -> tuple[list, list]:
    """Apply ControlNet (Advanced) with the drawing of a circle."""
    from nodes import ControlNetApplyAdvanced

    return ControlNetApplyAdvanced().apply_controlnet(positive, negative, tiny.control_net(name), circle(), strength,
                                                      start, end)


def generated(model: Any, told: Any, conds: tuple[list, list], **options: Any) -> torch.Tensor:
    return tiny.sample(model, *conds, latent=told.latent, **options)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
@pytest.mark.parametrize("size", [(16, 16), WIDE])
def test_both_are_heard_by_every_scene(name: str, size: tuple[int, int]) -> None:
    model, clip, negative = family(name)
    told = shared(model, clip, size=size, **FULL)
    conds = controlled(name, told.positive, negative)
    both = generated(told.model, told, conds)
    for other in (generated(model, told, conds), generated(told.model, told, (told.positive, negative))):
        for row in range(3):
            assert_differs(both[row], other[row], least=0.02)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_strength_zero_of_either_is_the_other_alone(name: str) -> None:
    model, clip, negative = family(name)
    silent = shared(model, clip, strength=0.0)
    assert silent.model is model
    told = shared(model, clip, **FULL)
    off = controlled(name, told.positive, negative, strength=0.0)
    assert torch.equal(generated(told.model, told, off), generated(told.model, told, (told.positive, negative)))


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
@pytest.mark.parametrize("window", [(0.0, 1.0), (0.2, 0.7)])
def test_two_neutral_passes_with_a_control_net_are_bitwise_one_run(name: str, window: tuple[float, float]) -> None:
    """It keeps a hint and a window between calls; neither may know that there were two passes."""
    model, clip, negative = family(name)
    told = shared(model, clip, **NEUTRAL)
    conds = controlled(name, told.positive, negative, 1.0, *window)
    expected = generated(model, told, conds)
    assert torch.equal(generated(told.model, told, conds), expected)
    assert_differs(expected, generated(model, told, (told.positive, negative)), least=0.02)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
@pytest.mark.parametrize("size", [(16, 16), WIDE])
def test_blended_queries_are_those_of_a_separate_controlled_call(name: str, size: tuple[int, int],
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step shares nothing, so the second begins where the plain run's does: the queries of our extra
    forward there (the third step's lie outside the window) are compared with those of the model called by itself,
    with the control net and without."""
    from attention_director.bridge.subject.key_sharer import PlainQueries

    model, clip, negative = family(name)
    told = shared(model, clip, size=size, injection=0.0, query_blend_end_percent=0.9)
    conds = controlled(name, told.positive, negative)
    found: dict[Any, torch.Tensor] = {}
    real = PlainQueries.__call__

    def listening(self: Any, call: Any, attend: Any) -> torch.Tensor:
        found[call.layer] = call.q.clone()
        return real(self, call, attend)

    monkeypatch.setattr(PlainQueries, "__call__", listening)
    generated(told.model, told, conds, steps=3)
    assert found
    expected = second_queries(model, found, lambda: generated(model, told, conds, steps=3))
    without = second_queries(model, found, lambda: generated(model, told, (told.positive, negative), steps=3))
    for layer, q in found.items():
        torch.testing.assert_close(q, heads(expected[layer], q), rtol=1e-4, atol=1e-4)
        assert float((q - heads(without[layer], q)).abs().max()) > 1e-2


def second_queries(model: Any, layers: Any, run: Any) -> dict[Any, torch.Tensor]:
    """What each layer's to_q gave in the second call of a run, [B, N, H * D]."""
    from attention_director.bridge.families.unet import UNetNetwork

    network = UNetNetwork(model.model.diffusion_model, (0, 0))
    kept: dict[Any, list[torch.Tensor]] = {layer: [] for layer in layers}

    def keep(layer: Any) -> Any:
        return lambda _module, _inputs, out: kept[layer].append(out.clone())

    hooks = [network.module(layer).to_q.register_forward_hook(keep(layer)) for layer in layers]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    assert {len(calls) for calls in kept.values()} == {3}, "one forward a step"
    return {layer: calls[1] for layer, calls in kept.items()}


def heads(q: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """[B, N, H * D] as [B, H, N, D]."""
    return q.unflatten(-1, (like.shape[1], like.shape[3])).transpose(1, 2)


def test_the_plain_forward_does_not_use_the_control_up() -> None:
    """Every forward pops its residuals from lists: with blending the shared one must still find its own.

    A share of 1e-40 of the plain queries is lost in rounding.
    """
    model, clip, negative = family()
    told = shared(model, clip, injection=0.0, query_blend=1e-40, query_blend_end_percent=0.9)
    none = shared(model, clip, injection=0.0, query_blend=0.0)
    conds = controlled("sd15", told.positive, negative)
    without = generated(none.model, none, controlled("sd15", none.positive, negative))
    assert_same(generated(told.model, told, conds), without)
