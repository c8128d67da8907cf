"""Calls that hold a part of the pictures: refused in every method that needs places, before a picture is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import tiny
import torch
from attention_director.bridge.run.install import install
from attention_director.core.schedule import Schedule
from edit_scene import attention_edit
from recording import recorded
from scene import assert_differs, encode, family, host_encode, region_prompt
from sketch_scene import sketch
from stories import shared

WIDE = {"samples": torch.zeros(1, 4, 16, 32)}
PARTS = (r"^{}: this run gives the model parts of the picture \(16x16 of 32x16 in latents\), and the node cannot know "
         r"what belongs in each; bypass the tiling node, or give its sampler the model from before this node\.$")


def regions_made(model: Any, clip: Any) -> tuple[Any, list, dict]:
    graph = region_prompt(model, clip)
    return graph.model, graph.positive, WIDE


def edit_made(model: Any, clip: Any) -> tuple[Any, list, dict]:
    graph = attention_edit(model, clip, latent=WIDE)
    return graph.model, graph.positive, graph.latent


def subject_made(model: Any, clip: Any) -> tuple[Any, list, dict]:
    return shared(model, clip, latent=WIDE)


def sketch_made(model: Any, clip: Any) -> tuple[Any, list, dict]:
    return sketch(model), host_encode(clip, "a cat"), WIDE


def record_made(model: Any, clip: Any) -> tuple[Any, list, dict]:
    positive = encode(clip, "a red hat and a blue dog")
    return recorded(model, positive), positive, WIDE


METHODS: dict[str, Callable[[Any, Any], tuple[Any, list, dict]]] = {
    "RegionPrompt": regions_made, "AttentionEdit": edit_made, "SharedSubjectAttention": subject_made,
    "SketchGuidance": sketch_made, "AttnDirRecord": record_made}


def tiled(patcher: Any) -> Any:
    """Tiled Diffusion's way: a wrapper of the forward that hands the model half a picture at a time."""
    patched = patcher.clone()
    patched.set_model_unet_function_wrapper(lambda apply, a: torch.cat(
        [apply(part, a["timestep"], **a["c"]) for part in a["input"].chunk(2, 3)], 3))
    return patched


@pytest.mark.parametrize("label", METHODS)
def test_tiles_are_refused_by_every_method(label: str) -> None:
    model, clip, negative = family()
    made, positive, latent = METHODS[label](model, clip)
    with pytest.raises(ValueError, match=PARTS.format(label)):
        tiny.sample(tiled(made), positive, negative, latent=latent, steps=1)


def test_a_context_window_over_the_picture_is_a_part_too() -> None:
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode

    model, clip, negative = family()
    graph = region_prompt(model, clip)
    windowed = ContextWindowsManualNode.execute(graph.model, 16, 0, "standard_static", 1, False, "flat", 3, False)
    with pytest.raises(ValueError, match=PARTS.format("RegionPrompt")):
        tiny.sample(windowed.args[0], graph.positive, negative, latent=WIDE, steps=1)


def test_tiles_of_another_prompt_or_outside_the_window_are_not_ours() -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip)
    host = host_encode(clip, "a cat")
    assert torch.equal(tiny.sample(tiled(graph.model), host, negative, latent=WIDE, steps=2),
                       tiny.sample(tiled(model), host, negative, latent=WIDE, steps=2))


@dataclass(frozen=True, eq=False)
class Everywhere:
    """Doubles what the words say, the same in a tile as in the whole."""

    key: str = "1/test"
    label: str = "Everywhere"
    schedule: Schedule = field(default_factory=Schedule)
    needs_places: bool = False

    def acts_on(self, rows: Any) -> bool:
        return True

    def selects(self, layer: Any) -> bool:
        return layer.reads("image", "text")

    def __call__(self, call: Any, attend: Any) -> torch.Tensor:
        return 2 * attend(call)


def test_a_method_that_needs_no_places_acts_in_tiles() -> None:
    model, clip, negative = family()
    host = host_encode(clip, "a cat")
    picture = tiny.sample(tiled(install(model, Everywhere())), host, negative, latent=WIDE, steps=2)
    assert_differs(picture, tiny.sample(tiled(model), host, negative, latent=WIDE, steps=2))


def test_an_area_of_another_conditioning_is_no_tile() -> None:
    """The host itself evaluates those rows on a part of the picture, apart from ours."""
    from nodes import ConditioningCombine, ConditioningSetArea

    model, clip, negative = family()
    graph = region_prompt(model, clip)
    limited = ConditioningSetArea().append(host_encode(clip, "a tree"), 64, 64, 0, 0, 1.0)[0]
    both = ConditioningCombine().combine(graph.positive, limited)[0]
    assert_differs(tiny.sample(graph.model, both, negative), tiny.sample(model, both, negative))


def row_by_row(patcher: Any) -> Any:
    """A wrapper that saves memory: the rows of a call one after the other, the options as they were."""
    patched = patcher.clone()
    patched.set_model_unet_function_wrapper(lambda apply, a: torch.cat(
        [apply(row, a["timestep"][i:i + 1], **(a["c"] | {"c_crossattn": a["c"]["c_crossattn"][i:i + 1]}))
         for i, row in enumerate(a["input"].split(1))]))
    return patched


@pytest.mark.parametrize("batch", [1, 2])
def test_some_rows_of_a_call_are_refused(batch: int) -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip)
    with pytest.raises(ValueError, match=r"^RegionPrompt: another node gives the model 1 rows where this run has "
                                         rf"{batch} for each of 2 conditionings, .*bypass the node that splits the"):
        tiny.sample(row_by_row(graph.model), graph.positive, negative, batch=batch, steps=1)
