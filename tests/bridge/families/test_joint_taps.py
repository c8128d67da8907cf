"""Which image tokens of a transformer are read, and that reading them changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_joint
import torch
from attention_director.bridge.errors import DirectorError
from attention_director.bridge.families.joint import joint_layers
from attention_director.bridge.families.joint_taps import joint_taps
from families import ENTRIES, encode_by_hand
from joint_scene import Watcher, watched
from network_call import NetworkCall, call_of

names = pytest.mark.parametrize("name", tiny_joint.CONFIGS)


def call(name: str, model: Any = None, size: tuple[int, int] = (7, 10), **values: Any) -> NetworkCall:
    positive = [[rows, known | values] for rows, known in encode_by_hand("a red hat and a dog")]
    return call_of(ENTRIES[name], model or tiny_joint.model(name), positive, size, precise=False)


def test_they_are_the_layers_in_which_the_layout_is_settled() -> None:
    flux = joint_taps(joint_layers((("double", 19), ("single", 38))), 3072, 2)
    assert list(map(str, flux.blocks)) == ["double 8", "double 14", "single 1", "single 6", "single 12", "single 17"]
    z_image = joint_taps(joint_layers((("joint", 30),)), 3840, 2)
    assert [tap.block for tap in z_image.blocks] == [4, 7, 10, 13, 16, 19]
    small = joint_taps(joint_layers((("double", 2), ("single", 4))), 256, 2)
    assert list(map(str, small.blocks)) == ["double 1", "single 0", "single 1"] and small.patch == 2


@names
def test_what_is_captured_are_the_image_tokens_that_left_the_block(name: str) -> None:
    """Against copies by torch hooks, at an odd height; the prediction stays bitwise the same."""
    its = call(name)
    taps, blocks = its.family.taps(its.network, "node"), its.family.recomputed(its.network)
    left: list[torch.Tensor] = []
    for block in blocks:
        block.register_forward_hook(lambda _m, _a, out: left.append((out[0] if type(out) is tuple else out).clone()))
    with torch.no_grad():
        plain = its(its.x)
        left.clear()
        with its.family.capturing(its.network, taps, its.options, its.inputs, False) as (options, found):
            assert torch.equal(its(its.x, options), plain)
    patch = taps.patch or 0
    grid = -(-7 // patch), -(-10 // patch)
    network = its.family.network(its.network, (7, 10))
    for tap in taps.blocks:
        number = next(n for n, at in enumerate(network.layers) if (at.stage, at.block) == (tap.stage, tap.block))
        begin = 0 if tap.stage == "double" else 32 if name == "zimage" else its.inputs.text
        tokens = left[number][:, begin:begin + grid[0] * grid[1]]
        assert torch.equal(found[tap], tokens.transpose(1, 2).reshape(1, -1, *grid))


def test_reference_pictures_are_not_read() -> None:
    latents = torch.randn(1, 16, 6, 6, generator=torch.Generator().manual_seed(1))
    its = call("flux", reference_latents=[latents])
    assert its.inputs.references == ((6, 6),)
    taps = its.family.taps(its.network, "node")
    with torch.no_grad(), its.family.capturing(its.network, taps, its.options, its.inputs, False) as (options, found):
        its(its.x, options)
    assert {tuple(value.shape) for value in found.values()} == {(1, 64, 4, 5)}


def test_a_second_forward_on_the_same_options_is_the_first_one_again() -> None:
    """Refiners are told by the order of calls, which begins anew."""
    prompts = encode_by_hand("a dog\na red hat in the rain " + "tree " * 40, lines=True)
    model = watched(Watcher(key="another"), tiny_joint.model("zimage"))
    its = call_of(ENTRIES["zimage"], model, prompts, (8, 8), 2, precise=False)
    taps = its.family.taps(its.network, "node")
    outputs = []
    with torch.no_grad():
        for _ in range(2):
            with its.family.capturing(its.network, taps, its.options, its.inputs, False) as (options, _):
                outputs.append(its(its.x, options))
    assert torch.equal(*outputs)


@names
def test_tokens_of_others_beside_the_image_are_refused(name: str) -> None:
    its = call(name)
    taps = its.family.taps(its.network, "node")
    block = its.family.recomputed(its.network)[1]
    block.register_forward_hook(lambda _m, _a, out: tuple(torch.cat((x, x[:, :1]), 1) for x in out)
                                if type(out) is tuple else torch.cat((out, out[:, :1]), 1))
    with torch.no_grad(), pytest.raises(DirectorError, match="another node puts tokens of its own"), \
            its.family.capturing(its.network, taps, its.options, its.inputs, False) as (options, _):
        its(its.x, options)
