"""The guided forward's ways: without a look at foreign tensors where none can be, with one where one was met."""

from __future__ import annotations

from typing import Any

import pytest
import sketch_scene as s
import tiny
import torch
from scene import family, host_encode

PROMPT = "a red hat and a blue dog"


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each graph was made with a look at foreign tensors."""
    from attention_director.bridge.sketch import guided_forward

    seen: list[bool] = []
    real = guided_forward.gradients

    def noted(*modules: Any, foreign_tensors: bool = True, **rest: Any) -> Any:
        seen.append(foreign_tensors)
        return real(*modules, foreign_tensors=foreign_tensors, **rest)

    monkeypatch.setattr(guided_forward, "gradients", noted)
    return seen


def test_a_plain_run_looks_at_no_arguments_and_draws_the_same(looked: list[bool],
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    from attention_director.bridge.sketch import guided_forward

    model, clip, negative = family("sd15")
    positive = host_encode(clip, PROMPT)
    plain = tiny.sample(s.sketch(model), positive, negative)
    assert looked and not any(looked)
    looked.clear()
    monkeypatch.setattr(guided_forward, "has_foreign", lambda _options: True)
    assert torch.equal(plain, tiny.sample(s.sketch(model), positive, negative)) and all(looked)


def test_a_patch_in_the_forward_is_looked_at_from_the_first_step(looked: list[bool]) -> None:
    model, clip, negative = family("sd15")
    with torch.inference_mode():
        key = torch.randn(1, 3, 32)

    def patch(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: dict) -> Any:
        return q * (1 + 0.01 * key.mean()), k, v

    patched = model.clone()
    patched.set_model_attn2_patch(patch)
    tiny.sample(s.sketch(patched), host_encode(clip, PROMPT), negative)
    assert looked and all(looked)


def test_a_foreign_tensor_met_unannounced_is_looked_for_from_then_on(looked: list[bool]) -> None:
    """A hook on a module is in no option of the host."""
    model, clip, negative = family("sd15")
    positive = host_encode(clip, PROMPT)
    with torch.inference_mode():
        factor = torch.full((1, 1, 1, 1), 1.01)
    block = model.model.diffusion_model.input_blocks[1][0]
    hook = block.register_forward_hook(lambda _module, _args, out: out * factor)
    try:
        found = tiny.sample(s.sketch(model), positive, negative)
        first = list(looked)
        again = tiny.sample(s.sketch(model), positive, negative)
    finally:
        hook.remove()
    assert first == [False] + [True] * (len(first) - 1) and len(first) > 2
    assert found.isfinite().all() and torch.equal(found, again)


def test_other_errors_come_through(monkeypatch: pytest.MonkeyPatch) -> None:
    model, clip, negative = family("sd15")

    def broken(*_args: Any) -> None:
        raise RuntimeError("broken")

    hook = model.model.diffusion_model.input_blocks[1][0].register_forward_pre_hook(broken)
    try:
        with pytest.raises(RuntimeError, match="broken"):
            tiny.sample(s.sketch(model), host_encode(clip, PROMPT), negative)
    finally:
        hook.remove()


def test_wrappers_of_others_are_foreign_and_our_own_is_not() -> None:
    from attention_director.bridge.sketch.guided_forward import WRAPPER_KEY, has_foreign

    assert not has_foreign({}) and not has_foreign({"patches": {}, "patches_replace": {"attn1": {}, "attn2": {}}})
    assert not has_foreign({"wrappers": {"diffusion_model": {WRAPPER_KEY: [print]}}})
    assert has_foreign({"wrappers": {"diffusion_model": {WRAPPER_KEY: [print], "other": [print]}}})
    assert has_foreign({"patches": {"attn1_patch": [print]}})
    assert has_foreign({"patches_replace": {"attn2": {("input", 1): print}}})
