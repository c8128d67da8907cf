"""Beside control nets, regions, other packs' patches, caches; and what is refused before step one."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from scene import assert_differs, assert_same, encode, family, left, region_prompt, regions
from stories import SCENES, SUBJECT, shared

FULL: dict[str, Any] = dict(injection_start_percent=0.0, injection_end_percent=0.9, query_blend_end_percent=0.9)


def generated(told: Any, negative: list, positive: list | None = None, model: Any = None,
              **options: Any) -> torch.Tensor:
    return tiny.sample(model or told.model, positive or told.positive, negative, latent=told.latent, **options)


def residual(x: torch.Tensor) -> torch.Tensor:
    return torch.linspace(-3, 3, 64)[None, :, None, None].repeat(x.shape[0], 1, 2, 2)


def control_net() -> Any:
    """A control net reduced to what it leaves after the middle block; a forward takes it out of the list."""
    from comfy.controlnet import ControlBase

    class Fake(ControlBase):
        def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
            return {"input": [], "middle": [residual(x_noisy)], "output": []}

    return Fake()


def test_the_forward_for_plain_queries_has_its_own_control() -> None:
    """With a control net every forward must be controlled; here the same residual, put there by hand."""
    import node_helpers

    model, clip, negative = family()
    told = shared(model, clip, **FULL)
    control = {"control": control_net(), "control_apply_to_uncond": False}
    both = [node_helpers.conditioning_set_values(c, control) for c in (told.positive, negative)]
    found = tiny.sample(told.model, *both, latent=told.latent)
    hook = model.model.diffusion_model.middle_block[-1].register_forward_hook(
        lambda _module, _inputs, out: out + residual(out))
    try:
        assert_same(found, generated(told, negative))
    finally:
        hook.remove()
    assert_differs(found, generated(told, negative))


def test_regions_before_or_after_are_the_same() -> None:
    """RegionPrompt's biases go along with the shared keys, whichever node came first."""
    model, clip, negative = family()
    rows = encode(clip, SCENES, lines=True)
    parts = regions(("red cat", left()),)
    first = region_prompt(model, clip, rows, parts)
    told = shared(first.model, clip, first.positive, **FULL)
    after = shared(model, clip, rows, **FULL)
    second = region_prompt(after.model, clip, after.positive, parts)
    found = generated(told, negative)
    assert_same(found, tiny.sample(second.model, second.positive, negative, latent=told.latent))
    assert_differs(found, generated(told, negative, first.positive, first.model), least=0.02)
    assert_differs(found, generated(shared(model, clip, rows, **FULL), negative), least=0.02)


def test_another_packs_self_attention_is_added_as_a_residual() -> None:
    """A patch that adds to the attention: with shared keys, and with some of the rows, what it adds stays."""
    def adds(q, k, v, extra_options):
        from comfy.ldm.modules.attention import optimized_attention

        return optimized_attention(q, k, v, extra_options["n_heads"]) + 0.5

    model, clip, negative = family()
    told = shared(model, clip, **FULL)
    both = told.model.clone()
    alone = model.clone()
    for patcher in (both, alone):
        for block in (3, 4, 5, 8):
            patcher.set_model_attn1_replace(adds, "output", block)
    found = generated(told, negative, model=both)
    assert_differs(found, generated(told, negative), least=0.02)
    assert_differs(found, generated(told, negative, model=alone), least=0.02)


def refused(told: Any, negative: list, model: Any, sentence: str, latent: dict | None = None) -> None:
    steps: list[int] = []
    hook = model.model.diffusion_model.register_forward_pre_hook(lambda *_: steps.append(1))
    try:
        with pytest.raises(ValueError, match=f"SharedSubjectAttention: .*{sentence}"):
            tiny.sample(model, told.positive, negative, latent=latent or told.latent)
    finally:
        hook.remove()
    assert not steps


def test_what_hides_steps_or_pictures_is_refused() -> None:
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode
    from comfy_extras.nodes_easycache import EasyCacheNode

    model, clip, negative = family()
    told = shared(model, clip)
    cached = EasyCacheNode.execute(told.model, 0.2, 0.0, 1.0, False).args[0]
    refused(told, negative, cached, "EasyCache or LazyCache skips steps; bypass the cache")
    spread = told.model.clone()
    spread.model_options["multigpu_clones"] = {torch.device("cpu"): spread}
    refused(told, negative, spread, "works on one GPU only")
    six = {"samples": told.latent["samples"].repeat(2, 1, 1, 1)}
    refused(told, negative, told.model, "6 latents for 3 scenes; connect this node's latent output", six)
    windows = ContextWindowsManualNode.execute(told.model, 2, 0, "standard_static", 1, False, "flat", 0, False).args[0]
    refused(told, negative, windows, "a context window over the batch splits its prompts")


SLIPS: dict[str, tuple[dict, str]] = {
    "absent": (dict(text="a red cat\na blue dog"), 'scene 2 "a blue dog" lacks the subject "red cat"'),
    "one scene": (dict(text="a red cat"), "a single scene has no other to share its subject with; write a second line"),
    "anchors": (dict(anchors=4), "4 anchors for 3 scenes; use 3 or fewer"),
    "no scene": (dict(text=" \n"), "there is no scene; write one scene per line"),
    "no subject": (dict(subjects=" \n"), "subjects is empty; write the words"),
    "empty subject": (dict(subjects="()"), "contains no word"),
    "latents": (dict(latent={"samples": torch.zeros(2, 4, 16, 16)}), "give one, or one per scene"),
    "strength": (dict(strength=float("nan")), "strength is nan; give a number from 0 to 2"),
    "window": (dict(start_percent=0.6, end_percent=0.5), "start_percent 0.6 lies after end_percent 0.5"),
    "linked": (dict(injection_end_percent=1.5), "injection_end_percent is 1.5; give a number from 0 to 1"),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_slips_are_told_in_the_node(slip: str) -> None:
    model, clip, _ = family()
    inputs, sentence = SLIPS[slip]
    with pytest.raises(ValueError) as caught:
        shared(model, clip, **({"text": SCENES, "subjects": SUBJECT} | inputs))
    assert str(caught.value).startswith("SharedSubjectAttention: ") and sentence in str(caught.value)


def test_two_nodes_on_one_model_are_refused() -> None:
    model, clip, _ = family()
    told = shared(model, clip)
    with pytest.raises(ValueError, match="the model already shares subjects; .* one per line"):
        shared(told.model, clip, told.positive)
    with pytest.raises(ValueError, match="prefix and suffix apply only to typed scenes"):
        shared(model, clip, told.positive, prefix="a drawing of")


def test_prefix_and_suffix_go_round_every_scene() -> None:
    model, clip, _ = family()
    told = shared(model, clip, "in the rain\n\n on the grass", prefix="a red cat", suffix=", oil on canvas")
    rows = told.positive[0][1]["attention_director"].rows
    assert rows[0].text == "a red cat in the rain, oil on canvas"
    assert rows[1].text == "a red cat on the grass, oil on canvas"
    assert told.latent["samples"].shape[0] == 2


def test_an_empty_mask_falls_back_and_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps of one value: nobody knows where the subject is, so nothing is shared, and the line says so."""
    from attention_director.bridge.run import status
    from attention_director.bridge.subject import map_reader

    lines: list[str] = []
    monkeypatch.setattr(status, "send_status", lambda key, label, line, warns=False: lines.append(line))
    real = map_reader.pixel_maps
    model, clip, negative = family()
    told = shared(model, clip, injection=0.0)
    plain = generated(told, negative, model=model)
    assert not torch.equal(generated(told, negative), plain) and "shared" not in lines[-1]
    monkeypatch.setattr(map_reader, "pixel_maps", lambda *args: torch.ones_like(real(*args)))
    assert torch.equal(generated(told, negative), plain)
    assert "3 scenes, 2 anchors; in 9 of 9 picture steps nothing was shared, because the subject was not" in lines[-1]


def test_records_of_a_run(store: Any) -> None:
    """Of two passes, and of one by itself."""
    from attention_director.nodes.record import AttnDirRecord

    model, clip, negative = family()
    for mode in ("two-pass", "one-pass"):
        told = shared(model, clip, mode=mode, **FULL)
        recorded = AttnDirRecord.execute(told.model, told.positive).args[0]
        assert torch.equal(generated(told, negative, model=recorded), generated(told, negative))
        found = {name: value for name, (value,) in list(store)[-1].left.items()}
        assert found["subject_masks"].shape == (3, 16, 16) and found["subject_masks"].dtype == torch.bool
        assert found["subject_masks_by_step"].shape == (3, 3, 16, 16), "the first step has no masks yet"
        assert found["subject_links"].shape == found["subject_links_open"].shape == (3, 256)
        assert found["subject_links_grid"] == (16, 16) and found["subject_links"].max() < 2 * 256
