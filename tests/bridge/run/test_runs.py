"""Any sampler, batch, shape, cfg; what stops a run, and what a stopped run leaves."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from scene import (
    PROMPT,
    assert_differs,
    assert_same,
    custom,
    encode,
    family,
    host_encode,
    left,
    region_prompt,
    regions,
    right,
)

SAMPLERS = ["euler", "euler_ancestral", "heun", "dpm_2_ancestral", "dpmpp_2s_ancestral", "dpmpp_2m", "dpmpp_sde",
            "dpmpp_2m_sde", "uni_pc", "lcm", "ddim", "dpm_adaptive"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_kind_of_sampler(sampler: str) -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip)
    options = dict(sampler=sampler, steps=3)
    directed = tiny.sample(graph.model, graph.positive, negative, **options)
    assert_differs(directed, tiny.sample(model, host_encode(clip, PROMPT), negative, **options))
    assert torch.equal(directed, tiny.sample(graph.model, graph.positive, negative, **options))


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_without_a_negative_pass(name: str) -> None:
    model, clip, negative = family(name)
    graph = region_prompt(model, clip, preset="strong")
    at_one = tiny.sample(graph.model, graph.positive, negative, cfg=1.0)
    assert_differs(at_one, tiny.sample(model, graph.positive, negative, cfg=1.0))
    assert_same(at_one, tiny.sample(graph.model, graph.positive, host_encode(clip, "other words"), cfg=1.0))


def test_the_negative_is_not_directed() -> None:
    """With the words of the prompt as negative, tagged or not, the picture is the same."""
    model, clip, _ = family()
    graph = region_prompt(model, clip)
    tagged = tiny.sample(graph.model, graph.positive, graph.positive)
    bare = [[graph.positive[0][0], {k: v for k, v in graph.positive[0][1].items() if k != "attention_director"}]]
    assert torch.equal(tagged, tiny.sample(graph.model, graph.positive, bare))
    assert_differs(tagged, tiny.sample(model, graph.positive, bare))


@pytest.mark.parametrize("size", [(12, 20), (24, 8), (9, 15)])
def test_pictures_that_are_not_square(size: tuple[int, int]) -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip, parts=regions(("red hat", left(90, 160)), ("blue dog", right(64, 64))))
    directed = tiny.sample(graph.model, graph.positive, negative, size=size)
    assert directed.shape[-2:] == size
    assert_differs(directed, tiny.sample(model, host_encode(clip, PROMPT), negative, size=size))


def test_a_second_pass_at_another_size_on_the_same_model() -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip)
    alone = tiny.sample(graph.model, graph.positive, negative, size=(24, 20))
    tiny.sample(graph.model, graph.positive, negative)
    assert torch.equal(tiny.sample(graph.model, graph.positive, negative, size=(24, 20)), alone)
    assert_differs(alone, tiny.sample(model, graph.positive, negative, size=(24, 20)))


def test_a_batch_of_seeds_shares_one_layout() -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip)
    batch = tiny.sample(graph.model, graph.positive, negative, batch=4)
    assert_same(batch[:1], tiny.sample(graph.model, graph.positive, negative))
    plain = tiny.sample(model, graph.positive, negative, batch=4)
    for row in range(4):
        assert_differs(batch[row], plain[row])


def test_a_batch_of_masks_is_one_layout_an_image() -> None:
    model, clip, negative = family()
    layouts = torch.cat([left(), left().flip(2), left().transpose(1, 2), right()])
    graph = region_prompt(model, clip, parts=regions(("red hat", layouts), ("blue dog", right())), preset="strong")
    assert graph.masks.shape[0] == 8
    batch = tiny.sample(graph.model, graph.positive, negative, batch=4)
    for row in range(4):
        single = region_prompt(model, clip, parts=regions(("red hat", layouts[row:row + 1]), ("blue dog", right())),
                               preset="strong")
        everywhere = tiny.sample(single.model, single.positive, negative, batch=4)
        assert_same(batch[row], everywhere[row])
        assert_differs(batch[row], everywhere[(row + 1) % 4])


def test_each_line_of_a_batch_of_prompts() -> None:
    """Image i reads line i mod P, and a line that lacks a phrase still has the others."""
    model, clip, negative = family()
    lines = [PROMPT, "a red hat in the rain " + "tree " * 80]
    parts = regions(("red hat", left()), ("blue dog", right()))
    graph = region_prompt(model, clip, encode(clip, "\n".join(lines), lines=True), parts, preset="strong")
    batch = tiny.sample(graph.model, graph.positive, negative, batch=4)
    for row, chosen in ((0, parts), (2, parts), (1, parts[:1]), (3, parts[:1])):
        alone = region_prompt(model, clip, lines[row % 2], chosen, preset=custom())
        mixed = region_prompt(model, clip, encode(clip, "\n".join(lines), lines=True), chosen, preset=custom())
        assert_same(tiny.sample(mixed.model, mixed.positive, negative, batch=4)[row],
                    tiny.sample(alone.model, alone.positive, negative, batch=4)[row])
    assert_differs(batch, tiny.sample(model, graph.positive, negative, batch=4))
    with pytest.raises(ValueError, match="RegionPrompt: 3 latents for 2 prompts; use a multiple of 2."):
        tiny.sample(graph.model, graph.positive, negative, batch=3)


def refused_before_step_one(graph: Any, positive: list, negative: list, message: str, **options: Any) -> None:
    steps: list[int] = []
    hook = graph.model.model.diffusion_model.register_forward_pre_hook(lambda *_: steps.append(1))
    try:
        with pytest.raises(ValueError) as caught:
            tiny.sample(graph.model, positive, negative, **options)
    finally:
        hook.remove()
    assert str(caught.value) == message and not steps


def test_a_batch_of_masks_of_another_size_is_refused() -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip, parts=regions(("red hat", left().repeat(3, 1, 1))))
    refused_before_step_one(graph, graph.positive, negative, batch=4, message=(
        "RegionPrompt: the masks have 3 layouts and the run 4 images; give one layout, or one per image."))
    plain = host_encode(clip, PROMPT)
    assert tiny.sample(graph.model, plain, negative, batch=4).isfinite().all(), "another prompt is none of its business"


def test_an_area_on_our_positive_is_refused() -> None:
    from nodes import ConditioningSetArea, ConditioningSetAreaPercentage

    model, clip, negative = family()
    graph = region_prompt(model, clip)
    sentence = ("RegionPrompt: its positive is limited to an area; the regions already say what goes where; remove "
                "ConditioningSetArea.")
    for limited in (ConditioningSetArea().append(graph.positive, 64, 64, 0, 0, 1.0)[0],
                    ConditioningSetAreaPercentage().append(graph.positive, 0.5, 0.5, 0.0, 0.0, 1.0)[0]):
        refused_before_step_one(graph, limited, negative, sentence)


def run_with_callback(graph: Any, negative: list, callback: Any) -> torch.Tensor:
    import comfy.sample

    latent = torch.zeros(1, 4, 16, 16)
    noise = comfy.sample.prepare_noise(latent, 3)
    with torch.inference_mode():
        return comfy.sample.sample(graph.model, noise, 4, 5.0, "euler", "normal", graph.positive, negative, latent,
                                   callback=callback, seed=3)


def test_an_interrupted_run_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    from attention_director.bridge.run import wrappers as runs
    from comfy.model_management import InterruptProcessingException

    made: list[Any] = []
    real = runs.Run

    def recording(*args: Any, **kwargs: Any) -> Any:
        made.append(real(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(runs, "Run", recording)
    model, clip, negative = family()
    host = host_encode(clip, PROMPT)
    plain = tiny.sample(model, host, negative)
    graph = region_prompt(model, clip, preset="strong")
    expected = tiny.sample(graph.model, graph.positive, negative)
    seen: list[int] = []

    def stop(step: int, *_: Any) -> None:
        seen.append(len(made[-1].scratch.values))
        if step == 1:
            raise InterruptProcessingException

    with pytest.raises(InterruptProcessingException):
        run_with_callback(graph, negative, stop)
    assert seen[0] > 0 and all(not run.scratch.values for run in made), "scratch lives as long as its run"
    assert torch.equal(tiny.sample(model, host, negative), plain)
    assert torch.equal(tiny.sample(graph.model, graph.positive, negative), expected)


@pytest.mark.parametrize("backend", ["attention_pytorch", "attention_split", "attention_basic"])
def test_back_ends_agree(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    import attention_director.bridge.families.kernel as kernel
    import attention_director.core.ruled as ruled
    import comfy.ldm.modules.attention as host

    model, clip, negative = family()
    graph = region_prompt(model, clip, preset="strong")
    expected = tiny.sample(graph.model, graph.positive, negative)
    calls: list[int] = []

    def other(q, k, v, heads, *args, **kwargs):
        calls.append(q.shape[-1] // heads)
        return getattr(host, backend)(q, k, v, heads, *args, **kwargs)

    monkeypatch.setattr(host, "optimized_attention", other)
    monkeypatch.setattr(kernel, "optimized_attention", other)
    monkeypatch.setattr(ruled, "_on_a_processor", ruled.by_columns)  # as on a GPU that has no Triton
    assert_same(tiny.sample(graph.model, graph.positive, negative), expected)
    assert any(width % 8 == 0 and width > 16 for width in calls), "the widened heads went through this back end"


def test_the_models_own_precision_reaches_the_back_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """SD2 wants its scores in float32; our calls must say so, and pass the options on."""
    import attention_director.bridge.families.kernel as kernel

    given: list[dict] = []
    real = kernel.optimized_attention

    def listening(q, k, v, heads, **kwargs):
        given.append(kwargs)
        return real(q, k, v, heads, **kwargs)

    monkeypatch.setattr(kernel, "optimized_attention", listening)
    for name, precision in (("sd2", torch.float32), ("sd15", None)):
        model, clip, negative = family(name)
        given.clear()
        graph = region_prompt(model, clip)
        tiny.sample(graph.model, graph.positive, negative, steps=1)
        assert given and all(kwargs["attn_precision"] is precision for kwargs in given)
        assert all("sigmas" in kwargs["transformer_options"] for kwargs in given)
