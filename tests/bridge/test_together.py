"""Methods stacked on one transformer: in any order the same picture, and beside what others bring.

A method that comes to act in joint layers is one more line in METHODS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import permutations
from typing import Any

import pytest
import torch
from families import half_as_much
from recording import recorded
from reference_scene import clip_of, identity, model_of, sample
from scene import PROMPT, assert_differs, encode, host_encode, region_prompt

pytestmark = pytest.mark.usefixtures("store")
MODEL = "flux-dev"
Stack = tuple[Any, list]  # a model, and the positive that belongs to it
Add = Callable[[Any, list, float], Stack]  # what a node makes of them, at a strength


def region_prompt_on(model: Any, positive: list, strength: float = 1.0) -> Stack:
    graph = region_prompt(model, clip_of(MODEL), positive, preset="strong", strength=strength)
    return graph.model, graph.positive


def identity_inject_on(model: Any, positive: list, strength: float = 1.0) -> Stack:
    return identity(MODEL, positive, model=model, strength=strength)


METHODS: dict[str, Add] = {
    "RegionPrompt": region_prompt_on,
    "IdentityInject": identity_inject_on,
}
ORDERS = [*permutations(METHODS, 2), *([tuple(METHODS), tuple(METHODS)[::-1]] if len(METHODS) > 2 else ())]
orders = pytest.mark.parametrize("order", ORDERS, ids="+".join)
methods = pytest.mark.parametrize("name", METHODS)


def stacked(*names: str, on: Any = None, strength: float = 1.0) -> Stack:
    """The nodes one behind the other."""
    stack: Stack = (on or model_of(MODEL), encode(clip_of(MODEL), PROMPT))
    for name in names:
        stack = METHODS[name](*stack, strength)
    return stack


@cache
def plain() -> torch.Tensor:
    return sample(MODEL, model_of(MODEL), host_encode(clip_of(MODEL), PROMPT))


@cache
def in_the_first_order(names: frozenset[str]) -> torch.Tensor:
    return sample(MODEL, *stacked(*(name for name in METHODS if name in names)))


def assert_alike(a: torch.Tensor, b: torch.Tensor) -> None:
    """Equal but for the order in which columns of a bias are added up, on pictures of a spread of some units."""
    torch.testing.assert_close(a, b, rtol=0, atol=2e-3)


@orders
def test_any_order_is_the_same_picture(order: tuple[str, ...]) -> None:
    picture = sample(MODEL, *stacked(*order))
    assert_alike(picture, in_the_first_order(frozenset(order)))
    for name in order:  # each of them matters
        assert_differs(picture, in_the_first_order(frozenset(order) - {name}), least=1e-2)


@orders
def test_at_strength_0_a_stack_is_bitwise_nothing(order: tuple[str, ...]) -> None:
    assert torch.equal(sample(MODEL, *stacked(*order, strength=0.0)), plain())


@orders
def test_one_at_strength_0_leaves_the_others_bitwise_as_they_are(order: tuple[str, ...]) -> None:
    *kept, off = order
    model, positive = METHODS[off](*stacked(*kept), 0.0)
    assert torch.equal(sample(MODEL, model, positive), sample(MODEL, *stacked(*kept)))


@orders
def test_a_recorder_changes_nothing(order: tuple[str, ...]) -> None:
    model, positive = stacked(*order)
    assert torch.equal(sample(MODEL, recorded(model, positive), positive), sample(MODEL, model, positive))


def with_lora(model: Any) -> Any:
    """A model whose weights a LoRA changes."""
    name = "diffusion_model.single_blocks.1.linear1.weight"
    made, shape = model.clone(), dict(model.model.named_parameters())[name].shape
    made.add_patches({name: ("diff", (torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 0.04,))})
    return made


def with_easy_cache(model: Any) -> Any:
    """A cache that skips a step."""
    from comfy_extras.nodes_easycache import EasyCacheNode

    return EasyCacheNode.execute(model, 5.0, 0.2, 0.95, False).args[0]


OTHERS = {"LoRA": with_lora, "an override of attention": half_as_much, "EasyCache": with_easy_cache}


@methods
@pytest.mark.parametrize("other", OTHERS)
def test_beside_another_nodes_patch_in_any_order(name: str, other: str) -> None:
    model, positive = stacked(name)
    behind = sample(MODEL, OTHERS[other](model), positive, steps=6)
    before, positive = stacked(name, on=OTHERS[other](model_of(MODEL)))
    assert_alike(behind, sample(MODEL, before, positive, steps=6))
    assert_differs(behind, sample(MODEL, model, positive, steps=6), least=1e-2)
    assert_differs(behind, sample(MODEL, OTHERS[other](model_of(MODEL)), encode(clip_of(MODEL), PROMPT), steps=6), 1e-2)


@methods
def test_beside_torch_compile(name: str) -> None:
    """Compiled and traced without our node first: the host's guards would then ignore it."""
    helpers = pytest.importorskip("comfy_api.torch_helpers")
    nodes = pytest.importorskip("comfy_extras.nodes_torch_compile")
    compiled, positive = model_of(MODEL).clone(), host_encode(clip_of(MODEL), PROMPT)
    helpers.set_torch_compile_wrapper(model=compiled, backend="eager",
                                      options={"guard_filter_fn": nodes.skip_torch_compile_dict})
    assert_alike(sample(MODEL, compiled, positive), plain())
    assert_alike(sample(MODEL, *stacked(name, on=compiled)), sample(MODEL, *stacked(name)))
