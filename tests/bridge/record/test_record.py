"""Record Attention in the real engine: bitwise nothing on the picture, the right maps, filed by the result."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import tiny
import torch
from foreign_packs import ImageAdapter, TextReplacer, deep_shrink, host_attention, put
from recording import assert_maps, heat_of, recorded
from scene import PROMPT, assert_differs, encode, family, frozen, host_encode, left, region_prompt, regions

pytestmark = pytest.mark.usefixtures("store")


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl"])
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m_sde"])
def test_the_picture_is_bitwise_the_same(name: str, sampler: str) -> None:
    model, clip, negative = family(name)
    positive = encode(clip, PROMPT)
    before = frozen((positive, model.model_options))
    seen = recorded(model, positive)
    options = dict(sampler=sampler, steps=3, batch=2)
    samples = tiny.sample(seen, positive, negative, **options)
    assert torch.equal(samples, tiny.sample(model, host_encode(clip, PROMPT), negative, **options))
    assert frozen((positive, model.model_options)) == before
    heat = heat_of(seen, samples)
    assert heat.mean.shape == (2, 2, 16, 16) and heat.has.all() and heat.seen == (1, 2, 3)
    assert (heat.mean > 0).all() and (heat.mean < 1).all() and heat.mean.std((-1, -2)).min() > 0


@pytest.mark.parametrize("first", [True, False])
def test_beside_regions_in_either_order(first: bool) -> None:
    """The same picture as without, bit for bit, and the same maps wherever Record stands."""
    model, clip, negative = family()
    graph = region_prompt(model, clip, preset="strong")
    plain = tiny.sample(graph.model, graph.positive, negative)
    both = (region_prompt(recorded(model, graph.positive), clip, preset="strong").model if first
            else recorded(graph.model, graph.positive))
    samples = tiny.sample(both, graph.positive, negative)
    assert torch.equal(samples, plain)
    here = heat_of(both, samples).mean
    after = recorded(graph.model, graph.positive)
    assert_maps(here, heat_of(after, tiny.sample(after, graph.positive, negative)).mean)
    unbiased = recorded(model, graph.positive)
    bare = heat_of(unbiased, tiny.sample(unbiased, graph.positive, negative)).mean
    assert (here / bare - 1).abs().max() > 0.2


def test_the_maps_are_the_hosts_own_attention() -> None:
    """Every layer's q and k as another pack's patch sees them, softmaxed by hand."""
    import torch.nn.functional as F

    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    sums: list[torch.Tensor] = []

    def spy(q, k, v, extra_options):
        rows = slice(*((0, 1) if extra_options["cond_or_uncond"][0] == 0 else (1, 2)))
        heads = extra_options["n_heads"]
        qs, ks = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k))
        read = torch.softmax(qs @ ks.transpose(-1, -2) / qs.shape[-1] ** 0.5, -1)[rows, ..., [2, 3]].sum(-1).mean(1)
        grid = extra_options["activations_shape"][-2:]
        sums.append(F.interpolate(read.reshape(1, 1, *grid), (16, 16), mode="bilinear", antialias=True))
        return host_attention(q, k, v, extra_options)

    slots = [("input", n) for n in (1, 2, 4, 5, 7, 8)] + [("middle", 0)] + [("output", n) for n in range(3, 12)]
    slots += [("output", n) for n in range(3)]
    assert [w.positions for w in positive[0][1]["attention_director"].rows[0].words()[1:3]] == [(2,), (3,)]
    seen = recorded(model, positive)
    samples = tiny.sample(seen, positive, negative, steps=2)
    tiny.sample(put(model, spy, slots=slots), positive, negative, steps=2)
    assert len(sums) == 2 * 16
    assert_maps(heat_of(seen, samples).mean[0, 0], torch.stack(sums).mean(0)[0, 0])


def test_a_patch_that_replaces_the_text_is_left_alone() -> None:
    """RegionPrompt must refuse it; who only looks on need not."""
    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    for patch in (TextReplacer(), ImageAdapter()):
        patched = put(model, patch)
        samples = tiny.sample(recorded(patched, positive), positive, negative)
        assert torch.equal(samples, tiny.sample(patched, positive, negative))
        heat_of(recorded(patched, positive), samples)


def test_layers_that_another_node_shrinks_for_some_steps() -> None:
    """Deep Shrink: every step has its map, on one grid, and of the same layers."""
    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    shrunk = deep_shrink(model)
    samples = tiny.sample(recorded(shrunk, positive), positive, negative, size=(32, 32))
    assert torch.equal(samples, tiny.sample(shrunk, positive, negative, size=(32, 32)))
    assert_differs(samples, tiny.sample(model, positive, negative, size=(32, 32)))
    heat = heat_of(recorded(shrunk, positive), samples)
    assert heat.seen == (1, 2, 3, 4) and {maps.shape for maps in heat.steps.values()} == {(1, 2, 32, 32)}
    assert all((maps > 0).all() and (maps < 1).all() for maps in heat.steps.values())


def test_rows_are_known_by_their_words() -> None:
    """Another prompt at the sampler is not recorded; the linked one is, also split over the run and at cfg 1."""
    from attention_director.bridge.record.readout import find

    from nodes import ConditioningCombine, ConditioningSetTimestepRange

    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    seen = recorded(model, positive)
    for unknown in (encode(clip, "a red hat"), host_encode(clip, PROMPT)):
        samples = tiny.sample(seen, unknown, negative)
        assert find("AttnDirReadout", seen, samples)[1] is None
    again = encode(clip, PROMPT)
    early = ConditioningSetTimestepRange().set_range(again, 0.0, 0.5)[0]
    late = ConditioningSetTimestepRange().set_range(again, 0.5, 1.0)[0]
    split = ConditioningCombine().combine(early, late)[0]
    whole = heat_of(seen, tiny.sample(seen, again, negative))
    assert_maps(heat_of(seen, tiny.sample(seen, split, negative)).mean, whole.mean)
    apart = heat_of(seen, tiny.sample(seen, again, negative, cfg=1.0))
    assert apart.has.all() and apart.seen == whole.seen


def test_the_negative_does_not_count() -> None:
    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    seen = recorded(model, positive)
    variant = heat_of(seen, tiny.sample(seen, positive, encode(clip, PROMPT), steps=1))
    assert_maps(variant.mean, heat_of(seen, tiny.sample(seen, positive, host_encode(clip, PROMPT), steps=1)).mean)


def test_each_image_reads_its_own_prompt() -> None:
    model, clip, negative = family()
    lines = encode(clip, f"{PROMPT}\na red hat in the rain {'tree ' * 80}", lines=True)
    seen = recorded(model, lines)
    heat = heat_of(seen, tiny.sample(seen, lines, negative, batch=4))
    assert heat.has.tolist() == [[True, True], [True, False]] * 2
    assert not heat.mean[1, 1].any() and heat.mean[0, 1].all()
    single = encode(clip, PROMPT)
    alone = recorded(model, single)
    assert_maps(heat.mean[2], heat_of(alone, tiny.sample(alone, single, negative, batch=4)).mean[2])


def test_a_repeated_context_counts_all_its_copies() -> None:
    """Beside a negative of two chunks the host repeats our words: a word is then read in both copies."""
    model, clip, _ = family()
    positive = encode(clip, PROMPT)
    seen = recorded(model, positive)
    short, long = (host_encode(clip, text) for text in ("rain", "rain " * 80))
    at_start = [heat_of(seen, tiny.sample(seen, positive, n, steps=1)).mean for n in (short, long)]
    assert_maps(*at_start)


def test_steps_and_windows() -> None:
    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    seen = recorded(model, positive, end_percent=0.5)
    heat = heat_of(seen, tiny.sample(seen, positive, negative, steps=8))
    assert heat.seen == (1, 2, 3, 4) and list(heat.steps) == [1, 2, 3, 4] and heat.total == 8
    assert_maps(torch.stack([m.float() for m in heat.steps.values()]).mean(0), heat.mean)
    assert (heat.steps[1].float() / heat.steps[4].float() - 1).abs().max() > 0.01
    assert recorded(model, positive, start_percent=0.4, end_percent=0.4) is model


def test_a_second_evaluation_in_a_step_belongs_to_it() -> None:
    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    seen = recorded(model, positive)
    heat = heat_of(seen, tiny.sample(seen, positive, negative, steps=4, sampler="heun"))
    assert heat.seen == (1, 2, 3, 4)


def test_of_two_passes_the_last_is_kept() -> None:
    """A method that samples twice, as shared subjects do, shows the pass that made the picture."""
    from attention_director.bridge.run.install import install
    from attention_director.core.schedule import Schedule

    class Twice:
        key, label, schedule = "9/twice", "Twice", Schedule()

        def acts_on(self, rows): return True
        def check_run(self, rows, images): ...

        def around_sampler(self, run, call, sample):
            sample(replace(call, noise=call.noise.flip(-1)))
            return sample(call)

    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    once, twice = recorded(model, positive), install(recorded(model, positive), Twice())
    samples = tiny.sample(once, positive, negative, steps=2)
    alone = heat_of(once, samples)
    assert torch.equal(samples, tiny.sample(twice, positive, negative, steps=2))
    assert heat_of(twice, samples) is not alone
    assert_maps(heat_of(twice, samples).mean, alone.mean)


def test_large_pictures_stay_within_their_bytes() -> None:
    """At 64 x 96 latent cells the finest layers are left out, and 60 steps of 8 words keep only their mean."""
    from attention_director.core.heat import MAX_ROW_BYTES

    model, clip, negative = family()
    positive = encode(clip, "red blue green big small old new wet")
    seen = recorded(model, positive, "red blue green big small old new wet".replace(" ", "\n"))
    heat = heat_of(seen, tiny.sample(seen, positive, negative, steps=2, size=(64, 96)))
    assert heat.mean.shape[-2:] == (26, 39) and len(heat.steps) == 2
    heat = heat_of(seen, tiny.sample(seen, positive, negative, steps=40, size=(32, 32), cfg=1.0))
    assert not heat.steps and heat.seen == tuple(range(1, 41)) and heat.nbytes <= MAX_ROW_BYTES
    few = recorded(model, positive, "red")
    heat = heat_of(few, tiny.sample(few, positive, negative, steps=40, size=(16, 16), cfg=1.0))
    assert len(heat.steps) == 40 and heat.nbytes <= MAX_ROW_BYTES


def test_phrases_left_empty_are_those_of_the_regions_or_every_word() -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip, parts=regions(("red hat", left()), ("", left().flip(2))))
    for seen in (recorded(graph.model, graph.positive, ""),
                 region_prompt(recorded(model, graph.positive, ""), clip,
                               parts=regions(("red hat", left()), ("", left().flip(2)))).model):
        heat = heat_of(seen, tiny.sample(seen, graph.positive, negative, steps=1))
        assert [p.text for p in heat.phrases] == ["red hat"] and heat.shown == 1
    typed = recorded(graph.model, graph.positive, "grass")
    heat = heat_of(typed, tiny.sample(typed, graph.positive, negative, steps=1))
    assert [p.text for p in heat.phrases] == ["grass", "red hat"] and heat.shown == 1
    plain = encode(clip, "a red hat, the blue hat")
    words = recorded(model, plain, "")
    heat = heat_of(words, tiny.sample(words, plain, negative, steps=1))
    assert [p.text for p in heat.phrases] == ["red", "hat", "blue", "hat#2"]


def test_what_cannot_be_recorded_is_refused_before_step_one() -> None:
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode

    from nodes import ConditioningSetArea

    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    seen = recorded(model, positive)
    spread = seen.clone()
    spread.model_options["multigpu_clones"] = {torch.device("cpu"): spread}
    with pytest.raises(ValueError, match=r"^AttnDirRecord: it records attention, which works on one GPU only; bypass "
                                         r"the multi-GPU node or this one\.$"):
        tiny.sample(spread, positive, negative)
    windowed = ContextWindowsManualNode.execute(seen, 2, 0, "standard_static", 1, False, "flat", 0, False).args[0]
    with pytest.raises(ValueError, match=r"^AttnDirRecord: a context window over the batch splits its maps; bypass "
                                         r"it\.$"):
        tiny.sample(windowed, positive, negative, batch=4)
    area = ConditioningSetArea().append(positive, 64, 64, 0, 0, 1.0)[0]
    with pytest.raises(ValueError, match=r"^AttnDirRecord: its positive is limited to an area; this node cannot "
                                         r"follow it there; remove ConditioningSetArea\.$"):
        tiny.sample(seen, area, negative)


@pytest.mark.parametrize("lazy", [False, True])
def test_steps_that_a_cache_skips_are_told(lazy: bool, caplog: pytest.LogCaptureFixture) -> None:
    from comfy_extras import nodes_easycache as caches

    caplog.set_level("INFO", logger="attention_director")
    node = caches.LazyCacheNode if lazy else caches.EasyCacheNode
    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    seen = recorded(node.execute(model, 3.0, 0.0, 1.0, False).args[0], positive)
    samples = tiny.sample(seen, positive, negative, steps=10)
    heat = heat_of(seen, samples)
    assert heat.skipped > 0 and len(heat.seen) + heat.skipped == 10
    lines = [r.getMessage() for r in caplog.records if r.name == "attention_director"]
    assert any(f"2 phrases recorded; {heat.skipped} steps were skipped by a cache" in line for line in lines)
    plain = recorded(model, positive)
    assert heat_of(plain, tiny.sample(plain, positive, negative, sampler="dpm_adaptive")).skipped == 0


def test_the_line_after_a_run(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="attention_director")
    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    seen = recorded(model, positive)
    tiny.sample(seen, positive, negative)
    tiny.sample(seen, host_encode(clip, PROMPT), negative)
    lines = [r.getMessage() for r in caplog.records if r.name == "attention_director"]
    assert re.fullmatch(r"AttnDirRecord: active in steps 1-4 of 4; 2 phrases recorded(; \+[\d.]+ s)?", lines[0])
    assert lines[1] == ("AttnDirRecord: nothing happened: the sampler's positive is not the prompt that is linked "
                        "here")
    assert len(lines) == 2
