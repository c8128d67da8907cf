"""Other packs' attention, masks and scales beneath the methods on networks with joint attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tiny_joint
import torch
from joint_scene import Watcher, sample, tagged, watched


def eight_bits(x: torch.Tensor) -> torch.Tensor:
    step = x.abs().amax((-1, -2), keepdim=True) / 127
    return (x / step).round() * step


def rounded(func: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *args: Any,
            **kwargs: Any) -> torch.Tensor:
    """Another pack's attention of eight bits."""
    return func(eight_bits(q), eight_bits(k), v, heads, *args, **kwargs)


def narrow(func: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *args: Any,
           **kwargs: Any) -> torch.Tensor:
    """One that takes no heads but the usual."""
    if q.shape[-1] not in (24, 32, 64, 128):
        raise ValueError(f"unsupported head_dim {q.shape[-1]}")
    return func(q, k, v, heads, *args, **kwargs)


def halved(func: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *args: Any,
           **kwargs: Any) -> torch.Tensor:
    return 0.5 * func(q, k, v, heads, *args, **kwargs)


def towards_words(call: Any) -> Any:
    from attention_director.core.call import LowRankBias

    words = torch.zeros(1, 1, call.k.shape[2], 1)
    words[:, :, 2:5] = 3.0
    return replace(call, bias=LowRankBias(torch.ones(*call.q.shape[:3], 1), words))


def with_override(foreign: Any, name: str = "flux") -> Any:
    other = tiny_joint.model(name).clone()
    other.model_options["transformer_options"]["optimized_attention_override"] = foreign
    return other


@pytest.mark.parametrize("name", tiny_joint.CONFIGS)
def test_another_packs_override_becomes_the_innermost_kernel(name: str) -> None:
    other = with_override(halved, name)
    assert torch.equal(sample(watched(Watcher(), other), tagged()), sample(other, tagged()))


@pytest.mark.parametrize("foreign", [rounded, narrow])
def test_an_attention_that_loses_a_bias_is_seen_and_said(foreign: Any, caplog: pytest.LogCaptureFixture) -> None:
    directed = watched(Watcher(change=towards_words), with_override(foreign))
    with caplog.at_level("INFO"):
        got = sample(directed, tagged(), cfg=1.0)
    wanted = sample(watched(Watcher(change=towards_words), tiny_joint.model("flux")), tagged(), cfg=1.0)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
    assert caplog.text.count("Watcher: the attention that another node put on the model cannot follow") == 1
    assert "in 5 layers ComfyUI's own attention took the place of another node's" in caplog.text


@pytest.mark.parametrize("spread", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_it_is_seen_whatever_the_logits_are(spread: float, dtype: torch.dtype) -> None:
    from attention_director.bridge.families.kernel import takes_bias
    from attention_director.core.call import AttentionCall, LowRankBias, Scratch, Step
    from attention_director.core.network import LayerAddress
    from attention_director.core.sequence import image_axis

    def exact(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    def coarse(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return exact(eight_bits(q), eight_bits(k), v)

    q, k, v = (torch.randn(3, 2, 4, 64, 64, generator=torch.Generator().manual_seed(1))).to(dtype)
    bias = LowRankBias(torch.ones(2, 4, 64, 5), torch.ones(1, 1, 64, 5))
    axis, layer = image_axis((8, 8)), LayerAddress("single", 0, 0, "joint")
    call = AttentionCall(q * spread, k, v, layer, axis, axis, (8, 8), (), Step(1.0, 0.0), Scratch(), bias)
    assert takes_bias(exact, call) and not takes_bias(coarse, call)


def test_an_attention_that_keeps_a_bias_stays_beneath_it(caplog: pytest.LogCaptureFixture) -> None:
    class Half(Watcher):
        def __call__(self, call: Any, attend: Any) -> torch.Tensor:
            return 0.5 * attend(towards_words(call))

    got = sample(watched(Watcher(change=towards_words), with_override(halved)), tagged(), cfg=1.0)
    wanted = sample(watched(Half(), tiny_joint.model("flux")), tagged(), cfg=1.0)
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
    assert "cannot follow" not in caplog.text


def test_a_sequence_that_another_node_makes_longer_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Tokens of no known place: nobody can say which pixel is which."""
    def longer(args: dict) -> dict:
        extra, ids = args["img"][:, :3], args["img_ids"][:, :3]
        return args | {"img": torch.cat((args["img"], extra), 1), "img_ids": torch.cat((args["img_ids"], ids), 1)}

    other = tiny_joint.model("flux").clone()
    other.set_model_post_input_patch(longer)
    watcher = Watcher(change=towards_words)
    with caplog.at_level("INFO"):
        samples = sample(watched(watcher, other), tagged())
    assert torch.equal(samples, sample(other, tagged())) and not watcher.seen
    assert "Watcher: nothing happened: left out in all 5 layers whose pixels another node rearranged" in caplog.text


def test_blocks_that_another_node_computes_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """Another pack may replace whole blocks; then nobody asks for the attention in them."""
    other = tiny_joint.model("flux").clone()
    kept = {("double_block", i): lambda args, _extra: {"img": args["img"], "txt": args["txt"]} for i in range(2)}
    kept |= {("single_block", i): lambda args, _extra: {"img": args["img"]} for i in range(3)}
    other.model_options["transformer_options"]["patches_replace"] = {"dit": kept}
    with caplog.at_level("INFO"):
        sample(watched(Watcher(), other), tagged())
    assert "Watcher: nothing happened: another node computes this model's attention in its own way" in caplog.text


@pytest.mark.parametrize("biased", [False, True])
def test_a_scale_and_a_mask_of_the_host_stay(biased: bool) -> None:
    """Asked of the override as a model with its own scale asks it; a bias too wide for the kernels is explicit."""
    from attention_director.bridge.families.joint import Override, Place, joint_axis
    from attention_director.core.call import LowRankBias, RowSpan, Scratch, Step
    from attention_director.core.method import Chain, ModelCall
    from attention_director.core.network import LayerAddress
    from comfy.ldm.modules.attention import attention_pytorch

    q, k, v = torch.randn(3, 1, 2, 11, 16, generator=torch.Generator().manual_seed(1))
    left, right = torch.randn(2, 1, 2, 11, 250, generator=torch.Generator().manual_seed(2)) * 0.2
    mask = torch.rand(11, 11, generator=torch.Generator().manual_seed(3)) > 0.3
    method = Watcher(change=lambda call: replace(call, bias=LowRankBias(left, right) if biased else None))
    call = ModelCall((RowSpan(0, 1, None),), Step(1.0, 0.0), Chain((method,)), Scratch())
    layer = LayerAddress("single", 0, 0, "joint")
    override = Override((4, 6), lambda options, count: Place(layer, joint_axis(5, (2, 3))), call)
    got = override(attention_pytorch.__wrapped__, q, k, v, 2, mask=mask, skip_reshape=True, skip_output_reshape=True,
                   scale=0.1)
    scores = 0.1 * q @ k.transpose(-1, -2) + (left @ right.transpose(-1, -2) if biased else 0.0)
    wanted = torch.softmax(scores.masked_fill(~mask, -torch.inf), -1) @ v
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-5)
