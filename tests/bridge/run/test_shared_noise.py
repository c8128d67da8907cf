"""Rows of a group share start noise and step noise; row 0 is the ordinary run of the seed."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from edit_scene import SOURCE, SWAP, attention_edit, refused, run
from scene import assert_differs, assert_same, encode, family, host_encode

NOISY = ["euler_ancestral", "dpm_2_ancestral", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m_sde", "dpmpp_2m_sde_gpu",
         "dpmpp_2m_sde_heun", "dpmpp_3m_sde", "lcm", "ddpm", "er_sde", "seeds_2", "sa_solver",
         "res_multistep_ancestral", "euler_ancestral_cfg_pp"]
SCHEDULE = torch.tensor([8.0, 3.0, 1.0, 0.3, 0.0])


def replaced(sampler: Any, prompts: int, noise: torch.Tensor) -> Any:
    from attention_director.bridge.run.hooks import RunArguments
    from attention_director.bridge.run.shared_noise import share_noise

    arguments = RunArguments(noise, torch.zeros_like(noise), sampler, SCHEDULE, 5)
    return share_noise("AttentionEdit", prompts, arguments)


class Guider:
    """As much of a guider as a sampler looks at; the model predicts half of x."""

    cfg = 1.0

    def __init__(self, patcher: Any) -> None:
        self.model_patcher, self.inner_model = patcher, patcher.model

    def __call__(self, x: torch.Tensor, sigma: torch.Tensor, model_options: Any = None, seed: Any = None):
        for patch in (model_options or {}).get("sampler_post_cfg_function", ()):
            patch({"uncond_denoised": x * 0.4, "denoised": x * 0.5})
        return x * 0.5


def sampled(sampler: Any, noise: torch.Tensor, seed: int = 5) -> torch.Tensor:
    options = {"seed": seed, "model_options": {}}
    return sampler.sample(Guider(tiny.model()), SCHEDULE, options, None, noise, torch.zeros_like(noise))


@pytest.mark.parametrize("name", NOISY)
def test_rows_share_noise_and_the_first_draws_as_a_batch_of_one(name: str) -> None:
    """On a model that treats rows alike, two prompts a group, three groups."""
    from comfy.samplers import sampler_object

    noise = torch.randn(6, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    sampler = sampler_object(name)
    arguments = replaced(sampler, 2, noise)
    assert torch.equal(arguments.noise, noise[[0, 0, 2, 2, 4, 4]])
    rows = sampled(arguments.sampler, arguments.noise)
    for first in (0, 2, 4):
        assert torch.equal(rows[first], rows[first + 1])
    torch.testing.assert_close(rows[:1], sampled(sampler, noise[:1]))
    torch.testing.assert_close(rows[2:3], sampled(sampler, noise[2:3], seed=6), msg="group g draws with seed + g")
    assert_differs(rows[2], sampled(sampler, noise[2:3])[0], 0.01)
    assert not torch.equal(sampled(sampler, arguments.noise)[0], sampled(sampler, arguments.noise)[1])


@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp_2m", "uni_pc", "lms", "dpm_fast", "ipndm", "deis",
                                  "gradient_estimation"])
def test_samplers_without_noise_are_left_as_they_are(name: str) -> None:
    from comfy.samplers import sampler_object

    sampler = sampler_object(name)
    assert replaced(sampler, 2, torch.zeros(2, 4, 8, 8)).sampler is sampler


def test_nothing_is_changed_for_one_prompt_or_a_wrong_batch() -> None:
    from comfy.samplers import sampler_object

    sampler, noise = sampler_object("euler_ancestral"), torch.randn(3, 4, 8, 8)
    for prompts in (1, 2):
        arguments = replaced(sampler, prompts, noise)
        assert arguments.sampler is sampler and arguments.noise is noise


def test_options_of_the_sampler_stay() -> None:
    """Its own objects are not touched, and a noise sampler that it was given is spread over the rows."""
    from comfy.samplers import ksampler

    given: list[int] = []

    def noise_sampler(_sigma: Any, _next: Any) -> torch.Tensor:
        given.append(1)
        return torch.full((1, 4, 8, 8), 2.0)

    options = {"eta": 0.5, "noise_sampler": noise_sampler}
    sampler = ksampler("euler_ancestral", options)
    new = replaced(sampler, 2, torch.zeros(4, 4, 8, 8)).sampler
    assert new is not sampler and sampler.extra_options is options and options["noise_sampler"] is noise_sampler
    rows = sampled(new, torch.zeros(4, 4, 8, 8))
    assert len(given) == 3 and all(torch.equal(row, rows[0]) for row in rows) and rows.abs().max() > 0.1
    assert new.sampler_function.__name__ == "sample_euler_ancestral"


@pytest.mark.parametrize("sampler", ["euler_ancestral", "dpmpp_2m_sde", "dpmpp_sde", "uni_pc", "lcm", "dpm_adaptive"])
def test_row_0_is_the_ordinary_run(sampler: str) -> None:
    model, clip, _ = family()
    graph = attention_edit(model, clip)
    options = dict(sampler=sampler, steps=4)
    alone = tiny.sample(model, host_encode(clip, SOURCE), graph.negative, **options)
    rows = run(graph, **options)
    if sampler == "dpm_adaptive":  # its step size looks at the whole batch
        torch.testing.assert_close(rows[:1], alone, rtol=0, atol=2.0)
    else:
        assert_same(rows[:1], alone)
    assert_differs(rows[1], rows[0])


def test_a_noise_mask_with_a_sampler_that_draws_its_own_noise_for_it() -> None:
    """ddim fills the masked part with noise of its own; that is shared as well."""
    model, clip, _ = family()
    latent = {"samples": torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(2)),
              "noise_mask": (torch.arange(16) < 8).float().expand(1, 16, 16)}
    same = attention_edit(model, clip, encode(clip, f"{SOURCE}\n{SOURCE}", lines=True), "", latent=latent,
                          reweight="cat: 1.0001")
    rows = run(same, sampler="ddim", steps=3)
    torch.testing.assert_close(rows[1], rows[0], rtol=0, atol=0.5)
    alone = tiny.sample(model, host_encode(clip, SOURCE), same.negative, sampler="ddim", steps=3, latent=latent)
    assert_same(rows[:1], alone)


def custom_run(graph: Any, sampler: Any) -> torch.Tensor:
    import comfy.sample

    latent = graph.latent["samples"]
    with torch.inference_mode():
        return comfy.sample.sample_custom(graph.model, torch.randn_like(latent), 5.0, sampler, SCHEDULE, graph.positive,
                                          graph.negative, latent, seed=5)


def test_noise_that_cannot_be_shared_is_refused() -> None:
    from comfy.samplers import KSAMPLER, Sampler, ksampler

    model, clip, _ = family()
    graph = attention_edit(model, clip)
    with refused("AttentionEdit: s_churn is 1.5, which adds noise that cannot be shared between source and targets; "
                 "set it to 0.", model):
        custom_run(graph, ksampler("euler", {"s_churn": 1.5}))

    class TheirSampler(Sampler):
        pass

    def their_function(model: Any, x: torch.Tensor, sigmas: torch.Tensor, **_options: Any) -> torch.Tensor:
        return x

    for sampler, name in ((TheirSampler(), "TheirSampler"), (KSAMPLER(their_function), "their_function")):
        with refused(f"AttentionEdit: this sampler ({name}) adds noise that cannot be shared between source and "
                     "targets; use one of ComfyUI's, such as euler or dpmpp_2m_sde.", model):
            custom_run(graph, sampler)
    plain = graph._replace(positive=encode(clip, f"{SOURCE}\n{SWAP}", lines=True))
    assert custom_run(plain, ksampler("euler", {"s_churn": 1.5})).isfinite().all(), "not its prompt"
