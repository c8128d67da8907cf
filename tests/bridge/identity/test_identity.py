"""IdentityInject on tiny models: what is fused, when, and what the UNet gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import identity_files as files
import pytest
import tiny
import torch
from attention_director.bridge.errors import DirectorError
from attention_director.bridge.identity.method import text_only_steps
from attention_director.bridge.identity.vision import embed
from foreign_packs import deep_shrink
from scene import assert_differs, dispatched, encode, family, frozen, host_encode, left, options_seen, region_prompt
from scene import regions as region_list

TEXT = "a red hat and a blue dog on the grass"
HAT, DOG = 3, 7  # positions of the last tokens


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return files.adapter(tmp_path_factory.mktemp("adapter") / "a.safetensors")


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An adapter without UNet weights."""
    return files.adapter(tmp_path_factory.mktemp("light") / "a.safetensors", files.published(unet=False))


NOTHING = {"strength 0": dict(strength=0.0), "subjects of strength 0": dict(parts="silent"),
           "never": dict(start_percent=1.0)}


@pytest.mark.parametrize("case", NOTHING.values(), ids=NOTHING)
def test_nothing_is_bitwise_nothing(given: Any, case: dict) -> None:
    model, clip, negative = family()
    parts = files.subjects(("hat", files.picture(1), 0.0)) if "parts" in case else None
    out, positive = files.identity(model, clip, given, TEXT, parts, localise=1.0,
                                   **{k: v for k, v in case.items() if k != "parts"})
    host = host_encode(clip, TEXT)
    assert out is model and len(positive) == 1 and torch.equal(positive[0][0], host[0][0])
    assert torch.equal(tiny.sample(out, positive, negative), tiny.sample(model, host, negative))


def test_only_the_marked_words_are_fused(given: Any) -> None:
    model, clip, _ = family()
    _, positive = files.identity(model, clip, given, TEXT)
    plain = host_encode(clip, TEXT)[0][0]
    (text, _), (fused, _) = positive
    assert torch.equal(text, plain)
    changed = (fused != plain).any(-1)[0].nonzero().flatten().tolist()
    assert changed == [HAT, DOG]
    with torch.inference_mode():
        vectors = [embed(given.tower, files.picture(n))[0] for n in (1, 2)]
        wanted = given.fuse(plain[0, [HAT, DOG]], torch.stack(vectors))
    assert torch.equal(fused[0, [HAT, DOG]], wanted)


def test_a_phrase_of_several_words_is_fused_at_its_last_token(light: Any) -> None:
    model, clip, _ = family()
    _, positive = files.identity(model, clip, light, TEXT, files.subjects(("red hat", files.picture(1))))
    changed = (positive[1][0] != positive[0][0]).any(-1)[0].nonzero().flatten().tolist()
    assert changed == [HAT]


def test_a_pair_of_text_encoders_is_fused_as_one_context(tmp_path: Path) -> None:
    model, clip, negative = family("sdxl")
    wide = files.adapter(tmp_path / "a.safetensors", files.published(64, unet=False))
    out, positive = files.identity(model, clip, wide, TEXT, localise=1.0)
    host = host_encode(clip, TEXT)
    assert torch.equal(positive[1][1]["pooled_output"], host[0][1]["pooled_output"])
    assert_differs(tiny.sample(out, positive, negative), tiny.sample(model, host, negative), 0.01)


def test_strength_interpolates_and_pictures_are_averaged(light: Any) -> None:
    model, clip, _ = family()
    whole, half = (files.identity(model, clip, light, TEXT, files.subjects(("hat", files.picture(1), s)))[1][1][0]
                   for s in (1.0, 0.5))
    plain = host_encode(clip, TEXT)[0][0]
    torch.testing.assert_close(half[0, HAT], (plain + whole)[0, HAT] / 2)
    batch = torch.cat((files.picture(1), files.picture(2)))
    both = files.identity(model, clip, light, TEXT, files.subjects(("hat", batch)))[1][1][0]
    with torch.inference_mode():
        wanted = light.fuse(plain[0, HAT], embed(light.tower, batch).mean(0))
    torch.testing.assert_close(both[0, HAT], wanted)


def test_text_only_comes_first(light: Any) -> None:
    """A run with another picture is the same until start_percent, and differs after."""
    model, clip, negative = family()
    runs = []
    for seed in (1, 2):
        out, positive = files.identity(model, clip, light, TEXT, files.subjects(("hat", files.picture(seed))))
        ranges = [(v["start_percent"], v["end_percent"]) for _, v in positive]
        assert ranges == [(0.0, 0.3), (0.3, 1.0)]
        assert torch.equal(positive[0][0], host_encode(clip, TEXT)[0][0])
        runs.append((out, positive))
    contexts: list[list[torch.Tensor]] = []
    for out, positive in runs:
        seen: list[torch.Tensor] = []
        hook = model.model.diffusion_model.register_forward_pre_hook(
            lambda _m, args, kwargs, seen=seen: seen.append((kwargs.get("context", args[2:3] and args[2])).clone()),
            with_kwargs=True)
        tiny.sample(out, positive, negative, steps=10)
        hook.remove()
        contexts.append(seen)
    same = [torch.equal(a, b) for a, b in zip(*contexts, strict=True)]
    assert same[0] and not same[-1] and same == sorted(same, reverse=True) and 2 <= sum(same) <= 4


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
def test_the_published_rule_counts_steps(light: Any, sampler: str) -> None:
    model, clip, negative = family()
    out, positive = files.identity(model, clip, light, TEXT, published_step_rule=True, start_percent=0.25)
    fused = positive[1][0]
    seen: list[tuple[float, bool]] = []

    def note(_module: Any, args: tuple, kwargs: dict) -> None:
        context = kwargs.get("context", args[2] if len(args) > 2 else None)
        seen.append((float(args[1][0]), any(torch.equal(row, fused[0]) for row in context)))

    hook = model.model.diffusion_model.register_forward_pre_hook(note, with_kwargs=True)
    tiny.sample(out, positive, negative, steps=8, sampler=sampler, scheduler="karras")
    hook.remove()
    calls = 2 if sampler == "heun" else 1
    assert [f for _, f in seen[:calls * 3]].count(True) == (1 if sampler == "heun" else 0)
    assert all(f for _, f in seen[calls * 3:])


def test_the_rule_of_the_published_code() -> None:
    assert [text_only_steps(0.3, 50), text_only_steps(0.0, 50), text_only_steps(0.5, 25)] == [16, 1, 13]


def test_start_zero_needs_no_second_entry(light: Any) -> None:
    model, clip, _ = family()
    _, positive = files.identity(model, clip, light, TEXT, start_percent=0.0)
    assert len(positive) == 1 and "start_percent" not in positive[0][1]


def test_a_range_of_its_own_is_kept(light: Any) -> None:
    from nodes import ConditioningSetTimestepRange

    model, clip, _ = family()
    ranged = ConditioningSetTimestepRange().set_range(encode(clip, TEXT), 0.1, 0.6)[0]
    _, positive = files.identity(model, clip, light, ranged)
    assert [(v["start_percent"], v["end_percent"]) for _, v in positive] == [(0.1, 0.3), (0.3, 0.6)]
    with pytest.raises(DirectorError, match="its own time range"):
        files.identity(model, clip, light, ranged, published_step_rule=True)


def test_localise_off_installs_no_dispatcher_and_on_changes_the_picture(light: Any) -> None:
    model, clip, negative = family()
    off, positive = files.identity(model, clip, light, TEXT, start_percent=0.0)
    with options_seen(model) as seen:
        plain = tiny.sample(off, positive, negative)
    assert seen and not any(map(dispatched, seen))
    assert torch.equal(plain, tiny.sample(model, positive, negative))
    on, positive = files.identity(model, clip, light, TEXT, start_percent=0.0, localise=1.0)
    confined = tiny.sample(on, positive, negative)
    assert_differs(confined, plain, 0.05)
    assert torch.equal(confined, tiny.sample(on, positive, negative))


def test_subjects_are_localised_where_another_node_shrinks_layers_for_some_steps(light: Any) -> None:
    """Deep Shrink: the maps of the subjects come from grids that change within the run."""
    model, clip, negative = family()
    on, positive = files.identity(model, clip, light, TEXT, start_percent=0.0, localise=1.0)
    off, _ = files.identity(model, clip, light, TEXT, start_percent=0.0)
    shrunk = tiny.sample(deep_shrink(on), positive, negative, size=(32, 32))
    assert_differs(shrunk, tiny.sample(deep_shrink(off), positive, negative, size=(32, 32)), 0.05)
    assert_differs(shrunk, tiny.sample(on, positive, negative, size=(32, 32)))


def test_a_mask_of_another_batch_is_refused_before_the_first_step(light: Any) -> None:
    model, clip, negative = family()
    parts = files.subjects(("hat", files.picture(1), 1.0, torch.ones(3, 8, 8)))
    out, positive = files.identity(model, clip, light, TEXT, parts, localise=1.0)
    with pytest.raises(DirectorError, match="3 layouts and the run 2 images"):
        tiny.sample(out, positive, negative, batch=2)


def test_chains_with_regions_in_both_orders(light: Any) -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip, TEXT, region_list(("red hat", left())))
    first, positive = files.identity(graph.model, clip, light, graph.positive)
    assert len(positive) == 2
    one = tiny.sample(first, positive, negative)
    assert_differs(one, tiny.sample(graph.model, graph.positive, negative), 0.05)
    _, alone = files.identity(model, clip, light, TEXT)
    assert_differs(one, tiny.sample(model, alone, negative))
    injected, entries = files.identity(model, clip, light, TEXT)
    after = region_prompt(injected, clip, entries, region_list(("red hat", left())))
    assert len(after.positive) == 2
    torch.testing.assert_close(tiny.sample(after.model, after.positive, negative), one, rtol=0, atol=2e-2)


def test_queueing_twice_and_inputs_untouched(given: Any) -> None:
    model, clip, negative = family()
    parts = files.subjects()
    before = [frozen(v) for v in (model.model_options, negative, [(s.phrase, s.images) for s in parts],
                                  given.fuse.state_dict())]
    patches = len(model.patches)
    out, positive = files.identity(model, clip, given, TEXT, parts, localise=1.0)
    first = tiny.sample(out, positive, negative)
    again, entries = files.identity(model, clip, given, TEXT, parts, localise=1.0)
    assert torch.equal(first, tiny.sample(again, entries, negative))
    assert before == [frozen(v) for v in (model.model_options, negative, [(s.phrase, s.images) for s in parts],
                                          given.fuse.state_dict())]
    assert len(model.patches) == patches


def test_rows_of_several_prompts_are_fused_where_they_have_the_word(light: Any) -> None:
    model, clip, _ = family()
    lines = encode(clip, "a red hat\na blue dog", lines=True)
    _, positive = files.identity(model, clip, light, lines)
    changed = (positive[1][0] != lines[0][0]).any(-1).nonzero().tolist()
    assert changed == [[0, 3], [1, 3]]


def test_masks_without_localise_are_said_to_do_nothing(light: Any, caplog: pytest.LogCaptureFixture) -> None:
    model, clip, negative = family()
    parts = files.subjects(("hat", files.picture(1), 1.0, torch.ones(1, 8, 8)))
    told = []
    for localise in (0.0, 1.0):
        caplog.clear()
        with caplog.at_level("INFO", "attention_director"):
            out, positive = files.identity(model, clip, light, TEXT, parts, localise=localise)
            tiny.sample(out, positive, negative)
        told.append(caplog.text)
    assert "1 subject; their masks do nothing while localise is 0" in told[0]
    assert "1 subject" in told[1] and "masks" not in told[1]
