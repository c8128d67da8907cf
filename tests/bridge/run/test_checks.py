"""What is refused before the first step, in one wording for every method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import identity_files
import pytest
import tiny
from attention_director.bridge.run.checks import require_every_step, require_one_gpu
from edit_scene import attention_edit
from recording import recorded
from scene import encode, family, host_encode, region_prompt
from sketch_scene import sketch
from stories import shared

TEXT = "a red hat and a blue dog"


def made_by(label: str, model: Any, clip: Any, folder: Path) -> tuple[Any, list, dict | None]:
    """(model, positive, latent) of a node."""
    if label == "RegionPrompt":
        graph = region_prompt(model, clip)
        return graph.model, graph.positive, None
    if label == "AttentionEdit":
        edit = attention_edit(model, clip)
        return edit.model, edit.positive, edit.latent
    if label == "SharedSubjectAttention":
        return shared(model, clip)
    if label == "SketchGuidance":
        return sketch(model), host_encode(clip, TEXT), None
    if label == "IdentityInject":
        given = identity_files.adapter(folder / "a.safetensors", identity_files.published(unet=False))
        patched, positive = identity_files.identity(model, clip, given, TEXT, localise=0.0)
        return patched, positive, None
    positive = encode(clip, TEXT)
    return recorded(model, positive), positive, None


WHY = {"RegionPrompt": "the regions already say what goes where"}


@pytest.mark.parametrize("label", ["RegionPrompt", "AttentionEdit", "SharedSubjectAttention", "SketchGuidance",
                                   "IdentityInject", "AttnDirRecord"])
def test_a_positive_limited_to_an_area_is_refused_by_every_method(label: str, tmp_path: Path) -> None:
    from nodes import ConditioningSetArea

    model, clip, negative = family()
    patched, positive, latent = made_by(label, model, clip, tmp_path)
    limited = ConditioningSetArea().append(positive, 64, 64, 0, 0, 1.0)[0]
    why = WHY.get(label, "this node cannot follow it there")
    with pytest.raises(ValueError) as caught:
        tiny.sample(patched, limited, negative, latent=latent)
    assert str(caught.value) == f"{label}: its positive is limited to an area; {why}; remove ConditioningSetArea."


def test_caches_and_several_gpus_are_asked_by_what_they_hold() -> None:
    """An empty dict of clones is one GPU; a cache that was taken off again skips nothing."""
    nothing = {"transformer_options": {"easycache": None}}
    for options in ({}, {"multigpu_clones": {}}, {"transformer_options": {}}, nothing):
        require_one_gpu("Node", "it counts", options)
        require_every_step("Node", "it counts", options)
    with pytest.raises(ValueError, match=r"^Node: it counts, which works on one GPU only; bypass the multi-GPU"):
        require_one_gpu("Node", "it counts", {"multigpu_clones": {"cuda:1": object()}})
    with pytest.raises(ValueError, match=r"^Node: it counts, and EasyCache or LazyCache skips steps; bypass the cache "
                                         r"or empty words\.$"):
        require_every_step("Node", "it counts", {"transformer_options": {"easycache": object()}}, "empty words")
