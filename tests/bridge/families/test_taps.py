"""Which block outputs are read, and that reading them changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from attention_director.bridge.families import unet_taps as taps
from scene import family


def network(name: str = "sd15") -> Any:
    return tiny.model(name).model.diffusion_model


def call(net: Any, name: str, options: dict, control: Any = None) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 16, 24, generator=generator)
    context = torch.randn(2, 77, net.input_blocks[-1][1].transformer_blocks[0].attn2.to_k.in_features
                          if name == "sdxl" else 32, generator=generator)
    y = torch.randn(2, 1568, generator=generator) if name == "sdxl" else None
    return net(x, torch.tensor([500.0, 20.0]), context, y, control, options)


def names(name: str) -> list[str]:
    return [str(t) for t in taps.taps_of(network(name)).blocks]


def test_the_papers_table_is_found_in_the_papers_models() -> None:
    """LDM's input 2, 4, 8; middle 0, 1, 2; output 2, 4, 8."""
    expected = ["input 2", "input 4", "input 8", "middle 0", "middle 1", "middle 2", "output 2", "output 4", "output 8"]
    assert names("sd15") == names("sd2") == expected


def test_sdxl_and_the_demo_model_have_three_levels() -> None:
    from attention_director.bridge.demo.model import load_demo_model

    expected = ["input 2", "input 5", "input 8", "middle 0", "middle 1", "middle 2", "output 2", "output 5", "output 8"]
    assert names("sdxl") == expected
    with torch.inference_mode():
        model, _, _ = load_demo_model()
    found = taps.taps_of(model.model.diffusion_model)
    assert list(map(str, found.blocks)) == expected and set(found.channels) == {96} and found.patch is None


def test_a_full_size_model_has_the_papers_channels() -> None:
    """9280 in all, as METHODS.md 5.2 adds them up; built without memory."""
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    config = tiny.SD15 | {"model_channels": 320, "channel_mult": [1, 2, 4, 4], "context_dim": 768, "num_heads": 8}
    with torch.device("meta"):
        net = UNetModel(**{k: list(v) if isinstance(v, list) else v for k, v in config.items()}, dtype=torch.float16,
                        operations=comfy.ops.disable_weight_init)
    assert list(taps.taps_of(net).channels) == [320, 640, 1280, 1280, 1280, 1280, 1280, 1280, 640]


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl"])
@pytest.mark.parametrize("cut", [False, True])
def test_what_is_captured_is_what_left_the_block(name: str, cut: bool) -> None:
    """Against torch hooks on the last module of each block; the prediction stays bitwise the same."""
    net, table = network(name), taps.taps_of(network(name))
    plain = call(net, name, {})
    left: dict[str, torch.Tensor] = {}
    stages = {"input": net.input_blocks, "middle": [[m] for m in net.middle_block], "output": net.output_blocks}
    handles = [list(stages[t.stage][t.block])[-1].register_forward_hook(
        lambda _m, _a, out, t=t: left.__setitem__(str(t), out.clone())) for t in table.blocks]
    try:
        with torch.inference_mode(False), torch.no_grad(), taps.capturing(net, table, {}, cut) as (options, found):
            again = call(net, name, options)
    finally:
        for handle in handles:
            handle.remove()
    assert torch.equal(plain, again)
    assert list(map(str, found)) and set(map(str, found)) == set(map(str, table.blocks))
    for tap, value in found.items():
        assert torch.equal(value, left[str(tap)]) and value.shape[1] == tap.channels


def test_a_control_net_on_the_way_up_does_not_reach_back() -> None:
    """Its residuals are added in place to the very tensors that left the way down."""
    net, table = network(), taps.taps_of(network())
    with torch.no_grad(), taps.capturing(net, table, {}, False) as (options, found):
        call(net, "sd15", options)
    before = {str(t): v.clone() for t, v in found.items() if t.stage == "input"}
    shapes: list[Any] = []
    patch = {"output_block_patch": [lambda h, skip, options: (shapes.append(skip), (h, skip))[1]]}
    call(net, "sd15", {"patches": patch})
    control = {"output": [torch.ones_like(s) for s in reversed(shapes)]}
    with torch.no_grad(), taps.capturing(net, table, {}, False) as (options, found):
        call(net, "sd15", options, control)
    assert before and all(torch.equal(v, before[str(t)]) for t, v in found.items() if t.stage == "input")


def test_nothing_is_left_on_the_network() -> None:
    net, given = network(), {"patches": {"input_block_patch": [lambda h, _o: h]}, "other": 1}
    with pytest.raises(KeyError), taps.capturing(net, taps.taps_of(net), given, True) as (options, _):
        assert len(options["patches"]["input_block_patch"]) == 2 and options["other"] == 1
        raise KeyError
    assert not any(m._forward_hooks for m in net.modules())
    assert list(given["patches"]) == ["input_block_patch"] and len(given["patches"]["input_block_patch"]) == 1


def test_a_model_with_too_few_levels_is_refused() -> None:
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    family()
    config = tiny.SD15 | {"num_res_blocks": [2, 2], "channel_mult": [1, 2], "transformer_depth": [1] * 4,
                          "transformer_depth_output": [1] * 6}
    net = UNetModel(**{k: list(v) if isinstance(v, list) else v for k, v in config.items()}, dtype=torch.float32,
                    operations=comfy.ops.disable_weight_init)
    with pytest.raises(ValueError, match="this UNet has 2 levels"):
        taps.taps_of(net)
