"""One subject in many scenes where text and image share the attention: tiny transformers in the host's sampler."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from families import half_as_much
from joint_stories import MODELS, generated, model_of, plain, sample, told_of
from scene import assert_differs, assert_same, encode, frozen, host_encode, left, region_prompt, regions
from stories import SCENES, SUBJECT
from text_encoders import text_encoder

models = pytest.mark.parametrize("name", MODELS)
# Of a run of few steps in which everything acts.
FULL: dict[str, Any] = dict(injection_start_percent=0.0, injection_end_percent=0.9, variety=0.2)
UNEQUAL = f"a {SUBJECT}\na {SUBJECT} with a long coat and a tall hat in the rain at night\n{SUBJECT}"


@models
@pytest.mark.parametrize("case", [dict(strength=0.0), dict(start_percent=0.2, end_percent=0.2, injection=0.0)])
def test_nothing_is_bitwise_nothing(name: str, case: dict) -> None:
    told = told_of(name, **case)
    assert told.model is model_of(name)
    host = encode(text_encoder(MODELS[name]), SCENES, lines=True)
    assert torch.equal(generated(told, name), sample(model_of(name), host, told.latent, name))


@models
@pytest.mark.parametrize("mode", ["one-pass", "two-pass"])
@pytest.mark.parametrize("cfg", [3.0, 1.0])
def test_something_is_something_and_twice_is_once(name: str, mode: str, cfg: float) -> None:
    before = frozen(model_of(name).model_options)
    told = told_of(name, mode=mode, **FULL)
    found = generated(told, name, cfg=cfg)
    for row, other in zip(found, plain(told, name, cfg=cfg), strict=True):
        assert_differs(row, other, least=1e-3)
    assert torch.equal(found, generated(told_of(name, mode=mode, **FULL), name, cfg=cfg))
    assert before == frozen(model_of(name).model_options)


@pytest.mark.parametrize("part", ["share", "inject", "dropout", "one pass", "strength", "apart"])
def test_every_part_has_a_part_in_it(part: str) -> None:
    changes = {"share": dict(start_percent=0.0, end_percent=0.0), "inject": dict(injection=0.0),
               "dropout": dict(variety=0.9), "one pass": dict(mode="one-pass"), "strength": dict(strength=0.3),
               "apart": dict(separate_subjects=True)}[part]
    subjects = f"{SUBJECT}\na" if part == "apart" else SUBJECT
    whole, less = (told_of("flux-dev", subjects=subjects, **FULL | own) for own in ({}, changes))
    assert_differs(generated(whole, "flux-dev"), generated(less, "flux-dev"), least=1e-4)


def test_the_anchor_alone_is_as_without_the_node() -> None:
    """One anchor looks at nobody; what is changed in the others does not come back to it."""
    told = told_of("flux-dev", anchors=1, **FULL)
    found, before = generated(told, "flux-dev"), plain(told, "flux-dev")
    assert_same(found[:1], before[:1])
    assert_differs(found[1:], before[1:], least=1e-3)


@models
def test_the_negative_apart_or_together_is_the_same(name: str) -> None:
    """A long negative is evaluated by itself: which call a row comes in makes no difference to it."""
    told = told_of(name, **FULL)
    negative = host_encode(text_encoder(MODELS[name]), "a tree by the water " * 110)
    calls: list[int] = []
    hook = model_of(name).model.diffusion_model.register_forward_hook(lambda _m, args, _o: calls.append(len(args[0])))
    try:
        apart = generated(told, name, negative=negative)
        assert set(calls) == {3}
        one = [generated(told, name, negative=negative, cfg=cfg) for cfg in (1.0, 2.0)]
    finally:
        hook.remove()
    torch.testing.assert_close(one[0].shape, apart.shape)
    assert_differs(one[0], one[1], least=1e-3)


@pytest.mark.parametrize("name", ["flux-dev", "lumina", "zimage"])
def test_unequal_prompts_are_as_with_more_of_the_same(name: str) -> None:
    """A scene that is as long as no other, with its anchor: padding it for a longer one changes neither."""
    first, second, _ = UNEQUAL.splitlines()
    longer = f"a {SUBJECT} " + "tree " * 40
    two = told_of(name, f"{first}\n{second}", anchors=1, **FULL)
    three = told_of(name, f"{first}\n{second}\n{longer}", anchors=1, **FULL)
    torch.testing.assert_close(generated(three, name)[:2], generated(two, name), rtol=1e-3, atol=2e-3)
    assert_differs(generated(three, name)[1:2], plain(three, name)[1:2], least=1e-3)


def test_regions_before_or_after_are_the_same() -> None:
    name, clip = "flux-dev", text_encoder("flux")
    rows = encode(clip, SCENES, lines=True)
    parts = regions((SUBJECT, left(12, 16)),)
    first = region_prompt(model_of(name), clip, rows, parts, width=128, height=96)
    told = told_of(name, first.positive, first.model, **FULL)
    after = told_of(name, rows, **FULL)
    second = region_prompt(after.model, clip, after.positive, parts, width=128, height=96)
    found = generated(told, name)
    assert_same(found, sample(second.model, second.positive, told.latent, name))
    assert_differs(found, sample(first.model, first.positive, told.latent, name), least=1e-3)
    assert_differs(found, generated(told_of(name, rows, **FULL), name), least=1e-3)


def test_another_packs_attention_stays_inside() -> None:
    name = "flux-dev"
    told = told_of(name, **FULL)
    inside = told_of(name, model=half_as_much(model_of(name)), **FULL)
    both = generated(told, name, half_as_much(told.model))
    assert torch.equal(generated(inside, name), both)
    assert_differs(both, generated(told, name), least=1e-3)
    assert_differs(both, plain(told, name), least=1e-3)


def test_recording_changes_nothing_and_counts_every_pixel_once(store: Any) -> None:
    from attention_director.nodes.record import AttnDirRecord

    name = "flux-dev"
    for mode in ("two-pass", "one-pass"):
        told = told_of(name, mode=mode, **FULL)
        seen = AttnDirRecord.execute(told.model, told.positive).args[0]
        assert torch.equal(generated(told, name, seen), generated(told, name))
        left_ = {key: value for key, (value,) in list(store)[-1].left.items()}
        assert left_["subject_masks"].shape == (3, 6, 8) and left_["subject_links"].shape == (3, 48)
        assert left_["subject_links_grid"] == (6, 8) and left_["subject_links"].max() < 2 * 48
        heat, = list(store)[-1].heats.values()
        assert (heat.mean > 0).all() and (heat.mean < 1).all()


def test_an_interrupted_run_leaves_everything_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    from attention_director.core import shared_keys
    from comfy.model_management import InterruptProcessingException

    name = "zimage"
    told = told_of(name, UNEQUAL, **FULL)
    before = generated(told, name)
    held = frozen(model_of(name).model_options), frozen(told.model.model_options)
    modules = [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model_of(name).model.modules()]

    def stop(*_: Any) -> None:
        raise InterruptProcessingException

    with monkeypatch.context() as patch:
        patch.setattr(shared_keys, "_longer", stop)
        with pytest.raises(InterruptProcessingException):
            generated(told, name)
    assert held == (frozen(model_of(name).model_options), frozen(told.model.model_options))
    assert modules == [(dict(m._forward_hooks), dict(m._forward_pre_hooks)) for m in model_of(name).model.modules()]
    assert torch.equal(generated(told, name), before)


def test_a_mask_of_another_node_is_refused() -> None:
    from attention_director.bridge.errors import DirectorError

    name = "flux-dev"
    told = told_of(name, **FULL)
    masked = told.model.clone()

    def with_mask(executor: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
        kwargs["attention_mask"] = torch.ones(1, 1, 1, 1)
        return executor(*args, **kwargs)

    masked.add_wrapper_with_key("diffusion_model", "other", with_mask)
    with pytest.raises(DirectorError, match="another node masks the attention"):
        generated(told, name, masked)


@models
def test_query_blending_asks_for_no_forward(name: str) -> None:
    """It has no part in joint layers: as many forwards as without the node."""
    told, calls = told_of(name, mode="one-pass", query_blend_end_percent=0.9, **FULL), [0]
    hook = model_of(name).model.diffusion_model.register_forward_hook(
        lambda *_: calls.__setitem__(0, calls[0] + 1))
    try:
        plain(told, name)
        without, calls[0] = calls[0], 0
        generated(told, name)
    finally:
        hook.remove()
    assert calls[0] == without


def test_layers_of_the_networks() -> None:
    """Flux shares where text and image are mixed, NextDiT everywhere; a bank keeps every second of these layers."""
    from attention_director.bridge.families import family_of

    for name, count in (("flux-dev", 3), ("lumina", 4)):
        model = model_of(name)
        layers = family_of(model, "test", joint=True).network(model.model.diffusion_model, (12, 16)).subject
        assert layers.joint and len(layers.shares) == len(layers.injects) == len(layers.matches) == count
        assert sum(map(layers.banks, layers.shares)) == -(-count // 2)
        assert set(layers.shares.values()) == {(6, 8)} == {layers.map_grid} == {layers.link_grid}
        assert not replace(layers, matches=frozenset()).joint
