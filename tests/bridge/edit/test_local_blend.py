"""The local blend in the real engine: outside the words' area the source's picture, on every sampler."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from attention_director.core.call import AttentionCall
from attention_director.core.local_blend import LocalBlend
from edit_scene import ADD, SOURCE, SWAP, attention_edit, refused, run, without_edit
from foreign_packs import deep_shrink
from scene import assert_differs, assert_same, encode, family

WORDS = {"blend_words": "cat\ndog", "blend_threshold": 0.9}


@pytest.fixture
def masks(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The area of every step of a run."""
    from attention_director.bridge.edit import method as edit_method

    seen: list[torch.Tensor] = []
    real = edit_method.blended

    def watching(denoised: torch.Tensor, mask: torch.Tensor, prompts: int) -> torch.Tensor:
        seen.append(mask)
        return real(denoised, mask, prompts)

    monkeypatch.setattr(edit_method, "blended", watching)
    return seen


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "dpmpp_2m_sde", "uni_pc", "dpmpp_2m", "heun", "lcm",
                                     "euler_cfg_pp", "dpm_adaptive"])
def test_the_background_is_exactly_the_sources(masks: list[torch.Tensor], sampler: str) -> None:
    model, clip, _ = family()
    rows = run(attention_edit(model, clip, **WORDS), sampler=sampler, steps=3)
    inside = masks[-1][1].expand(4, -1, -1)
    assert 0 < inside.float().mean() < 1
    assert torch.equal(rows[1][~inside], rows[0][~inside])
    assert_differs(rows[1][inside], rows[0][inside], 0.1)


def test_the_last_blend_only_takes_rounding_and_rests_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions are what is blended: without the blend of the result the background is nearly the source's."""
    from attention_director.bridge.edit.method import EditRun

    model, clip, _ = family()
    graph = attention_edit(model, clip, **WORDS)
    rows = {sampler: run(graph, sampler=sampler, steps=4) for sampler in ("heun", "uni_pc")}
    monkeypatch.setattr(EditRun, "around_sampler", lambda self, run, call, sample: sample(call))
    for sampler, whole in rows.items():
        assert_differs(whole[1], whole[0])
        assert_same(run(graph, sampler=sampler, steps=4), whole)


def test_an_edit_of_the_area_alone_leaves_the_background_even_where_nothing_else_is_copied(
        masks: list[torch.Tensor]) -> None:
    model, clip, _ = family()
    graph = attention_edit(model, clip, targets=f"{SWAP}\n{ADD}", cross_end_percent=0.0, self_end_percent=0.0, batch=2,
                           **WORDS)
    rows = run(graph, steps=3)
    plain = run(without_edit(graph, model, clip, SOURCE, SWAP, ADD), steps=3)
    for group in (0, 3):
        assert torch.equal(rows[group], plain[group])
        for row in (group + 1, group + 2):
            outside = ~masks[-1][row].expand(4, -1, -1)
            assert torch.equal(rows[row][outside], rows[group][outside])


def test_before_its_start_predictions_are_left_alone(masks: list[torch.Tensor]) -> None:
    model, clip, _ = family()
    run(attention_edit(model, clip, **WORDS, blend_start_percent=0.0), steps=5)
    all_steps = len(masks)
    masks.clear()
    run(attention_edit(model, clip, **WORDS, blend_start_percent=0.6), steps=5)
    assert 1 < len(masks) < all_steps == 6, "five predictions and the result"


def test_kept_words_take_area_away(masks: list[torch.Tensor]) -> None:
    model, clip, _ = family()
    run(attention_edit(model, clip, blend_words="dog", blend_threshold=0.5), steps=2)
    free = masks[-1]
    run(attention_edit(model, clip, blend_words="dog", blend_threshold=0.5, keep_words="grass"), steps=2)
    assert not (masks[-1] & ~free).any() and masks[-1].sum() < free.sum()


def test_a_noise_mask_and_the_area_intersect(masks: list[torch.Tensor]) -> None:
    model, clip, _ = family()
    picture = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(2))
    inpaint = torch.zeros(1, 16, 16)
    inpaint[:, :, 8:] = 1
    graph = attention_edit(model, clip, latent={"samples": picture, "noise_mask": inpaint}, **WORDS)
    rows = run(graph, steps=3)
    torch.testing.assert_close(rows[:, :, :, :8], picture[:, :, :, :8].expand(2, -1, -1, -1))
    outside = ~masks[-1][1].expand(4, -1, -1)
    assert torch.equal(rows[1][outside], rows[0][outside])


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_layers_that_another_node_shrinks_for_some_steps(masks: list[torch.Tensor], name: str,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """Deep Shrink halves the grids of the layers whose maps are added up, and gives them back."""
    grids: list[tuple[int, int]] = []
    real = LocalBlend.add

    def watching(self: LocalBlend, key: str, call: AttentionCall, *rest: Any) -> None:
        grids.append(call.grid)
        real(self, key, call, *rest)

    monkeypatch.setattr(LocalBlend, "add", watching)
    model, clip, _ = family(name)
    graph = attention_edit(model, clip, size=(32, 32), **WORDS)
    plain = run(graph, steps=4)
    assert set(grids) == {(16, 16)}
    grids.clear()
    rows = run(graph._replace(model=deep_shrink(graph.model)), steps=4)
    assert set(grids) == {(8, 8), (16, 16)} and grids[0] == (8, 8) and grids[-1] == (16, 16)
    assert_differs(rows[0], plain[0])
    inside = masks[-1][1].expand(4, -1, -1)
    assert 0 < inside.float().mean() < 1
    assert torch.equal(rows[1][~inside], rows[0][~inside])
    assert_differs(rows[1][inside], rows[0][inside], 0.1)


class Recording:
    """A chain member that only asks the others to keep what they can show."""

    recording, key, label = True, "1/records", "Record"

    def __init__(self, schedule: Any) -> None:
        self.schedule = schedule

    def acts_on(self, rows: Any) -> bool:
        return True

    def check_run(self, rows: Any, images: int) -> None:
        return None


def test_leaves_its_area_as_a_record(masks: list[torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    from attention_director.bridge.run import wrappers
    from attention_director.bridge.run.install import install
    from attention_director.core.hooks import LeavesRecords
    from attention_director.core.schedule import Schedule

    left_behind: list[Any] = []

    def report(run_: Any) -> None:
        left_behind.extend(m.records(run_.scratch) for m in run_.chain.methods if isinstance(m, LeavesRecords))

    monkeypatch.setattr(wrappers, "report", report)
    model, clip, _ = family()
    graph = attention_edit(model, clip, **WORDS)
    run(graph._replace(model=install(graph.model, Recording(Schedule()))), steps=2)
    assert torch.equal(left_behind[0]["edit_mask"], masks[-1].float())
    left_behind.clear()
    run(attention_edit(model, clip), steps=2)
    assert left_behind == [{}]



def test_a_cache_that_skips_steps_is_refused_where_maps_are_gathered() -> None:
    from comfy_extras.nodes_easycache import EasyCacheNode

    model, clip, _ = family()
    graph = attention_edit(model, clip, **WORDS)
    with refused("AttentionEdit: blend_words adds up maps over the whole run, and EasyCache or LazyCache skips steps; "
                 "bypass the cache or empty blend_words.", model):
        run(graph._replace(model=EasyCacheNode.execute(graph.model, 0.2, 0.15, 0.95, False).args[0]))
    without = attention_edit(model, clip)
    cached = EasyCacheNode.execute(without.model, 0.2, 0.15, 0.95, False).args[0]
    assert run(without._replace(model=cached)).isfinite().all()


def test_several_devices_are_refused_where_maps_are_gathered() -> None:
    from attention_director.bridge.run.checks import check_run
    from attention_director.core.method import Chain

    model, clip, _ = family()
    graph = attention_edit(model, clip, **WORDS)
    chain: Chain = graph.model.model_options["transformer_options"]["attention_director_chain"]
    guider = type("Guider", (), {"conds": {"positive": [graph.positive[0][1]]}})()
    with pytest.raises(ValueError, match="works on one GPU only; bypass the multi-GPU node or empty blend_words"):
        check_run(chain, guider, {"multigpu_clones": {"cuda:1": object()}}, 2)
    check_run(chain, guider, {}, 2)


def test_a_run_of_another_prompt_is_not_blended() -> None:
    model, clip, _ = family()
    graph = attention_edit(model, clip, **WORDS)
    other = encode(clip, "a house\na tree", lines=True)
    assert torch.equal(run(graph._replace(positive=other)), run(graph._replace(positive=other, model=model)))
    assert tiny.sample(graph.model, other, graph.negative, batch=2).isfinite().all()
