"""What the UNet family says of its layers, against the papers and against what a forward meets."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from scene import family, host_encode

SIZES = {"sd15": (24, 16), "sd2": (24, 16), "sdxl": (23, 17)}


def network(name: str, latent_grid: tuple[int, int]) -> Any:
    from attention_director.bridge.families.unet import UNetFamily

    return UNetFamily().network(tiny.model(name).model.diffusion_model, latent_grid)


@pytest.mark.parametrize("name", SIZES)
def test_layers_and_grids_are_those_a_forward_meets(name: str) -> None:
    """In the order they are called, from 0 to 1; odd sizes too, where each halving rounds up."""
    from attention_director.bridge.families.unet_slots import grid_of

    found, met = network(name, SIZES[name]), []
    model, clip, negative = family(name)
    patched = model.clone()

    def note(layer: Any) -> Any:
        def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: dict, *_: Any, **__: Any) -> Any:
            met.append((layer, grid_of(options, q.shape[1])))
            return torch.zeros_like(q)
        return attend

    for (which, address), layer in found.slots.items():
        patched.set_model_patch_replace(note(layer), which, *address)
    tiny.sample(patched, host_encode(clip, "a cat"), negative, steps=1, cfg=1.0, size=SIZES[name])
    assert met == [(layer, found.grid(found.strides[layer])) for layer in found.layers]
    fractions = [layer.fraction for layer in found.layers]
    assert fractions[0] == 0.0 and fractions[-1] == 1.0 and fractions == sorted(fractions)
    assert all(found.module(layer) is not None for layer in found.layers)


@pytest.mark.parametrize("name, side, published", [
    ("sd15", 64, {("input", 7, 0), ("input", 8, 0), ("output", 3, 0), ("output", 4, 0), ("output", 5, 0)}),
    ("sdxl", 128, {("input", 7, 2), ("input", 8, 2), ("output", 0, 2), ("output", 1, 2), ("output", 2, 2)}),
])
def test_the_published_layers_of_a_local_blend(name: str, side: int, published: set) -> None:
    """Five maps at the quarter of the latent, one a block; also of SDXL, whose blocks hold several."""
    layers = network(name, (side, side)).blend(side / 4)
    assert {(layer.stage, layer.block, layer.depth) for layer in layers} == published
    assert all(layer.reads("image", "text") for layer in layers)


@pytest.mark.parametrize("name, latent, side, stride", [
    ("sd15", (64, 96), 19.6, 4), ("sd15", (56, 56), 16, 4), ("sd15", (32, 32), 16, 2), ("sd15", (16, 16), 16, 1),
    ("sdxl", (16, 16), 16, 2),  # no attention on the latent's own grid
])
def test_a_blend_takes_the_nearest_grid_there_is(name: str, latent: tuple[int, int], side: float, stride: int) -> None:
    found = network(name, latent)
    assert {found.strides[layer] for layer in found.blend(side)} == {stride}


def test_copied_layers_are_the_small_ones() -> None:
    found = network("sd15", (64, 64))
    assert {found.strides[layer] for layer in found.copied(16 * 16)} == {4, 8}
    assert {found.strides[layer] for layer in found.copied(64 * 64)} == {1, 2, 4, 8}
    assert found.copied(63) == frozenset() and all(layer.reads("image", "image") for layer in found.copied(64))


def test_words_are_read_on_small_grids_or_on_the_coarsest() -> None:
    found = network("sd15", (64, 64))
    assert {found.strides[layer] for layer in found.words(32 * 32)} == {2, 4, 8}
    large = network("sdxl", (512, 512))
    assert {large.strides[layer] for layer in large.words(32 * 32)} == {4}


def test_the_papers_layers_share_a_subject() -> None:
    """SDXL at 1024: maps at 32 x 32, sharing in the decoder at 32 x 32 and 64 x 64, injection at 64 x 64."""
    subject = network("sdxl", (128, 128)).subject
    assert subject.map_grid == (32, 32) and subject.link_grid == (64, 64)
    assert set(subject.shared_grids) == {(32, 32), (64, 64)} == set(subject.shares.values())
    assert {layer.stage for layer in subject.shares} == {"output"}
    assert subject.shared_grids[0] == (64, 64) and subject.features.startswith("before output ")


def test_a_model_of_no_known_family_is_refused_by_its_class() -> None:
    from types import SimpleNamespace

    from attention_director.bridge.families import family_of

    other = SimpleNamespace(model=SimpleNamespace(diffusion_model=torch.nn.Linear(1, 1), model_config=object()))
    with pytest.raises(ValueError, match="RegionPrompt: this model is object; the node works with Stable Diffusion"):
        family_of(other, "RegionPrompt")
