"""Other packs that change what reaches a layer: its rows, its pixels, its words."""

from __future__ import annotations

import re
from typing import Any

import pytest
import tiny
import torch
from attention_director.bridge.families.unet import UNetFamily
from edit_scene import attention_edit
from foreign_packs import Couple, LateReplacer, Orthogonal, doubled, keys_and_values, put
from recording import recorded
from scene import PROMPT, assert_differs, custom, encode, family, host_encode, left, region_prompt
from stories import shared

LARGE = (32, 32)  # so that HyperTile's tiles and ToMe's merging find something to do


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level("INFO", logger="attention_director")
    return lambda: [r.getMessage() for r in caplog.records if r.name == "attention_director"]


def couple(model: Any, clip: Any) -> Any:
    conds = [host_encode(clip, text)[0][0] for text in ("a red hat", "a blue dog")]
    return Couple(conds, [left(), 1 - left()]).on(model)


def test_attention_couple_is_refused_by_name() -> None:
    model, clip, negative = family()
    graph = region_prompt(couple(model, clip), clip, preset=custom(self_strength=0.0))
    with pytest.raises(ValueError, match=r"^RegionPrompt: foreign_packs\.Couple\.enter makes 3 rows of the 2 of the "
                                         r"attention at input 1\.0 cross, .*; bypass one of the two nodes\.$"):
        tiny.sample(graph.model, graph.positive, negative)
    host = host_encode(clip, PROMPT)
    assert_differs(tiny.sample(graph.model, host, negative), tiny.sample(model, host, negative), least=0.1)


def test_attention_couple_may_stay_where_only_pixels_are_bound(lines: Any) -> None:
    model, clip, negative = family()
    theirs = couple(model, clip)
    graph = region_prompt(theirs, clip, preset=custom(cross_strength=0.0, self_strength=1.0))
    assert_differs(tiny.sample(graph.model, graph.positive, negative),
                   tiny.sample(theirs, host_encode(clip, PROMPT), negative), least=0.1)
    assert "active in steps 1-4 of 4" in lines()[-1]


def hypertile(model: Any) -> Any:
    from comfy_extras.nodes_hypertile import HyperTile

    return HyperTile.execute(model, 128, 2, 0, False)[0]


def merging(model: Any) -> Any:
    from comfy_extras.nodes_tomesd import TomePatchModel

    return TomePatchModel.execute(model, 0.5).args[0]


@pytest.mark.parametrize("rearranged", [hypertile, merging])
def test_rearranged_pixels_are_left_alone_and_told(rearranged: Any, lines: Any) -> None:
    model, clip, negative = family()
    other = rearranged(model)
    graph = region_prompt(other, clip, preset="strong")
    both = tiny.sample(graph.model, graph.positive, negative, size=LARGE, steps=2)
    assert_differs(both, tiny.sample(other, graph.positive, negative, size=LARGE, steps=2))
    said = lines()
    warnings = [line for line in said if "rearranges the pixels" in line]
    assert len(warnings) == 1
    assert re.match(r"RegionPrompt: another node .* at \w+ \d+\.\d self; it does nothing there", warnings[0])
    assert re.match(r"RegionPrompt: active in steps 1-2 of 2; 2 regions; left out in [1-9]\d* layers? whose pixels "
                    r"another node rearranged", said[-1])


def test_a_method_left_out_everywhere_is_not_called_active(lines: Any) -> None:
    model, clip, negative = family()
    longer = model.clone()
    longer.set_model_attn1_patch(lambda n, context, value, options: (n, torch.cat((context, context), 1),
                                                                    torch.cat((value, value), 1)))
    graph = region_prompt(longer, clip, preset=custom(cross_strength=0.0, self_strength=1.0))
    assert torch.equal(tiny.sample(graph.model, graph.positive, negative),
                       tiny.sample(longer, host_encode(clip, PROMPT), negative))
    layers = UNetFamily().network(model.model.diffusion_model, (16, 16)).layers
    pixels = sum(layer.reads("image", "image") for layer in layers)
    assert lines()[-1] == (f"RegionPrompt: nothing happened: left out in all {pixels} layers whose pixels another node "
                           "rearranged")


def negpip(model: Any) -> Any:
    patched = model.clone()
    patched.set_model_attn2_patch(keys_and_values)
    return patched


def regions_of_words(model: Any, clip: Any) -> tuple[Any, list, list, Any]:
    graph = region_prompt(model, clip)
    return graph.model, graph.positive, host_encode(clip, ""), None


def edit_of_words(model: Any, clip: Any) -> tuple[Any, list, list, Any]:
    graph = attention_edit(model, clip, self_end_percent=0.0)
    return graph


def subject_of_words(model: Any, clip: Any) -> tuple[Any, list, list, Any]:
    told = shared(model, clip)
    return told.model, told.positive, host_encode(clip, ""), told.latent


def record_of_words(model: Any, clip: Any) -> tuple[Any, list, list, Any]:
    positive = encode(clip, PROMPT)
    return recorded(model, positive), positive, host_encode(clip, ""), None


@pytest.mark.parametrize("made", [regions_of_words, edit_of_words, subject_of_words, record_of_words])
def test_doubled_words_are_refused_by_name(made: Any) -> None:
    """The conditioning has twice the tokens, and the layers get half of those: places cannot be known."""
    model, clip, _ = family()
    patched, positive, negative, latent = made(negpip(model), clip)
    with pytest.raises(ValueError, match=r"foreign_packs\.keys_and_values gives the text attention at .* 77 tokens of "
                                         r"a prompt of 154.*bypass one of the two nodes"):
        tiny.sample(patched, doubled(positive), doubled(negative), latent=latent)


def test_a_shortened_positive_is_refused_before_the_first_step() -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip)
    short = [[cond[:, :40], values] for cond, values in graph.positive]
    with pytest.raises(ValueError, match=r"^RegionPrompt: its positive has 40 tokens and was encoded with 77; bypass"):
        tiny.sample(graph.model, short, negative)


def test_pulid_acts_beside_ours_from_any_step() -> None:
    model, clip, negative = family()
    alone = region_prompt(model, clip)
    without = tiny.sample(alone.model, alone.positive, negative)
    for begins in (1e9, 5.0):
        theirs = put(model, Orthogonal(begins))
        graph = region_prompt(theirs, clip)
        both = tiny.sample(graph.model, graph.positive, negative)
        assert_differs(both, without)
        assert_differs(both, tiny.sample(theirs, host_encode(clip, PROMPT), negative))


def test_a_patch_that_replaces_the_text_later_is_refused_then() -> None:
    model, clip, negative = family()
    graph = region_prompt(put(model, LateReplacer()), clip)
    with pytest.raises(ValueError, match=r"^RegionPrompt: foreign_packs\.LateReplacer replaces the text attention at "
                                         r"input 1\.0 cross, where RegionPrompt acts; bypass one of the two nodes\.$"):
        tiny.sample(graph.model, graph.positive, negative)
