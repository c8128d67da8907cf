"""Gradients that every family promises, with our methods in it, on tiny networks of random weights."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from attention_director.bridge.run.gradients import checkpointed, gradients, trainable
from attention_director.bridge.run.install import install
from attention_director.core.call import AttentionCall, LowRankBias
from contract_scene import Everywhere, entries, held_by, ours
from families import Entry
from network_call import NetworkCall, call_of
from scene import PROMPT, frozen


@entries
@pytest.mark.parametrize("recomputed", [False, True], ids=["kept", "recomputed"])
def test_a_gradient_is_the_slope(entry: Entry, recomputed: bool) -> None:
    """Through the network with our methods in it, in float64, against a finite difference."""
    call = gradient_call(entry)
    network, family = call.network, call.family
    towards, to = call.random(0), call.random(1)
    with torch.inference_mode(), gradients(network), family.differentiable(network):
        point = trainable(call.x)
        with checkpointed(family.recomputed(network) if recomputed else []):
            slope, = torch.autograd.grad((call(point) * to).sum(), point)
        ahead, behind = ((call(call.x + step * towards) * to).sum() for step in (1e-7, -1e-7))
    expected = float(ahead - behind) / 2e-7
    assert float((slope * towards).sum()) == pytest.approx(expected, rel=1e-6)
    assert abs(expected) > 1e-2


@entries
def test_a_gradient_of_the_taps_is_the_slope_and_the_rest_has_none(entry: Entry) -> None:
    call = gradient_call(entry)
    network, family = call.network, call.family
    taps = family.taps(network, "Contract")
    assert 1 <= len(taps.blocks) <= 9 and len(set(taps.blocks)) == len(taps.blocks)

    def loss(point: torch.Tensor, cut: bool) -> tuple[torch.Tensor, torch.Tensor]:
        with family.capturing(network, taps, call.options, call.inputs, cut) as (options, found):
            out = call(point, options)
        assert tuple(found) == taps.blocks and all(found[tap].shape[1] == tap.channels for tap in taps.blocks)
        return sum(found[tap].square().mean() for tap in taps.blocks), out

    with torch.inference_mode(), gradients(network), family.differentiable(network):
        point, towards = trainable(call.x), call.random(0)
        (value, out), (_, whole) = loss(point, True), loss(point, False)
        slope, = torch.autograd.grad(value, point)
        ahead, behind = (float(loss(call.x + step * towards, True)[0]) for step in (1e-7, -1e-7))
    assert torch.equal(out, whole) and whole.requires_grad and not out.requires_grad
    assert float((slope * towards).sum()) == pytest.approx((ahead - behind) / 2e-7, rel=1e-6)
    assert abs(ahead - behind) > 1e-9


@entries
@pytest.mark.parametrize("where", ["forward", "backward", "recomputation"])
def test_an_interrupted_gradient_leaves_everything_as_it_was(entry: Entry, where: str) -> None:
    import comfy.model_management as management

    call = gradient_call(entry)
    network, family = call.network, call.family
    blocks, calls = family.recomputed(network), itertools.count()
    inside = [part for part in blocks[1].modules() if isinstance(part, (torch.nn.Linear, torch.nn.Conv2d))]

    def stop(*_: Any) -> None:
        if where == "backward" or next(calls) == (where == "recomputation"):
            raise management.InterruptProcessingException

    def stop_going_back(_module: Any, _args: Any, out: torch.Tensor) -> None:
        if out.requires_grad:
            out.register_hook(stop)

    inside[0].register_forward_pre_hook(stop if where != "backward" else lambda *_: None)
    for part in inside if where == "backward" else ():
        part.register_forward_hook(stop_going_back)
    before, options, taps = held_by(network), frozen(call.options), family.taps(network, "Contract")
    with pytest.raises(management.InterruptProcessingException), torch.inference_mode(), gradients(network), \
            family.differentiable(network), checkpointed(blocks if where == "recomputation" else []), \
            family.capturing(network, taps, call.options, call.inputs, False) as (its_options, _):
        point = trainable(call.x)
        torch.autograd.grad(call(point, its_options).sum(), point)
    assert (held_by(network), frozen(call.options)) == (before, options)
    assert not management.in_training


def gradient_call(entry: Entry) -> NetworkCall:
    return call_of(entry, install(entry.model(), Everywhere(halved_with_bias)), ours(entry.encode(PROMPT)), (8, 8))


def halved_with_bias(call: AttentionCall, attend: Any) -> torch.Tensor:
    left = torch.linspace(-1, 1, call.q.shape[2], dtype=call.q.dtype)[None, None, :, None].expand(*call.q.shape[:3], 1)
    right = torch.linspace(0, 1, call.k.shape[2], dtype=call.q.dtype)[None, None, :, None]
    return 0.5 * attend(replace(call, bias=LowRankBias(left, right) + call.bias))
