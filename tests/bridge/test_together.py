"""Methods stacked on one transformer: in any order the same picture, and beside what others bring.

A method that comes to act in joint layers is one more line in METHODS.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import combinations
from typing import Any

import pytest
import sketch_scene
import tiny_joint
import torch
from attention_director.bridge.errors import DirectorError
from edit_scene import OFF, attention_edit
from families import half_as_much
from recording import recorded
from reference_scene import LATENT, clip_of, identity, model_of, sample
from scene import assert_differs, encode, region_prompt
from stories import shared

pytestmark = pytest.mark.usefixtures("store")
MODEL = "flux-dev"
# Two pictures: the second is an edit of the first, and a scene of the same story.
TEXT = "a red hat and a blue dog on the grass\na red cat and a blue dog on the grass"
Stack = tuple[Any, list]  # a model, and the positive that belongs to it
Add = Callable[[Any, list, float], Stack]  # what a node makes of them, at a strength


def region_prompt_on(model: Any, positive: list, strength: float = 1.0) -> Stack:
    graph = region_prompt(model, clip_of(MODEL), positive, preset="strong", strength=strength)
    return graph.model, graph.positive


def attention_edit_on(model: Any, positive: list, strength: float = 1.0) -> Stack:
    windows = {"self_end_percent": 0.6} if strength else OFF
    graph = attention_edit(model, clip_of(MODEL), positive, "", latent=latent(), **windows)
    return graph.model, graph.positive


def shared_subject_on(model: Any, positive: list, strength: float = 1.0) -> Stack:
    told = shared(model, clip_of(MODEL), positive, "blue dog", anchors=1, mode="one-pass", latent=latent(),
                  strength=strength)
    return told.model, told.positive


def sketch_guidance_on(model: Any, positive: list, strength: float = 1.0) -> Stack:
    return sketch_scene.sketch(model, strength=strength, pred=predictor()), positive


def identity_inject_on(model: Any, positive: list, strength: float = 1.0) -> Stack:
    return identity(MODEL, positive, model=model, strength=strength)


METHODS: dict[str, Add] = {
    "RegionPrompt": region_prompt_on,
    "AttentionEdit": attention_edit_on,
    "SharedSubject": shared_subject_on,
    "SketchGuidance": sketch_guidance_on,
    "IdentityInject": identity_inject_on,
}
STACKS = [*combinations(METHODS, 2), tuple(METHODS)]
stacks = pytest.mark.parametrize("names", STACKS, ids="+".join)
methods = pytest.mark.parametrize("name", METHODS)


def latent() -> dict[str, torch.Tensor]:
    return {"samples": torch.zeros(2, 16, *LATENT)}


@cache
def predictor() -> Any:
    return sketch_scene.predictor(model_of(MODEL))


def prompt() -> list:
    return encode(clip_of(MODEL), TEXT, True)


def stacked(*names: str, on: Any = None, strength: float = 1.0) -> Stack:
    """The nodes one behind the other."""
    stack: Stack = (on or model_of(MODEL), prompt())
    for name in names:
        stack = METHODS[name](*stack, strength)
    return stack


def drawn(model: Any, positive: list, steps: int = 3) -> torch.Tensor:
    return sample(MODEL, model, positive, batch=2, steps=steps)


@cache
def plain() -> torch.Tensor:
    return drawn(model_of(MODEL), prompt())


@cache
def alone(name: str) -> torch.Tensor:
    return drawn(*stacked(name))


def assert_alike(a: torch.Tensor, b: torch.Tensor) -> None:
    """Equal but for the order in which columns of a bias are added up, on pictures of a spread of some units."""
    torch.testing.assert_close(a, b, rtol=0, atol=2e-3)


@stacks
def test_any_order_is_the_same_picture(names: tuple[str, ...]) -> None:
    picture = drawn(*stacked(*names))
    assert_alike(picture, drawn(*stacked(*names[::-1])))
    for name in names:
        assert_differs(picture, alone(name), least=1e-2)


def test_at_strength_0_all_of_them_are_bitwise_nothing() -> None:
    assert torch.equal(drawn(*stacked(*METHODS, strength=0.0)), plain())


@methods
def test_one_at_strength_0_leaves_another_bitwise_as_it_is(name: str) -> None:
    other = next(other for other in METHODS if other != name)
    assert torch.equal(drawn(*METHODS[name](*stacked(other), 0.0)), alone(other))


def test_a_recorder_changes_nothing() -> None:
    model, positive = stacked("RegionPrompt", "IdentityInject")
    assert torch.equal(drawn(recorded(model, positive), positive), drawn(model, positive))


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
    """Or refused by name, where a method needs every step."""
    try:
        model, positive = stacked(name)
        behind = drawn(OTHERS[other](model), positive, steps=6)
    except DirectorError as error:
        assert other == "EasyCache" and "EasyCache or LazyCache skips steps" in str(error)
        return
    assert_alike(behind, drawn(*stacked(name, on=OTHERS[other](model_of(MODEL))), steps=6))
    assert_differs(behind, drawn(model, positive, steps=6), least=1e-2)
    assert_differs(behind, drawn(OTHERS[other](model_of(MODEL)), prompt(), steps=6), least=1e-2)


def with_control_net(positive: list) -> list:
    """Of the family's own class: its blocks have attention too, which is none of ours."""
    from node_helpers import conditioning_set_values

    hint = torch.rand(1, 3, 96, 128, generator=torch.Generator().manual_seed(4))
    control = tiny_joint.control_net().copy().set_cond_hint(hint, 1.0, (0.0, 1.0))
    return conditioning_set_values(positive, {"control": control, "control_apply_to_uncond": True})


@methods
def test_beside_a_control_net_in_any_order(name: str) -> None:
    model, positive = stacked(name)
    behind = drawn(model, with_control_net(positive))
    before, its_positive = METHODS[name](model_of(MODEL), with_control_net(prompt()), 1.0)
    assert_alike(behind, drawn(before, its_positive))
    assert_differs(behind, alone(name), least=1e-2)
    assert_differs(behind, drawn(model_of(MODEL), with_control_net(prompt())), least=1e-2)
    off, its_positive = METHODS[name](model_of(MODEL), with_control_net(prompt()), 0.0)
    assert torch.equal(drawn(off, its_positive), drawn(model_of(MODEL), with_control_net(prompt())))


@methods
def test_beside_torch_compile(name: str) -> None:
    """Compiled and traced without our node first: the host's guards would then ignore it."""
    helpers = pytest.importorskip("comfy_api.torch_helpers")
    nodes = pytest.importorskip("comfy_extras.nodes_torch_compile")
    compiled = model_of(MODEL).clone()
    helpers.set_torch_compile_wrapper(model=compiled, backend="eager",
                                      options={"guard_filter_fn": nodes.skip_torch_compile_dict})
    assert_alike(drawn(compiled, prompt()), plain())
    assert_alike(drawn(*stacked(name, on=compiled)), alone(name))
