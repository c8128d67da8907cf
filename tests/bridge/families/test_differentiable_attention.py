"""Attention with a backward pass: the host's numbers, whatever back end or override is there."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from attention_director.bridge.errors import DirectorError
from attention_director.bridge.families import differentiable_attention as d
from attention_director.bridge.run import gradients as g


@pytest.mark.parametrize("most", [0, d.MOST_PROBABILITIES], ids=["fused", "explicit"])
def test_the_hosts_network_has_a_gradient_with_any_back_end(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """Attention with a backward stands in wherever the host's options reach; the picture stays the same."""
    model = tiny.model().model
    options = d.with_differentiable_attention({"transformer_options": {"kept": 1}})["transformer_options"]
    assert options["kept"] == 1
    used: list[str] = []
    monkeypatch.setattr(d, "MOST_PROBABILITIES", most)
    for name in ("attention_pytorch", "_explicit"):
        real = getattr(d, name)
        monkeypatch.setattr(d, name, lambda *a, name=name, real=real, **k: used.append(name) or real(*a, **k))
    context = torch.randn(1, 77, 32)
    with torch.inference_mode(), g.gradients(model.diffusion_model):
        point = g.trainable(torch.randn(1, 4, 8, 8))
        out = model.diffusion_model(point, torch.tensor([500.0]), context, transformer_options=options)
        found, = torch.autograd.grad(out.square().sum(), point)
    assert found.isfinite().all() and float(found.abs().max()) > 0
    assert used == ["_explicit" if most else "attention_pytorch"] * 2 * 16


@pytest.mark.parametrize("skip_reshape", [False, True])
@pytest.mark.parametrize("skip_output", [False, True])
def test_explicit_attention_is_the_hosts_with_its_gradient(skip_reshape: bool, skip_output: bool,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """In float64, which the rule leaves to the fused kernel: a processor's rounding is no matter here."""
    from comfy.ldm.modules.attention import attention_pytorch, optimized_attention

    monkeypatch.setattr(d, "_better_explicit", lambda *_: True)
    torch.manual_seed(2)
    shapes = [(2, 4, n, 8) if skip_reshape else (2, n, 32) for n in (9, 7, 7)]
    made = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    ours, theirs = ([t.clone().requires_grad_() for t in made] for _ in range(2))
    options = d.with_differentiable_attention({})["transformer_options"]
    layout = {"skip_reshape": skip_reshape, "skip_output_reshape": skip_output}
    found = optimized_attention(*ours, 4, transformer_options=options, **layout)
    wanted = attention_pytorch(*theirs, 4, **layout)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)
    for a, b in zip(torch.autograd.grad(found.square().sum(), ours),
                    torch.autograd.grad(wanted.square().sum(), theirs), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_attention_with_a_mask_or_a_scale_or_too_wide_is_left_to_the_fused_kernel(
        monkeypatch: pytest.MonkeyPatch) -> None:
    from comfy.ldm.modules.attention import optimized_attention

    def refuse(*_: object) -> None:
        raise AssertionError("explicit")

    monkeypatch.setattr(d, "_explicit", refuse)
    options = d.with_differentiable_attention({})["transformer_options"]
    q = torch.randn(1, 5, 16)
    mask = torch.zeros(5, 5)
    optimized_attention(q, q, q, 2, mask, transformer_options=options)
    optimized_attention(q, q, q, 2, mask=mask, transformer_options=options)
    with pytest.raises(AssertionError, match="explicit"):
        optimized_attention(q, q, q, 2, transformer_options=options)
    monkeypatch.setattr(d, "MOST_PROBABILITIES", 49)
    optimized_attention(q, q, q, 2, transformer_options=options)


def foreign(backend: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *args: Any,
            **kwargs: Any) -> torch.Tensor:
    """Another pack's override: twice what the back end that it is given makes."""
    return 2 * backend(q, k, v, heads, *args, **kwargs)


@pytest.mark.parametrize("mask", [None, torch.zeros(5, 5)], ids=["explicit", "fused"])
def test_another_packs_override_stays_and_is_given_ours(mask: torch.Tensor | None) -> None:
    from comfy.ldm.modules.attention import attention_pytorch, optimized_attention

    given = {"transformer_options": {"optimized_attention_override": foreign}}
    options = d.with_differentiable_attention(given)["transformer_options"]
    assert given["transformer_options"] == {"optimized_attention_override": foreign}
    q = torch.randn(1, 5, 16, requires_grad=True)
    out = optimized_attention(q, q, q, 2, mask=mask, transformer_options=options)
    torch.testing.assert_close(out, 2 * attention_pytorch(q, q, q, 2, mask=mask), rtol=0, atol=1e-5)
    assert torch.autograd.grad(out.sum(), q)[0].isfinite().all()


def test_an_override_without_a_gradient_is_refused_by_name() -> None:
    from comfy.ldm.modules.attention import optimized_attention

    def quantised(_backend: Any, q: torch.Tensor, *_args: Any, **_kwargs: Any) -> torch.Tensor:
        return q.detach() * 2

    options = d.with_differentiable_attention(
        {"transformer_options": {"optimized_attention_override": quantised}}, "SketchGuidance")["transformer_options"]
    q = torch.randn(1, 5, 16)
    assert torch.equal(optimized_attention(q, q, q, 2, transformer_options=options), q * 2)
    with pytest.raises(DirectorError, match=r"SketchGuidance: \S*test_differentiable_attention replaces the attention "
                                            "by one without a gradient; bypass one of the two nodes"):
        optimized_attention(q.requires_grad_(), q, q, 2, transformer_options=options)
