"""One subject in many scenes: what acts, what does not, and what two passes must not change."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from scene import assert_differs, assert_same, encode, family, frozen, host_encode, options_seen
from stories import SCENES, SUBJECT, shared

# Two passes, and every hook, for nothing: sharing has no window, and what is injected has a weight so small that
# x + 1e-40 (y - x) rounds to x in float32 for every x that is not 0 to 33 places. Equality of two runs beyond that
# takes kernels that round alike wherever a tensor lies in memory, as those of the tests' attention on a CPU do.
NEUTRAL: dict[str, Any] = dict(start_percent=0.0, end_percent=0.0, injection=1e-40, injection_start_percent=0.0,
                               injection_end_percent=1.0)
SAMPLERS = ["euler", "euler_ancestral", "heun", "dpm_2_ancestral", "dpmpp_2s_ancestral", "lcm", "dpmpp_2m", "dpmpp_sde",
            "dpmpp_3m_sde", "uni_pc", "ddim", "dpm_adaptive", "heunpp2", "res_multistep", "er_sde", "sa_solver"]
# A run of few steps in which everything acts.
FULL: dict[str, Any] = dict(injection_start_percent=0.0, injection_end_percent=0.9, query_blend_end_percent=0.9)


def plain(model: Any, told: Any, negative: list, **options: Any) -> torch.Tensor:
    return tiny.sample(model, told.positive, negative, latent=told.latent, **options)


def generated(told: Any, negative: list, **options: Any) -> torch.Tensor:
    return tiny.sample(told.model, told.positive, negative, latent=told.latent, **options)


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl"])
@pytest.mark.parametrize("case", [dict(strength=0.0), dict(start_percent=0.2, end_percent=0.2, injection=0.0)])
def test_nothing_is_bitwise_nothing(name: str, case: dict) -> None:
    model, clip, negative = family(name)
    told = shared(model, clip, **case)
    assert told.model is model
    host = encode(clip, SCENES, lines=True)
    assert torch.equal(told.positive[0][0], host[0][0])
    assert torch.equal(generated(told, negative), tiny.sample(model, host, negative, batch=3))


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl"])
def test_something_is_something_and_twice_is_once(name: str) -> None:
    model, clip, negative = family(name)
    before = [frozen(v) for v in (model.model_options, negative)]
    told = shared(model, clip, **FULL)
    found = generated(told, negative)
    for row in range(3):
        assert_differs(found[row], plain(model, told, negative)[row], least=0.02)
    assert torch.equal(found, generated(told, negative))
    assert before == [frozen(v) for v in (model.model_options, negative)]


@pytest.mark.parametrize("part", ["share", "inject", "blend", "dropout", "one pass", "noise", "apart", "strength"])
def test_every_part_has_a_part_in_it(part: str) -> None:
    model, clip, negative = family()
    subjects = f"{SUBJECT}\na" if part == "apart" else SUBJECT
    changes = {
        "share": dict(start_percent=0.0, end_percent=0.0), "inject": dict(injection=0.0),
        "blend": dict(query_blend=0.0), "dropout": dict(variety=0.0), "one pass": dict(mode="one-pass"),
        "noise": dict(same_noise=True),
        "apart": dict(separate_subjects=True), "strength": dict(strength=0.5)}[part]
    whole = generated(shared(model, clip, subjects=subjects, **FULL), negative)
    without = generated(shared(model, clip, subjects=subjects, **(FULL | changes)), negative)
    assert_differs(whole, without, least=1e-3)


@pytest.mark.parametrize(("name", "sampler"), [("sdxl", "euler_ancestral"), *(("sd15", s) for s in SAMPLERS)])
def test_two_neutral_passes_are_bitwise_one_run(name: str, sampler: str) -> None:
    model, clip, negative = family(name)
    told = shared(model, clip, **NEUTRAL)
    with options_seen(model) as seen:
        found = generated(told, negative, sampler=sampler, steps=2)
        calls = len(seen)
        expected = plain(model, told, negative, sampler=sampler, steps=2)
    assert torch.equal(found, expected)
    assert calls == 2 * (len(seen) - calls), "it was two passes"


def test_two_neutral_passes_of_every_other_kind_of_run() -> None:
    """Regional conditioning, a noise mask, part of the noise, hooks' windows, churn of the global generator."""
    import comfy.samplers

    from nodes import ConditioningCombine, ConditioningSetMask, ConditioningSetTimestepRange

    model, clip, negative = family()
    told = shared(model, clip, **NEUTRAL)
    mask = torch.zeros(1, 16, 16)
    mask[:, :, 4:] = 1
    other = ConditioningSetMask().append(host_encode(clip, "a green tree"), 1 - mask, "default", 0.7)[0]
    ours = ConditioningSetMask().append(told.positive, mask, "default", 1.0)[0]
    late = ConditioningSetTimestepRange().set_range(told.positive, 0.0, 0.6)[0]
    late = ConditioningCombine().combine(
        late, ConditioningSetTimestepRange().set_range(told.positive, 0.6, 1.0)[0])[0]
    image = torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(9))
    inpaint = {"samples": image, "noise_mask": mask[:, None]}
    churned = comfy.samplers.ksampler("euler", {"s_churn": 0.5})
    cases: list[tuple[list, dict]] = [
        (ConditioningCombine().combine(ours, other)[0], dict(latent=told.latent)),
        (late, dict(latent=told.latent, steps=4)),
        (told.positive, dict(latent=inpaint)),
        (told.positive, dict(latent={"samples": image}, denoise=0.5)),
        (told.positive, dict(latent=told.latent, cfg=1.0)),
    ]
    for positive, options in cases:
        found = tiny.sample(told.model, positive, negative, sampler="euler_ancestral", **options)
        assert torch.equal(found, tiny.sample(model, positive, negative, sampler="euler_ancestral", **options))
    pictures = []
    for patcher in (told.model, model):
        torch.manual_seed(4)
        pictures.append(custom_run(patcher, told, negative, churned))
    assert torch.equal(*pictures)


def custom_run(patcher: Any, told: Any, negative: list, sampler: Any, callback: Any = None) -> torch.Tensor:
    import comfy.sample
    import comfy.samplers

    latent = told.latent["samples"]
    sigmas = comfy.samplers.calculate_sigmas(patcher.get_model_object("model_sampling"), "normal", 3)
    noise = torch.randn(latent.shape, generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        return comfy.sample.sample_custom(patcher, noise, 5.0, sampler, sigmas, told.positive, negative, latent,
                                          callback=callback, seed=3).clone()


def test_progress_counts_both_passes() -> None:
    import comfy.samplers

    model, clip, negative = family()
    seen: list[tuple[int, int]] = []
    custom_run(shared(model, clip, **FULL).model, shared(model, clip, **FULL), negative,
               comfy.samplers.ksampler("euler"), lambda i, x0, x, total: seen.append((i, total)))
    assert seen == [(i, 6) for i in range(6)]


def test_one_pass_where_two_would_be_the_same() -> None:
    """Nothing to inject, or no step in the window: the second pass could only repeat the first."""
    model, clip, negative = family()
    narrow = dict(query_blend=0.0, injection_start_percent=0.26, injection_end_percent=0.3)
    for case, forwards in ((dict(injection=0.0), 4), (dict(), 4), (dict(injection_end_percent=0.4), 8)):
        told = shared(model, clip, **(narrow | case))
        with options_seen(model) as seen:
            generated(told, negative)
        assert len(seen) == forwards, case


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
@pytest.mark.parametrize("cfg", [1.0, 5.0])
def test_conditionings_apart_are_conditionings_together(name: str, cfg: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The host splits a call where memory is short; masks come from the noise levels before, so nothing changes."""
    import comfy.samplers

    model, clip, negative = family(name)
    told = shared(model, clip, subjects=f"{SUBJECT}\na", separate_subjects=True, **FULL)
    together = generated(told, negative, cfg=cfg)
    monkeypatch.setattr(comfy.samplers, "can_concat_cond", lambda a, b: a is b)
    with options_seen(model) as seen:
        apart = generated(told, negative, cfg=cfg)
    assert {len(o["cond_or_uncond"]) for o in seen} == {1}
    assert_same(apart, together)


def test_the_negative_shares_its_own_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows are the same pictures: they see the same pixels, in the negative's own rows."""
    from attention_director.bridge.subject import key_sharer

    seen: list[Any] = []
    real = key_sharer.attend_shared

    def listening(call, attend, groups, *rest):
        seen.append((call.rows, groups))
        return real(call, attend, groups, *rest)

    monkeypatch.setattr(key_sharer, "attend_shared", listening)
    model, clip, negative = family()
    generated(shared(model, clip), negative)
    assert seen
    for rows, groups in seen:
        assert [span.tag is None for span in rows] in ([True, False], [False, True])
        assert sorted(row for g in groups for row in g.rows) == list(range(6))
        for group in groups:
            halves = [group.rows[i:i + group.copies] for i in range(0, len(group.rows), group.copies)]
            for span, sources, targets in zip(rows, group.sources, halves, strict=True):
                assert all(span.start <= row < span.start + 2 for row in sources.tolist())
                assert all(span.start <= row < span.stop for row in targets)


def test_the_same_model_without_our_prompt_is_bitwise_the_host() -> None:
    model, clip, negative = family()
    told = shared(model, clip, **FULL)
    other = host_encode(clip, "a green tree")
    assert torch.equal(tiny.sample(told.model, other, negative, batch=2), tiny.sample(model, other, negative, batch=2))
    assert torch.equal(plain(model, told, negative), plain(model, told, negative))


@pytest.mark.parametrize("size", [(12, 20), (24, 8), (9, 15)])
def test_pictures_that_are_not_square(size: tuple[int, int]) -> None:
    for name in ("sd15", "sdxl"):
        model, clip, negative = family(name)
        told = shared(model, clip, size=size, **FULL)
        assert_differs(generated(told, negative), plain(model, told, negative), least=1e-3)


@pytest.mark.parametrize("steps", [1, 2, 8, 25])
def test_windows_are_of_the_timesteps(steps: int) -> None:
    """One step has no step before it to read masks from: bitwise the host's. Others act, however few they are."""
    model, clip, negative = family()
    told = shared(model, clip)
    found, expected = generated(told, negative, steps=steps), plain(model, told, negative, steps=steps)
    assert torch.equal(found, expected) if steps == 1 else not torch.equal(found, expected)


def test_order_of_the_scenes_that_are_no_anchors_does_not_matter() -> None:
    model, clip, negative = family()
    lines = SCENES.splitlines()
    lines.append("a red cat and a blue dog")
    noise = torch.randn(4, 4, 16, 16, generator=torch.Generator().manual_seed(5))

    def run(order: list[int]) -> torch.Tensor:
        told = shared(model, clip, "\n".join(lines[i] for i in order), variety=0.0, **FULL)
        import comfy.sample
        with torch.inference_mode():
            return comfy.sample.sample(told.model, noise[order], 4, 5.0, "euler", "normal", told.positive, negative,
                                       told.latent["samples"], seed=3).clone()

    straight, swapped = run([0, 1, 2, 3]), run([1, 0, 3, 2])
    assert_same(swapped[[1, 0, 3, 2]], straight)
