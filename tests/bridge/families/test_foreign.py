"""Other packs' replacements beside ours: whatever the order of nodes, both act, or one is named and refused."""

from __future__ import annotations

from functools import cache

import pytest
import tiny
import torch
from axes import axes
from foreign_packs import CROSS_SLOTS, ImageAdapter, PassThrough, TextReplacer, hooked, put, values_only
from layouts import padded
from scene import PROMPT, assert_differs, assert_same, custom, encode, family, host_encode, region_prompt


@cache
def alone() -> torch.Tensor:
    model, clip, negative = family()
    graph = region_prompt(model, clip)
    return tiny.sample(graph.model, graph.positive, negative)


def refuse(message: str):
    return pytest.raises(ValueError, match=message)


def test_an_image_adapter_before_and_after_ours() -> None:
    model, clip, negative = family()
    theirs = ImageAdapter()
    host = host_encode(clip, PROMPT)
    foreign_alone = tiny.sample(put(model, theirs), host, negative)
    before = region_prompt(put(model, theirs), clip)
    theirs.calls = 0
    first = tiny.sample(before.model, before.positive, negative)
    assert theirs.calls > 0
    ours = region_prompt(model, clip)
    second = tiny.sample(put(ours.model, theirs), ours.positive, negative)
    assert torch.equal(first, second)
    assert_differs(first, alone())
    assert_differs(first, foreign_alone)
    assert_differs(foreign_alone, tiny.sample(model, host, negative))


def test_the_adapters_part_is_added_to_ours() -> None:
    """At one layer: ours plus what the adapter adds to the plain attention, not ours of its output."""
    from attention_director.bridge.families import unet_foreign as foreign

    theirs, options = ImageAdapter(gain=0.7), {"n_heads": 2, "dim_head": 8}
    from attention_director.core.call import AttentionCall, LowRankBias, Scratch, Step
    from attention_director.core.network import LayerAddress

    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, 2, n, 8, generator=draw) for n in (9, 77, 77))
    call = AttentionCall(q, k, v, LayerAddress("input", 1, 0, "cross"), *axes("cross", (3, 3), 77), (3, 3), (),
                         Step(1.0, 0.0), Scratch())
    assert foreign.addition(theirs, call, options) == "adds"
    bias = LowRankBias(torch.rand(2, 2, 9, 1, generator=draw) * 9, (torch.arange(77) < 5).float()[None, None, :, None])
    from dataclasses import replace

    ours = replace(call, q=q * 0.5, bias=bias)
    both = foreign.with_residual(theirs, call, options)
    got = foreign.own_attention(replace(ours, residual=both.residual), options)
    added = foreign.run_foreign(theirs, call, options) - foreign.plain(call, options)
    torch.testing.assert_close(got, foreign.own_attention(ours, options) + added)
    dense = torch.softmax(ours.q @ k.transpose(-1, -2) / 8**0.5 + bias.left @ bias.right.transpose(-1, -2), -1) @ v
    torch.testing.assert_close(foreign.own_attention(ours, options), dense, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scope", ["AllConditioning", "HookedOnly"])
def test_an_image_adapter_by_a_conditioning_hook(scope: str) -> None:
    from comfy.hooks import EnumHookScope

    model, clip, negative = family()
    theirs = ImageAdapter()
    ours = region_prompt(model, clip)
    by_hook = hooked(ours.positive, theirs, EnumHookScope[scope])
    both = tiny.sample(ours.model, by_hook, negative)
    assert theirs.calls > 0
    assert_differs(both, alone())
    foreign_alone = tiny.sample(model, hooked(host_encode(clip, PROMPT), theirs, EnumHookScope[scope]), negative)
    assert_differs(both, foreign_alone)
    if scope == "AllConditioning":  # then the negative has it too, as when it is set on the model
        on_model = region_prompt(put(model, theirs), clip)
        assert_same(both, tiny.sample(on_model.model, on_model.positive, negative))
    hooked_first = region_prompt(model, clip, hooked(encode(clip, PROMPT), theirs, EnumHookScope[scope]))
    assert_same(tiny.sample(hooked_first.model, hooked_first.positive, negative), both)


def test_a_patch_at_one_depth_and_one_for_the_whole_block() -> None:
    model, clip, negative = family("sdxl")
    blocks = put(model, ImageAdapter(), slots=[("input", 4)])
    depths = put(model, ImageAdapter(), slots=[("input", 4, 0), ("input", 4, 1)])
    pictures = []
    for patched in (blocks, depths):
        graph = region_prompt(patched, clip)
        pictures.append(tiny.sample(graph.model, graph.positive, negative))
    assert_same(*pictures)
    plain = region_prompt(model, clip)
    assert_differs(pictures[0], tiny.sample(plain.model, plain.positive, negative))


def test_a_patch_that_does_nothing_is_no_reason_to_refuse() -> None:
    """Its rounding differs from ours; an adapter faded out by its own window looks the same."""
    model, clip, negative = family()
    for theirs in (PassThrough(), ImageAdapter(gain=0.0), ImageAdapter(gain=1e-4)):
        graph = region_prompt(put(model, theirs), clip)
        assert_same(tiny.sample(graph.model, graph.positive, negative), alone())


def test_a_patch_that_replaces_the_text_attention_is_refused_by_name() -> None:
    model, clip, negative = family()
    graph = region_prompt(put(model, TextReplacer()), clip)
    with refuse(r"foreign_packs\.TextReplacer replaces the text attention at input 1\.0 cross.*bypass"):
        tiny.sample(graph.model, graph.positive, negative)
    host = host_encode(clip, PROMPT)
    expected = tiny.sample(put(model, TextReplacer()), host, negative)
    assert torch.equal(tiny.sample(graph.model, host, negative), expected), "where we do not act it may stay"
    self_only = region_prompt(put(model, TextReplacer()), clip, preset=custom(cross_strength=0.0))
    assert_differs(tiny.sample(self_only.model, self_only.positive, negative), expected)


@pytest.mark.parametrize("slots", [CROSS_SLOTS, [(*slot, 0) for slot in CROSS_SLOTS]], ids=["block", "depth"])
def test_a_plain_self_attention_patch_changes_nothing(slots: list) -> None:
    model, clip, negative = family()
    theirs = PassThrough()
    for graph in (region_prompt(put(model, theirs, "attn1", slots), clip),):
        theirs.calls = 0
        assert_same(tiny.sample(graph.model, graph.positive, negative), alone())
        assert theirs.calls > 0
    after = region_prompt(model, clip)
    assert_same(tiny.sample(put(after.model, theirs, "attn1", slots), after.positive, negative), alone())


def test_self_attention_that_returns_its_values() -> None:
    """Where the patch ignores q and k, our bias cannot matter: those layers are the patch's alone."""
    model, clip, negative = family()
    everywhere = [("input", n) for n in (1, 2, 4, 5, 7, 8)] + [("middle", 0)] + [("output", n) for n in range(3, 12)]
    patched = put(model, values_only, "attn1", everywhere)
    graph = region_prompt(patched, clip, preset=custom(cross_strength=0.0, self_strength=1.0))
    expected = tiny.sample(patched, host_encode(clip, PROMPT), negative)
    assert_same(tiny.sample(graph.model, graph.positive, negative), expected)
    some = region_prompt(put(model, values_only, "attn1"), clip)
    picture = tiny.sample(some.model, some.positive, negative)
    assert_differs(picture, alone())
    later = put(region_prompt(model, clip).model, values_only, "attn1")
    assert torch.equal(tiny.sample(later, region_prompt(model, clip).positive, negative), picture)


def test_self_attention_of_another_shape_is_refused_by_name() -> None:
    def shorter(q, k, v, extra_options):
        return v[:, ::2]

    model, clip, negative = family()
    graph = region_prompt(put(model, shorter, "attn1"), clip)
    with refuse(r"shorter at input 1\.0 self returns .* bypass one of the two nodes"):
        tiny.sample(graph.model, graph.positive, negative)


def test_foreign_self_attention_is_kept_where_our_columns_pass_the_widest_head(monkeypatch) -> None:
    """The explicit fallback must not forget the patch that stands there."""
    import attention_director.core.attention as attention

    model, clip, negative = family()
    graph = region_prompt(put(model, values_only, "attn1"), clip, preset=custom(cross_strength=0.0))
    fused = tiny.sample(graph.model, graph.positive, negative)
    monkeypatch.setattr(attention, "MAX_HEAD_WIDTH", 8)
    explicit = tiny.sample(graph.model, graph.positive, negative)
    unpatched = region_prompt(model, clip, preset=custom(cross_strength=0.0))
    assert_differs(explicit, tiny.sample(unpatched.model, unpatched.positive, negative))
    assert fused.shape == explicit.shape


def test_a_patch_that_adds_keys_to_self_attention() -> None:
    """Reference-style packs lengthen the context before projection; the regions stand aside, and say so."""
    model, clip, negative = family()
    longer = model.clone()
    longer.set_model_attn1_patch(lambda n, context, value, options: (n, torch.cat((context, context * 0.5), 1),
                                                                    torch.cat((value, value * 0.5), 1)))
    graph = region_prompt(longer, clip)
    picture = tiny.sample(graph.model, graph.positive, negative)
    assert_differs(picture, tiny.sample(longer, host_encode(clip, PROMPT), negative))
    assert_differs(picture, alone())


def test_a_patch_that_adds_words_to_cross_attention() -> None:
    model, clip, negative = family()
    longer = model.clone()
    longer.set_model_attn2_patch(lambda n, context, value, options: (n, torch.cat((context, context[:, :4]), 1),
                                                                    torch.cat((value, value[:, :4]), 1)))
    graph = region_prompt(longer, clip)
    picture = tiny.sample(graph.model, graph.positive, negative)
    assert_differs(picture, tiny.sample(longer, host_encode(clip, PROMPT), negative))


@pytest.mark.parametrize("order", ["adapter first", "edit first"])
def test_an_image_adapter_beside_an_edit(order: str) -> None:
    """Each row gets the adapter's part once and from its own pixels, also where it attends twice."""
    from edit_scene import ADD, SOURCE, attention_edit, run

    model, clip, _ = family()
    theirs = ImageAdapter()
    lines = encode(clip, f"{SOURCE}\n{ADD}", lines=True)
    first = put(model, theirs) if order == "adapter first" else model
    graph = attention_edit(first, clip, SOURCE, ADD, self_end_percent=0.0, blend_words="cat", blend_threshold=0.9)
    graph = graph if order == "adapter first" else graph._replace(model=put(graph.model, theirs))
    both = run(graph)
    plain = tiny.sample(put(model, theirs), lines, graph.negative, latent=graph.latent)
    assert torch.equal(both[0], plain[0])
    assert_differs(both[1], plain[1])
    assert_differs(both[1], run(attention_edit(model, clip, SOURCE, ADD, self_end_percent=0.0))[1])


def test_the_adapters_part_is_added_once_to_an_edited_row() -> None:
    """At one layer: the paper's edit of the text's attention, plus the row's own share of the adapter's."""
    from attention_director.bridge.families import unet_foreign as foreign
    from attention_director.core.call import AttentionCall, RowSpan, Scratch, Step
    from attention_director.core.edit_attention import EditAttention, TargetEdit
    from attention_director.core.network import LayerAddress
    from attention_director.core.schedule import Schedule
    from attention_director.core.text import PromptTag
    from attention_director.core.token_map import refine_map

    rows = padded("a cat", 77), padded("a black cat", 77)
    edit = EditAttention("k", (TargetEdit(refine_map(*rows), torch.ones(77, dtype=torch.float64)),),
                         Schedule(0.0, 1.0), Schedule(0.0, 0.0))
    draw = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(3, 2, n, 8, generator=draw) for n in (9, 77, 77))
    spans = (RowSpan(0, 1, None), RowSpan(1, 3, PromptTag(rows, frozenset({"k"}))))
    call = AttentionCall(q, k, v, LayerAddress("input", 1, 0, "cross"), *axes("cross", (3, 3), 77), (3, 3), spans,
                         Step(1.0, 0.0), Scratch())
    theirs, options = ImageAdapter(gain=0.7), {"n_heads": 2, "dim_head": 8}
    added = foreign.run_foreign(theirs, call, options) - foreign.plain(call, options)
    ours = edit(call, lambda inner: foreign.own_attention(inner, options))
    both = foreign.with_residual(theirs, call, options)
    got = edit(both, lambda inner: foreign.own_attention(inner, options))
    torch.testing.assert_close(got, ours + added)
    some = both.take((2, 0))
    torch.testing.assert_close(foreign.attend_self(theirs, call, options)(some),
                               foreign.own_attention(call.take((2, 0)), options) + added[[2, 0]])
