"""Shared Subject on weights that others change: LoRAs on the model, and by conditioning hooks with keyframes."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from scene import assert_differs, assert_same, family, options_seen
from stories import shared

FULL: dict[str, Any] = dict(injection_start_percent=0.0, injection_end_percent=0.9, query_blend_end_percent=0.9)
# Two passes, and every hook, for nothing; test_shared_subject.py says what their equality takes.
NEUTRAL: dict[str, Any] = dict(start_percent=0.0, end_percent=0.0, injection=1e-40, injection_start_percent=0.0,
                               injection_end_percent=1.0)
Keyframes = tuple[tuple[float, float], ...]  # (from this percent on, strength)
LATE: Keyframes = ((0.0, 0.0), (0.5, 1.0))


def lora(model: Any) -> dict[str, torch.Tensor]:
    """A LoRA file's content: rank 2 on every self-attention of the decoder."""
    generator = torch.Generator().manual_seed(6)
    made = {}
    for key, weight in model.model.state_dict().items():
        if key.startswith("diffusion_model.output_blocks") and key.endswith(("attn1.to_q.weight", "attn1.to_v.weight")):
            stem = key.removesuffix(".weight")
            made[f"{stem}.lora_up.weight"] = torch.randn(weight.shape[0], 2, generator=generator) * 0.5
            made[f"{stem}.lora_down.weight"] = torch.randn(2, weight.shape[1], generator=generator) * 0.5
    assert made
    return made


def with_lora(model: Any, clip: Any, strength: float = 1.0) -> Any:
    import comfy.sd

    return comfy.sd.load_lora_for_models(model, clip, lora(model), strength, 0.0)[0]


def hooked(model: Any, positive: list, keyframes: Keyframes = ((0.0, 1.0),)) -> list:
    """The same LoRA by a hook on the prompt, as Create Hook LoRA, Create Hook Keyframe and Cond Set give it."""
    import comfy.hooks

    group = comfy.hooks.create_hook_lora(lora=lora(model), strength_model=1.0, strength_clip=0.0)
    frames = comfy.hooks.HookKeyframeGroup()
    for start, strength in keyframes:
        frames.add(comfy.hooks.HookKeyframe(strength=strength, start_percent=start))
    group.set_keyframes_on_hooks(frames)
    return comfy.hooks.set_hooks_for_conditioning(positive, group)


def generated(model: Any, told: Any, negative: list, positive: list | None = None, **options: Any) -> torch.Tensor:
    return tiny.sample(model, positive or told.positive, negative, latent=told.latent, **options)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_a_lora_before_or_after_the_node(name: str) -> None:
    model, clip, negative = family(name)
    styled = with_lora(model, clip)
    before = shared(styled, clip, **FULL)
    found = generated(before.model, before, negative)
    told = shared(model, clip, **FULL)
    assert torch.equal(found, generated(with_lora(told.model, clip), told, negative))
    for other in (generated(styled, told, negative), generated(told.model, told, negative)):
        for row in range(3):
            assert_differs(found[row], other[row], least=0.02)


def test_strength_zero_leaves_a_lora_alone_and_the_weights_come_back() -> None:
    model, clip, negative = family()
    told = shared(model, clip, **FULL)
    plain = generated(told.model, told, negative)
    styled = with_lora(model, clip)
    assert shared(styled, clip, strength=0.0).model is styled
    silent = with_lora(told.model, clip, 0.0)
    assert torch.equal(generated(silent, told, negative), plain)
    generated(with_lora(told.model, clip), told, negative)
    assert torch.equal(generated(told.model, told, negative), plain)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
@pytest.mark.parametrize("keyframes", [LATE, ((0.0, 1.0), (0.3, 0.2), (0.7, 0.9)), ((0.0, 1.0),)])
def test_two_neutral_passes_with_keyframes_are_bitwise_one_run(name: str, keyframes: Keyframes) -> None:
    """Keyframes only move forward in a run; the second pass has to begin at the first of them again."""
    model, clip, negative = family(name)
    told = shared(model, clip, **NEUTRAL)
    positive = hooked(model, told.positive, keyframes)
    with options_seen(model) as seen:
        found = generated(told.model, told, negative, positive)
        calls = len(seen)
        expected = generated(model, told, negative, positive)
    assert torch.equal(found, expected)
    assert calls == 2 * (len(seen) - calls), "it was two passes"
    assert_differs(expected, generated(model, told, negative), least=0.02)


def test_sharing_with_a_hooked_lora_follows_its_keyframes() -> None:
    model, clip, negative = family()
    told = shared(model, clip, **FULL)

    def run(*keyframes: tuple[float, float]) -> torch.Tensor:
        return generated(told.model, told, negative, hooked(model, told.positive, keyframes))

    late, always = run(*LATE), run((0.0, 1.0))
    plain = generated(told.model, told, negative)
    assert_same(run((0.0, 0.0)), plain)
    for other in (always, plain, generated(model, told, negative, hooked(model, told.positive, LATE))):
        assert_differs(late, other, least=0.02)
    assert torch.equal(late, run(*LATE)), "queued twice"
    assert torch.equal(plain, generated(told.model, told, negative)), "the hook's weights are gone again"


def test_a_lora_for_both_prompts_by_hooks_is_the_lora_on_the_model() -> None:
    """The host's own equality, with subjects shared: hooks split the call, masks and keys must not notice."""
    model, clip, negative = family()
    told = shared(model, clip, **FULL)
    found = tiny.sample(told.model, hooked(model, told.positive), hooked(model, negative), latent=told.latent)
    assert_same(found, generated(with_lora(told.model, clip), told, negative))
