"""Records in their store: each result finds its own run, and nothing else is ever found."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from recording import heat_of, recorded
from scene import PROMPT, encode, family

pytestmark = pytest.mark.usefixtures("store")


def test_two_samplers_on_one_model_and_a_sampler_served_from_the_cache(store: Any) -> None:
    """Each latent finds its own run, later too, and with the model's nodes run again."""
    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    seen = recorded(model, positive)
    base = tiny.sample(seen, positive, negative)
    hires = tiny.sample(seen, positive, negative, latent={"samples": base.repeat_interleave(2, -1)}, denoise=0.5)
    other = tiny.sample(seen, positive, negative, seed=4)
    assert heat_of(seen, hires).mean.shape[-1] == 32 and len(store) == 3
    rebuilt = recorded(model, encode(clip, PROMPT))
    assert rebuilt is not seen
    assert torch.equal(heat_of(rebuilt, base).mean, heat_of(seen, base).mean)
    assert not torch.equal(heat_of(seen, base).mean, heat_of(seen, other).mean)


def test_two_branches_that_draw_the_same_picture_keep_their_own_maps() -> None:
    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    hat, dog = recorded(model, positive, "red hat"), recorded(model, positive, "blue dog")
    samples = tiny.sample(hat, positive, negative)
    assert torch.equal(samples, tiny.sample(dog, positive, negative))
    assert heat_of(hat, samples).phrases[0].text == "red hat" and heat_of(dog, samples).phrases[0].text == "blue dog"


NO_RECORD = ("AttnDirReadout: the record of this run is gone; change the seed, and wire the sampler's own latent here, "
             "unedited and not denoised_output.")


def assert_lost(model: Any, samples: Any) -> None:
    with pytest.raises(ValueError) as caught:
        heat_of(model, samples)
    assert str(caught.value) == NO_RECORD


def test_only_the_last_eight_runs_are_left(store: Any) -> None:
    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    seen = recorded(model, positive)
    runs = [tiny.sample(seen, positive, negative, seed=seed, steps=1) for seed in range(9)]
    assert_lost(seen, runs[0])
    for samples in runs[1:]:
        heat_of(seen, samples)
    assert len(store) == 8 and store.nbytes == 8 * heat_of(seen, runs[1]).nbytes


def test_an_interrupted_run_leaves_nothing(store: Any) -> None:
    import comfy.model_management as management

    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    seen = recorded(model, positive)
    hook = model.model.diffusion_model.register_forward_hook(
        lambda *_: management.interrupt_current_processing())
    try:
        with pytest.raises(management.InterruptProcessingException):
            tiny.sample(seen, positive, negative)
    finally:
        hook.remove()
        management.interrupt_current_processing(False)
    assert len(store) == 0
    samples = tiny.sample(seen, positive, negative)
    assert len(store) == 1 and heat_of(seen, samples).seen == (1, 2, 3, 4)


def test_custom_samplers_and_half_precision_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    import comfy.model_management as management
    from comfy_extras import nodes_custom_sampler as custom

    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    seen = recorded(model, positive)
    guider = custom.CFGGuider.execute(seen, positive, negative, 5.0).args[0]
    sigmas = custom.BasicScheduler.execute(seen, "normal", 3, 1.0).args[0]
    noise = custom.RandomNoise.execute(3).args[0]
    sampler = custom.KSamplerSelect.execute("euler").args[0]

    def advanced() -> tuple[torch.Tensor, torch.Tensor]:
        with torch.inference_mode():
            out = custom.SamplerCustomAdvanced.execute(noise, guider, sampler, sigmas,
                                                       {"samples": torch.zeros(1, 4, 16, 16)}).args
        return out[0]["samples"].clone(), out[1]["samples"].clone()

    output, denoised = advanced()
    heat_of(seen, output)
    assert_lost(seen, output + 1e-6)
    if not torch.equal(output, denoised):
        assert_lost(seen, denoised)
    monkeypatch.setattr(management, "intermediate_dtype", lambda: torch.float16)
    halved = tiny.sample(seen, positive, negative)
    assert halved.dtype == torch.float16
    heat_of(seen, halved)
    heat_of(seen, advanced()[0])
