"""A run that follows an inversion: where it starts, what it holds, with which samplers, and what it refuses."""

from __future__ import annotations

import pytest
import tiny
import torch
from attention_director.bridge.errors import DirectorError
from attention_director.bridge.inversion.inversion import HELD, METHODS
from attention_director.bridge.inversion.replay import InversionReplay, replay
from attention_director.bridge.run.noise_law import noise_law
from attention_director.core.call import Scratch
from attention_director.core.inversion import state_at
from attention_director.core.noise import FLOW
from pictures import CAPTION, inverted, kind_of_model, made_on
from replays import KEY, Seen, near, positive
from scene import assert_differs, family, frozen, host_encode

KINDS = ["sd15", "sd2 v", "sdxl", "sd15 flow"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", METHODS)
def test_each_kind_replays_as_it_reported(kind: str, method: str) -> None:
    model, clip, negative = kind_of_model(kind)
    flow = noise_law(model.get_model_object("model_sampling")) is FLOW
    sentence = {("edit-friendly", True): "sampled as a flow, whose samplers take other steps than",
                ("fireflow", False): "fireflow inversion is for models that are sampled as a flow"}.get((method, flow))
    if sentence:
        with pytest.raises(DirectorError, match=sentence):
            inverted(model, clip, method)
        return
    made = made_on(kind, method)
    inversion = made.inversion
    followed, own = replay(inversion, "Test", KEY, model, 1, negative)
    cfg = 5.0 if method in ("null-text", "edit-friendly") else 1.0
    out = tiny.sample(followed, positive(clip), own, steps=4, cfg=cfg, seed=99)
    assert out.isfinite().all()
    if method in (*HELD, "edit-friendly"):
        assert made.psnr > 90
        near(out, made.samples["samples"])
    again = tiny.sample(followed, positive(clip), own, steps=4, cfg=cfg, seed=5)
    assert torch.equal(out, again)  # any seed
    assert inversion.states.shape == (5, 4, 16, 16) and len(inversion.sigmas) == 5


@pytest.mark.parametrize("kind", [*KINDS, "sd2 zsnr"])
def test_every_sampler_node_starts_at_the_state(kind: str) -> None:
    from comfy.samplers import calculate_sigmas, ksampler
    from comfy_extras.nodes_custom_sampler import SamplerCustom

    from nodes import KSamplerAdvanced

    model, clip, negative = kind_of_model(kind)
    inversion = made_on(kind).inversion
    followed, _ = replay(inversion, "Test", KEY, model, 1, negative)
    latent = {"samples": made_on(kind).samples["samples"].repeat(2, 1, 1, 1)}
    sigmas = calculate_sigmas(model.get_model_object("model_sampling"), "normal", 4)

    def advanced(start: int) -> None:
        KSamplerAdvanced().sample(followed, "enable", 3, 4, 5.0, "euler", "normal", positive(clip), negative, latent,
                                  start, 4, "disable")

    def custom() -> None:
        SamplerCustom.execute(followed, True, 3, 5.0, positive(clip), negative, ksampler("euler"), sigmas, latent)

    runs = [(0, lambda: tiny.sample(followed, positive(clip), negative, latent=latent)), (0, lambda: advanced(0)),
            (2, lambda: advanced(2)), (0, custom)]
    for first, run in runs:
        with Seen(model) as seen, torch.inference_mode():
            run()
        start = inversion.states[first]
        assert float((seen.x[0] - start).abs().max()) < 2e-5 * float(start.abs().max() + latent["samples"].abs().max())


@pytest.mark.parametrize("sampler", ["euler_ancestral", "heun", "dpmpp_2m", "dpmpp_2m_sde", "lcm", "uni_pc", "lms",
                                     "euler_cfg_pp", "ddpm", "sa_solver", "dpm_2"])
def test_direct_comes_back_with_any_sampler(sampler: str) -> None:
    model, clip, negative = family()
    made = made_on("sd15")
    followed, _ = replay(made.inversion, "Test", KEY, model, 1, negative)
    for scheduler, steps in (("normal", 4), ("karras", 6)):
        out = tiny.sample(followed, positive(clip), negative, steps=steps, sampler=sampler, scheduler=scheduler)
        near(out, made.samples["samples"], 5e-2 if sampler == "uni_pc" else 1e-3)


@pytest.mark.parametrize("denoise", [0.3, 0.7])
def test_direct_begins_part_of_the_way_down(denoise: float) -> None:
    model, clip, negative = family()
    made = made_on("sd15")
    followed, _ = replay(made.inversion, "Test", KEY, model, 1, negative)
    with Seen(model) as seen:
        out = tiny.sample(followed, positive(clip), negative, denoise=denoise)
    near(out, made.samples["samples"])
    first = seen.x[0][:1]
    norms = [float((first - state_at(made.inversion.states, made.inversion.sigmas, s)).abs().max())
             for s in torch.linspace(0.03, 14.6, 400).tolist()]
    assert min(norms) < 0.1 * max(norms)


def test_euler_walks_the_states_themselves() -> None:
    model, clip, negative = family()
    inversion = made_on("sd15").inversion
    followed, _ = replay(inversion, "Test", KEY, model, 1, negative)
    with Seen(model) as seen:
        tiny.sample(followed, positive(clip), negative)
    assert len(seen.x) == 4
    for x, state in zip(seen.x, inversion.states, strict=False):
        near(x, state)


@pytest.mark.parametrize("method", ["direct", "edit-friendly"])
def test_only_source_rows_are_held(method: str) -> None:
    """Rows s t s t: the sources come back, the targets go their own way from the same start."""
    model, clip, negative = family()
    made = made_on("sd15", method)
    followed, _ = replay(made.inversion, "Test", KEY, model, 2, negative)
    with Seen(model) as seen:
        out = tiny.sample(followed, positive(clip), negative, batch=4, cfg=3.0)
    near(out[::2], made.samples["samples"])
    assert_differs(out[::2], out[1::2], 0.05)
    near(out[1:2], out[3:4])
    near(seen.x[0][:4], made.inversion.states[:1])
    with pytest.raises(DirectorError, match="3 latents for 2 prompts"):
        tiny.sample(followed, positive(clip), negative, batch=3)


@pytest.mark.parametrize("sampler", ["euler", "ddim", "euler_ancestral", "ddpm"])
def test_edit_friendly_noise_reaches_every_row(sampler: str) -> None:
    """A target row with the caption and the same guidance passes through the stored states, unheld."""
    model, clip, negative = family()
    made = made_on("sd15", "edit-friendly", 4)
    followed, _ = replay(made.inversion, "Test", KEY, model, 2, negative)
    with Seen(model) as seen:
        tiny.sample(followed, positive(clip), negative, batch=2, cfg=5.0, sampler=sampler, seed=1)
    for x, state in zip([x for x in seen.x if x.shape[0] == 4], made.inversion.states, strict=False):
        near(x[1], state, 2e-3)
    other = made_on("sd15", "edit-friendly", 5).inversion
    assert_differs(other.states[:1], made.inversion.states[:1])


def test_negative_prompt_needs_no_guidance_to_be_right() -> None:
    """The caption on both sides: any cfg gives the run without guidance."""
    model, clip, negative = family()
    made = made_on("sd15", "negative-prompt")
    followed, own = replay(made.inversion, "Test", KEY, model, 1, negative)
    assert own is not negative and torch.equal(own[0][0], made.inversion.positive[0][0])
    assert "attention_director" not in own[0][1]
    at = {cfg: tiny.sample(followed, positive(clip), own, cfg=cfg) for cfg in (1.0, 7.0)}
    near(at[7.0], at[1.0], 1e-3)
    assert_differs(at[7.0], tiny.sample(followed, positive(clip), own, cfg=7.0, steps=8), 1e-3)  # other steps are fine
    with pytest.raises(DirectorError, match="brings its own negative; connect this node's negative"):
        tiny.sample(followed, positive(clip), negative)
    assert tiny.sample(followed, positive(clip), negative, cfg=1.0).isfinite().all()


def test_null_text_swaps_the_embedding_of_each_step() -> None:
    model, clip, negative = family()
    inversion = made_on("sd15", "null-text").inversion
    followed, own = replay(inversion, "Test", KEY, model, 2, negative)
    with Seen(model) as seen:
        tiny.sample(followed, positive(clip), own, batch=2)
    assert inversion.embeddings is not None and len(seen.context) == 4
    for context, embedding in zip(seen.context, inversion.embeddings, strict=True):
        rows = [torch.equal(row, embedding) for row in context]
        assert sorted(rows) == [False, False, True, True]  # both images' unconditional rows, no conditional one
    assert_differs(inversion.embeddings[0], inversion.unconditional[0][0][0], 1e-3)


@pytest.mark.parametrize("method,options,sentence", [
    ("ddim", {"sampler": "euler_ancestral"}, "ddim inversion does not hold with the sampler euler_ancestral; use"),
    ("negative-prompt", {"sampler": "ipndm"}, "does not hold with the sampler ipndm"),
    ("null-text", {"sampler": "heun"}, "use euler or ddim, or invert with method direct"),
    ("edit-friendly", {"sampler": "dpmpp_2m"}, "use euler, ddim, euler_ancestral or ddpm"),
    ("null-text", {"steps": 5}, "holds for its own 4 steps of normal only"),
    ("edit-friendly", {"scheduler": "karras"}, "connect the inversion's steps and scheduler"),
    ("edit-friendly", {"denoise": 0.5}, "with denoise 1"),
    ("null-text", {"cfg": 8.0}, "made for cfg 5, the run has 8"),
    ("direct", {"size": (16, 24)}, "is 16 x 16 in latents, the run's 24 x 16"),
])
def test_runs_that_do_not_hold_are_refused_before_the_first_step(method: str, options: dict, sentence: str) -> None:
    model, clip, negative = family()
    followed, own = replay(made_on("sd15", method).inversion, "AttentionEdit", KEY, model, 1, negative)
    with Seen(model) as seen, pytest.raises(DirectorError, match=sentence) as error:
        tiny.sample(followed, positive(clip), own, **{"steps": 4, "cfg": 5.0} | options)
    assert not seen.x and str(error.value).startswith("AttentionEdit: ") and str(error.value).count(". ") == 0


def test_an_inversion_of_another_model_is_refused_in_the_node() -> None:
    model, clip, negative = family()
    inversion = made_on("sd15").inversion
    with pytest.raises(DirectorError, match=r"was made with model \w{6} \(SD1.5\); this is \w{6} \(SDXL\). Make it"):
        replay(inversion, "AttentionEdit", KEY, tiny.model("sdxl"), 1, negative)
    replay(inversion, "AttentionEdit", KEY, model.clone(), 1, negative)


def test_a_positive_of_another_node_makes_it_an_ordinary_run() -> None:
    model, clip, negative = family()
    for method in ("direct", "edit-friendly"):
        followed, _ = replay(made_on("sd15", method).inversion, "Test", KEY, model, 1, negative)
        other = host_encode(clip, CAPTION)
        for options in ({}, {"sampler": "dpmpp_2m_sde", "size": (8, 24)}):
            assert torch.equal(tiny.sample(followed, other, negative, **options),
                               tiny.sample(model, other, negative, **options))


def test_a_run_that_goes_on_keeps_what_it_was_given() -> None:
    """Two advanced samplers, one after the other, draw what one draws: the second does not start again."""
    from nodes import KSamplerAdvanced

    model, clip, negative = family()
    followed, _ = replay(made_on("sd15").inversion, "Test", KEY, model, 2, negative)
    latent = {"samples": torch.zeros(2, 4, 16, 16)}

    def run(noise: str, given: dict, start: int, stop: int, left: str) -> dict:
        return KSamplerAdvanced().sample(followed, noise, 3, 4, 5.0, "euler", "normal", positive(clip), negative,
                                         given, start, stop, left)[0]

    with torch.inference_mode():
        whole = run("enable", latent, 0, 4, "disable")["samples"]
        half = run("enable", latent, 0, 2, "enable")
        near(run("disable", half, 2, 4, "disable")["samples"], whole, 2e-3)


def test_inputs_are_left_alone_and_twice_is_once() -> None:
    model, clip, negative = family()
    inversion = made_on("sd15").inversion
    before = [frozen(v) for v in (model.model_options, negative, inversion.states, inversion.positive)]
    followed, _ = replay(inversion, "Test", KEY, model, 1, negative)
    inside = frozen(followed.model_options)
    first = tiny.sample(followed, positive(clip), negative)
    assert torch.equal(first, tiny.sample(followed, positive(clip), negative))
    assert before == [frozen(v) for v in (model.model_options, negative, inversion.states, inversion.positive)]
    assert inside == frozen(followed.model_options)


def test_a_mask_limits_the_run_as_ever() -> None:
    model, clip, negative = family()
    made = made_on("sd15")
    followed, _ = replay(made.inversion, "Test", KEY, model, 2, negative)
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 8:] = 1
    latent = {"samples": made.samples["samples"].repeat(2, 1, 1, 1), "noise_mask": mask}
    out = tiny.sample(followed, positive(clip), negative, latent=latent)
    near(out[:1], made.samples["samples"])
    near(out[1:, ..., :8], made.samples["samples"][..., :8])
    assert_differs(out[1:, ..., 8:], out[:1, ..., 8:], 0.05)


def test_it_says_what_it_did() -> None:
    model, clip, _ = family()
    inversion = made_on("sd15").inversion
    assert InversionReplay(KEY, "Test", inversion, inversion.digest()).sum_up(Scratch()) == "direct inversion"
