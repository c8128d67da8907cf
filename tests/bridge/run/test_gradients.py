"""Gradients through networks whose weights were loaded in inference mode, as the server loads them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import torch
from attention_director.bridge.run import gradients as g


class Interrupt(BaseException):
    pass


def network(dtype: torch.dtype = torch.float64) -> torch.nn.Module:
    """A small network as the server would have it: every weight and buffer an inference tensor."""
    torch.manual_seed(0)
    with torch.inference_mode():
        net = torch.nn.Sequential(torch.nn.Conv2d(2, 8, 3, padding=1), torch.nn.BatchNorm2d(8), torch.nn.Tanh(),
                                  torch.nn.Conv2d(8, 8, 3, padding=1), torch.nn.SiLU(), torch.nn.Conv2d(8, 3, 1))
        return net.to(dtype).eval().requires_grad_(False)


def objects(module: torch.nn.Module) -> list[int]:
    return [id(v) for part in module.modules() for store in (part._parameters, part._buffers) for v in store.values()]


def x(dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(2, 2, 5, 5, dtype=dtype, generator=torch.Generator().manual_seed(1))


def test_loaded_weights_refuse_a_backward_pass_and_the_aliases_do_not() -> None:
    net = network()
    with torch.inference_mode(), torch.inference_mode(False), torch.enable_grad(), \
            pytest.raises(RuntimeError, match="[Ii]nference tensors cannot be saved"):
        net(g.trainable(x())).sum().backward()
    with torch.inference_mode(), g.gradients(net):
        point = g.trainable(x())
        found, = torch.autograd.grad(net(point).square().sum(), point)
    torch.manual_seed(0)
    free = network().to(torch.float64)
    with torch.inference_mode(False):
        point = x()
        step = torch.zeros_like(point)
        step[0, 1, 2, 3] = 1e-6
        slope = (free(point + step).square().sum() - free(point - step).square().sum()) / 2e-6
    assert float(found[0, 1, 2, 3]) == pytest.approx(float(slope), rel=1e-6)


def test_no_weight_is_copied_and_all_are_put_back() -> None:
    net = network()
    before, pointers = objects(net), [p.data_ptr() for p in net.state_dict().values()]
    with torch.inference_mode(), g.gradients(net):
        assert [p.data_ptr() for p in net.state_dict().values()] == pointers
        assert not any(p.is_inference() or p.requires_grad for p in [*net.parameters(), *net.buffers()])
        assert not set(before) & set(objects(net))
    assert objects(net) == before


def test_aliases_are_known_again_until_a_weight_moves() -> None:
    net, known = network(), g.WeightAliases()
    held = []
    for moved in (False, False, True):
        if moved:
            with torch.inference_mode():
                net[0].weight.data = net[0].weight.data.clone()
        with torch.inference_mode(), g.gradients(net, known=known):
            held.append([net[0].weight, net[3].weight])
    assert held[0][0] is held[1][0] and held[0][1] is held[2][1] and held[2][0] is not held[0][0]


def test_an_interrupted_run_puts_the_same_objects_back() -> None:
    net = network()
    before, block = objects(net), net[3]
    with pytest.raises(Interrupt), torch.inference_mode(), g.gradients(net), g.checkpointed([block]):
        net(g.trainable(x()))
        raise Interrupt
    assert objects(net) == before and "forward" not in block.__dict__


def test_a_weight_that_the_host_sets_meanwhile_stays() -> None:
    net = network()
    other = torch.nn.Parameter(torch.ones(3, dtype=torch.float64), requires_grad=False)
    with torch.inference_mode(), g.gradients(net):
        net[5].bias = other
        net[0].bias.mul_(2)
    assert net[5].bias is other
    assert torch.equal(net[0].bias, network()[0].bias * 2), "changed in place, in the storage they share"


def test_shared_weights_stay_shared_and_notes_stay_on_them() -> None:
    net = network()
    net[3].weight.note = "kept"
    net.add_module("again", net[3])
    with g.differentiable_weights(net):
        assert net.again.weight is net[3].weight and net[3].weight.note == "kept"


def test_what_a_patch_made_in_inference_mode_may_meet_the_graph() -> None:
    """Keys and values of an adapter, masks kept from an earlier step: taken by alias, written in place too."""
    with torch.inference_mode():
        factor, extra, kept = x() + 1, x() * 2, torch.zeros(2, 2, 5, 5, dtype=torch.float64)
    with torch.inference_mode(), g.gradients():
        point = g.trainable(x())
        kept.add_(1)
        joined = torch.cat([point * factor, extra], 1) * kept.repeat(1, 2, 1, 1)
        attended = torch.nn.functional.scaled_dot_product_attention(point, value=extra, key=factor)
        found, = torch.autograd.grad((joined ** 2).sum() + 0 * attended.sum(), point)
    torch.testing.assert_close(found, 2 * point * factor ** 2)
    assert float(kept.sum()) == kept.numel()


def test_nothing_outlives_the_block() -> None:
    net = network()
    with torch.inference_mode(), g.gradients(net):
        point = g.trainable(x())
        alias = weakref.ref(net[0].weight)
        torch.autograd.grad(net(point).sum(), point)
    gc.collect()
    assert alias() is None


def test_recomputed_blocks_give_the_same_gradient_and_options_as_they_were() -> None:
    seen: list[str] = []

    class Block(torch.nn.Module):
        def forward(self, value: torch.Tensor, options: dict) -> torch.Tensor:
            seen.append(options["block"])
            return value.sin() * value

    blocks = [Block(), Block()]

    def run(point: torch.Tensor) -> torch.Tensor:
        options = {}
        for name, block in zip("ab", blocks, strict=True):
            options["block"] = name
            point = block(point, options)
        return point.sum()

    with torch.inference_mode(), g.gradients():
        point = g.trainable(x())
        plain, = torch.autograd.grad(run(point), point)
        seen.clear()
        with g.checkpointed(blocks):
            again, = torch.autograd.grad(run(point), point)
    assert torch.equal(plain, again) and seen == ["a", "b", "b", "a"]


def test_recomputed_blocks_find_what_they_depend_on_as_it_was() -> None:
    """A block that counts its calls computes the same again, though others have counted on meanwhile."""
    calls = {"count": 0}

    @contextmanager
    def back(count: int) -> Iterator[None]:
        before, calls["count"] = calls["count"], count
        try:
            yield
        finally:
            calls["count"] = before

    class Block(torch.nn.Module):
        def forward(self, value: torch.Tensor) -> torch.Tensor:
            calls["count"] += 1
            return (calls["count"] * value).sin()

    blocks = [Block(), Block()]

    def slope(blocks_kept: list[torch.nn.Module]) -> torch.Tensor:
        calls["count"] = 0
        with g.checkpointed(blocks_kept, lambda: partial(back, calls["count"])):
            point = g.trainable(x())
            found, = torch.autograd.grad(blocks[1](blocks[0](point)).sum(), point)
        return found

    with torch.inference_mode(), g.gradients():
        assert torch.equal(slope([]), slope(blocks)) and calls["count"] == 2


def test_half_precision_is_scaled_into_its_range() -> None:
    """A gradient that float16 would lose, small and large, comes out with the direction of float64."""
    point, weight = x(), torch.linspace(0.5, 2, 2, dtype=torch.float64)[:, None, None]

    def direction(dtype: torch.dtype, size: float) -> torch.Tensor:
        leaf = g.trainable(point.to(dtype))
        found = g.gradient_of([leaf * weight.to(dtype)], leaf, [torch.full_like(point, size)])
        assert found is not None
        return torch.nn.functional.normalize(found.double().flatten(), dim=0)

    for size in (1e-12, 1.0, 1e12):
        torch.testing.assert_close(direction(torch.float16, size), direction(torch.float64, size), atol=1e-3, rtol=0)


def test_a_gradient_that_overflows_is_tried_again_smaller_and_then_given_up() -> None:
    leaf = g.trainable(torch.ones(4, dtype=torch.float16))
    found = g.gradient_of([leaf * 60000 * 100 ** 0.5], leaf, [torch.ones(4)])
    assert found is not None and found.isfinite().all() and found.abs().min() > 0
    leaf = g.trainable(torch.ones(4))
    assert g.gradient_of([leaf / 0], leaf, [torch.ones(4)]) is None


def test_foreign_tensors_can_be_left_out_and_are_known_when_they_come() -> None:
    with torch.inference_mode():
        factor = x() + 1
    with torch.inference_mode(), g.gradients(foreign_tensors=False):
        point = g.trainable(x())
        with pytest.raises(RuntimeError) as refusal:
            (point * factor).sum().backward()
    assert g.is_inference_error(refusal.value) and not g.is_inference_error(RuntimeError("out of memory"))
