"""AttentionEdit in the real engine: what changes, what stays, in any company and order."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from edit_scene import ADD, OFF, SOURCE, SWAP, Graph, attention_edit, refused, run, without_edit
from scene import assert_differs, assert_same, custom, encode, family, frozen, host_encode, left, region_prompt, regions

THREE = f"{SWAP}\n{ADD}"


@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "uni_pc", "heun", "ddim"])
def test_the_source_row_is_the_ordinary_run_bit_for_bit(sampler: str) -> None:
    model, clip, _ = family()
    graph = attention_edit(model, clip, targets=THREE, self_end_percent=0.7)
    options = dict(sampler=sampler, steps=3)
    edited, plain = run(graph, **options), run(without_edit(graph, model, clip, SOURCE, SWAP, ADD), **options)
    assert torch.equal(edited[0], plain[0])
    for row in (1, 2):
        assert_differs(edited[row], plain[row])
        assert_differs(edited[row], edited[0])
    assert torch.equal(edited, run(graph, **options)), "twice is once"


@pytest.mark.parametrize("name", ["sd2", "sdxl"])
def test_every_family(name: str) -> None:
    model, clip, _ = family(name)
    graph = attention_edit(model, clip, targets=THREE, blend_words="cat\ndog", blend_threshold=0.9)
    edited, plain = run(graph, steps=3), run(without_edit(graph, model, clip, SOURCE, SWAP, ADD), steps=3)
    assert torch.equal(edited[0], plain[0]) and edited.isfinite().all()
    assert_differs(edited[1:], plain[1:])


def test_each_part_of_the_edit_acts_alone() -> None:
    model, clip, _ = family()
    graph = attention_edit(model, clip)
    plain = run(without_edit(graph, model, clip))
    for part in ({"cross_end_percent": 0.8}, {"self_end_percent": 0.4}, {"blend_words": "cat", "blend_threshold": 0.95},
                 {"word_windows": "dog: 0-0.5"}):
        other = run(attention_edit(model, clip, **(OFF | part)))
        assert torch.equal(other[0], plain[0])
        assert_differs(other[1], plain[1])


def test_reweight_of_a_copy_and_of_a_target() -> None:
    """With nothing but weights the source is its own target; the order of strengths is kept."""
    model, clip, _ = family()
    lone = {"targets": "", "self_end_percent": 0.0, "cross_end_percent": 1.0}
    graphs = {weight: attention_edit(model, clip, reweight=f"grass: {weight}", **lone) for weight in (-2, 0, 4)}
    runs = {weight: run(graph) for weight, graph in graphs.items()}
    source = tiny.sample(model, host_encode(clip, SOURCE), graphs[0].negative)
    far = {}
    for weight, rows in runs.items():
        assert rows.shape[0] == 2
        assert_same(rows[:1], source)
        far[weight] = float((rows[1] - rows[0]).abs().mean())
    assert far[0] < far[-2] and far[0] < far[4]
    with_target = attention_edit(model, clip, reweight="grass: 4")
    assert_differs(run(with_target)[1], run(attention_edit(model, clip))[1])


def test_several_pictures_in_a_batch() -> None:
    """Rows s0 t0 s1 t1; the first group is what a batch of one gives, each source its own picture."""
    model, clip, _ = family()
    graph = attention_edit(model, clip, batch=2)
    assert graph.latent["samples"].shape[0] == 4 and graph.latent["batch_index"] == [0, 0, 1, 1]
    rows = run(graph)
    assert_same(rows[:2], run(attention_edit(model, clip)))
    plain = tiny.sample(model, host_encode(clip, SOURCE), graph.negative, batch=2)
    assert_same(rows[::2], plain)
    assert_differs(rows[2], rows[0])


def test_long_prompts_of_unequal_length() -> None:
    """One chunk against two: row 0 is still the ordinary run of the source."""
    model, clip, _ = family()
    longer = SOURCE + " tree" * 90
    graph = attention_edit(model, clip, targets=longer)
    rows = run(graph, steps=3)
    assert_same(rows[:1], tiny.sample(model, host_encode(clip, SOURCE), graph.negative, steps=3))
    assert_differs(rows[1], run(without_edit(graph, model, clip, SOURCE, longer), steps=3)[1])


@pytest.mark.parametrize("options", [dict(cfg=1.0), dict(denoise=0.5), dict(scheduler="karras")],
                         ids=["no negative", "img2img", "karras"])
def test_other_ways_to_sample(options: dict[str, Any]) -> None:
    model, clip, _ = family()
    latent = {"samples": torch.randn(1, 4, 12, 20, generator=torch.Generator().manual_seed(0))}
    graph = attention_edit(model, clip, latent=latent)
    edited, plain = run(graph, **options), run(without_edit(graph, model, clip), **options)
    assert torch.equal(edited[0], plain[0])
    assert_differs(edited[1], plain[1], 0.05)


def test_another_prompt_on_our_model_is_left_alone() -> None:
    """Also its noise: two rows of an ancestral run draw their own."""
    model, clip, _ = family()
    graph = attention_edit(model, clip, blend_words="cat")
    other = host_encode(clip, "a house")
    options = dict(batch=2, sampler="euler_ancestral")
    assert torch.equal(tiny.sample(graph.model, other, graph.negative, **options),
                       tiny.sample(model, other, graph.negative, **options))


def chained(order: str, model: Any, clip: Any, masks: tuple, preset: Any) -> Graph:
    """Regions and an edit on one prompt, either node first."""
    lines = encode(clip, f"{SOURCE}\n{ADD}", lines=True)
    if order == "regions first":
        first = region_prompt(model, clip, lines, masks, preset=preset)
        return attention_edit(first.model, clip, first.positive, "")
    edited = attention_edit(model, clip, SOURCE, ADD)
    second = region_prompt(edited.model, clip, edited.positive, masks, preset=preset)
    return edited._replace(model=second.model, positive=second.positive)


@pytest.mark.parametrize("preset", ["strong", custom()], ids=["strong", "paper's rule"])
def test_regions_in_the_same_chain_in_either_order(preset: Any) -> None:
    model, clip, _ = family()
    masks = regions(("red cat", left()), ("grass", 1 - left()))
    runs = {order: run(chained(order, model, clip, masks, preset)) for order in ("regions first", "edit first")}
    assert_same(runs["regions first"], runs["edit first"])
    lines = encode(clip, f"{SOURCE}\n{ADD}", lines=True)
    alone = region_prompt(model, clip, lines, masks, preset=preset)
    graph = attention_edit(model, clip, SOURCE, ADD)
    regional = tiny.sample(alone.model, alone.positive, graph.negative, latent=graph.latent)
    assert_same(runs["edit first"][0], regional[0])
    assert_differs(runs["edit first"][1], regional[1])
    assert_differs(runs["edit first"], run(graph))


def test_nothing_to_do_installs_nothing() -> None:
    model, clip, negative = family()
    lone = attention_edit(model, clip, targets="", reweight="cat: 1")
    assert lone.model is model and lone.latent["samples"].shape[0] == 1
    assert torch.equal(lone.positive[0][0], host_encode(clip, SOURCE)[0][0])
    assert torch.equal(run(lone), tiny.sample(model, host_encode(clip, SOURCE), negative))
    shut = attention_edit(model, clip, targets=SWAP, **OFF)
    assert shut.model is model and shut.latent["batch_index"] == [0, 0]


def test_inputs_stay_as_they_are() -> None:
    model, clip, negative = family()
    latent = {"samples": torch.randn(2, 4, 16, 16), "noise_mask": torch.rand(2, 16, 16), "batch_index": [4, 7]}
    linked = encode(clip, f"{SOURCE}\n{SWAP}", lines=True)
    before = frozen([model.model_options, latent, linked, negative])
    graph = attention_edit(model, clip, linked, "", latent=latent, negative=negative, blend_words="cat")
    run(graph, steps=2)
    assert frozen([model.model_options, latent, linked, negative]) == before
    assert graph.latent["batch_index"] == [4, 4, 7, 7] and graph.negative is negative
    assert torch.equal(graph.latent["noise_mask"], latent["noise_mask"][[0, 0, 1, 1]])


def test_an_inversion_is_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The node hands it on before its own method, and copies shapes at grids twice as wide."""
    from attention_director.core.edit_attention import EditAttention
    from attention_director.nodes import attention_edit as attention_edit_node

    calls: list[tuple] = []

    def replay(inversion, node, key, model, prompts, negative):
        calls.append((inversion, node, key, prompts))
        return model.clone(), [["its own negative"]]

    monkeypatch.setattr(attention_edit_node, "replay", replay)
    model, clip, _ = family()
    graph = attention_edit(model, clip, inversion="an inversion")
    chain = graph.model.model_options["transformer_options"]["attention_director_chain"].methods
    method = next(part for part in chain if isinstance(part, EditAttention))
    assert calls == [("an inversion", "AttentionEdit", method.key, 2)] and graph.negative == [["its own negative"]]
    assert method.key == chain[-1].key and method.self_floor == 32
    lone = attention_edit(model, clip, targets="", inversion="an inversion")
    assert calls[1][3] == 1 and calls[1][2] in lone.positive[0][1]["attention_director"].keys


def test_latent_that_was_not_wired_on() -> None:
    model, clip, _ = family()
    graph = attention_edit(model, clip, targets=THREE)
    for count, name in ((1, "1 latent"), (2, "2 latents")):
        with refused(f"AttentionEdit: {name} for 3 prompts; connect this node's latent output to the sampler.", model):
            run(graph, latent={"samples": torch.zeros(count, 4, 16, 16)})


def test_a_context_window_over_the_batch() -> None:
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode

    model, clip, _ = family()
    graph = attention_edit(model, clip, batch=2)
    windowed = ContextWindowsManualNode.execute(graph.model, 2, 0, "standard_static", 1, False, "flat", 0, False)
    with refused("AttentionEdit: a context window over the batch splits its prompts; bypass it.", model):
        run(graph._replace(model=windowed.args[0]))


def test_an_area_on_our_positive() -> None:
    from nodes import ConditioningSetArea

    model, clip, _ = family()
    graph = attention_edit(model, clip)
    limited = ConditioningSetArea().append(graph.positive, 64, 64, 0, 0, 1.0)[0]
    with refused("AttentionEdit: its positive is limited to an area; this node cannot follow it there; remove "
                 "ConditioningSetArea.", model):
        run(graph._replace(positive=limited))
