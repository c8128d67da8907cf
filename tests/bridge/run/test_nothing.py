"""Strength zero, no regions, a window without width: bitwise what the host gives, and no hook of ours."""

from __future__ import annotations

import pytest
import tiny
import torch
from scene import (
    PROMPT,
    assert_differs,
    assert_same,
    custom,
    dispatched,
    family,
    frozen,
    host_encode,
    left,
    options_seen,
    region_prompt,
    regions,
    right,
)

NOTHING = {
    "strength 0": dict(strength=0.0, preset="strong"),
    "strength 0 of the paper": dict(strength=0.0, preset="paper"),
    "no regions": dict(parts=(), preset="strong"),
    "regions of strength 0": dict(parts="silent", preset="strong"),
    "window without width": dict(preset=custom(start_percent=0.3, end_percent=0.3, reencode_phrases=True)),
    "window at the start": dict(preset=custom(start_percent=0.0, end_percent=0.0, reencode_phrases=True)),
    "both layers at 0": dict(preset=custom(cross_strength=0.0, self_strength=0.0, reencode_phrases=True)),
}


def ours_in(options: dict) -> list[str]:
    """Every trace of the pack in a model's options."""
    found = []
    for key, value in options.items():
        if "attention_director" in str(key):
            found.append(str(key))
        if isinstance(value, dict):
            found += ours_in(value)
        if "attention_director" in repr(value):
            found.append(f"{key}: {value!r}")
    return found


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl"])
@pytest.mark.parametrize("case", NOTHING.values(), ids=NOTHING)
def test_nothing_is_bitwise_nothing(name: str, case: dict) -> None:
    model, clip, negative = family(name)
    options = dict(case)
    if options.get("parts") == "silent":
        options["parts"] = regions(("red hat", left(), 0.0), ("blue dog", right(), 0.0))
    graph = region_prompt(model, clip, **options)
    assert graph.model is model and not ours_in(graph.model.model_options)
    host = host_encode(clip, PROMPT)
    assert len(graph.positive) == len(host) == 1 and torch.equal(graph.positive[0][0], host[0][0])
    for key, value in host[0][1].items():
        ours = graph.positive[0][1][key]
        assert torch.equal(ours, value) if torch.is_tensor(value) else ours == value, key
    assert torch.equal(tiny.sample(graph.model, graph.positive, negative), tiny.sample(model, host, negative))


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl"])
@pytest.mark.parametrize("preset", ["strong", "paper"])
def test_something_is_something(name: str, preset: str) -> None:
    """The bitwise tests above would pass on a node that never acts; this one would not."""
    model, clip, negative = family(name)
    graph = region_prompt(model, clip, preset=preset)
    assert graph.model is not model and ours_in(graph.model.model_options)
    plain = tiny.sample(model, host_encode(clip, PROMPT), negative)
    directed = tiny.sample(graph.model, graph.positive, negative)
    encoding_alone = tiny.sample(model, graph.positive, negative)
    assert_differs(directed, plain)
    assert_differs(directed, encoding_alone)
    assert_differs(encoding_alone, plain)


def test_a_strength_near_nothing_is_near_nothing() -> None:
    """The strength scales covered and uncovered pixels alike: no jump at zero."""
    model, clip, negative = family()
    plain = tiny.sample(model, host_encode(clip, PROMPT), negative)
    whisper = region_prompt(model, clip, strength=1e-6)
    assert whisper.model is not model
    assert_same(tiny.sample(whisper.model, whisper.positive, negative), plain)


def test_the_same_model_without_our_prompt_is_bitwise_the_host() -> None:
    """The rows of another prompt, and a run outside the window, get no dispatcher at all."""
    model, clip, negative = family()
    graph = region_prompt(model, clip)
    host = host_encode(clip, PROMPT)
    with options_seen(model) as seen:
        assert torch.equal(tiny.sample(graph.model, host, negative), tiny.sample(model, host, negative))
    assert seen and not any(map(dispatched, seen))
    late = region_prompt(model, clip, preset=custom(end_percent=0.3))
    latent = {"samples": torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))}
    options = dict(latent=latent, denoise=0.4)
    with options_seen(model) as seen:
        assert torch.equal(tiny.sample(late.model, late.positive, negative, **options),
                           tiny.sample(model, host, negative, **options))
    assert seen and not any(map(dispatched, seen))
    with options_seen(model) as seen:
        tiny.sample(graph.model, graph.positive, negative)
    assert seen and all(map(dispatched, seen))


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_queueing_twice_and_inputs_untouched(name: str) -> None:
    model, clip, negative = family(name)
    parts = regions()
    inputs = [model.model_options, negative, [(r.phrase, r.mask, r.strength) for r in parts]]
    before = [frozen(v) for v in inputs]
    graph = region_prompt(model, clip, parts=parts, preset="strong")
    inside = [frozen(v) for v in (graph.model.model_options, graph.positive)]
    first = tiny.sample(graph.model, graph.positive, negative)
    assert torch.equal(first, tiny.sample(graph.model, graph.positive, negative))
    again = region_prompt(model, clip, parts=parts, preset="strong")
    assert torch.equal(again.positive[0][0], graph.positive[0][0]) and torch.equal(again.masks, graph.masks)
    assert torch.equal(first, tiny.sample(again.model, again.positive, negative))
    assert before == [frozen(v) for v in inputs]
    assert inside == [frozen(v) for v in (graph.model.model_options, graph.positive)]


def test_two_branches_of_one_model_do_not_see_each_other() -> None:
    model, clip, negative = family()
    alone = {}
    for side, parts in (("left", regions(("red hat", left()))), ("right", regions(("red hat", right())))):
        graph = region_prompt(model, clip, parts=parts)
        alone[side] = tiny.sample(graph.model, graph.positive, negative)
    assert_differs(alone["left"], alone["right"])
    one = region_prompt(model, clip, parts=regions(("red hat", left())))
    two = region_prompt(model, clip, parts=regions(("red hat", right())))
    assert torch.equal(tiny.sample(one.model, one.positive, negative), alone["left"])
    assert torch.equal(tiny.sample(two.model, two.positive, negative), alone["right"])
    host = host_encode(clip, PROMPT)
    assert not ours_in(model.model_options)
    assert torch.equal(tiny.sample(model, host, negative), tiny.sample(model.clone(), host, negative))


def test_two_of_our_nodes_in_a_row_both_act_once() -> None:
    """The second takes the first's positive; the wrappers are there once, so no region counts twice."""
    from comfy.patcher_extension import WrappersMP

    model, clip, negative = family()
    first = region_prompt(model, clip, parts=regions(("red hat", left())))
    second = region_prompt(first.model, clip, first.positive, parts=regions(("blue dog", right())),
                           preset=custom(cross_strength=0.5))
    for kind in (WrappersMP.OUTER_SAMPLE, WrappersMP.SAMPLER_SAMPLE, WrappersMP.PREDICT_NOISE, WrappersMP.APPLY_MODEL):
        assert len(second.model.get_wrappers(kind, "attention_director")) == 1
    both = tiny.sample(second.model, second.positive, negative)
    only_first = tiny.sample(first.model, first.positive, negative)
    assert_differs(both, only_first)
    assert torch.equal(tiny.sample(second.model, first.positive, negative), only_first)
    assert_differs(both, tiny.sample(second.model, host_encode(clip, PROMPT), negative))


def test_the_plain_prompt_is_generated_as_if_there_were_no_region() -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip, preset="strong")
    compared = tiny.sample(model, graph.plain, negative)
    torch.testing.assert_close(compared, tiny.sample(model, host_encode(clip, PROMPT), negative), rtol=0, atol=0)
    assert_differs(tiny.sample(graph.model, graph.positive, negative), compared)
    torch.testing.assert_close(tiny.sample(graph.model, graph.plain, negative), compared, rtol=0, atol=0)
