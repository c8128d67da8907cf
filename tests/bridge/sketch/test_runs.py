"""SketchGuidance in the real engine: what it computes, what it changes, what it leaves."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import sketch_scene as s
import tiny
import torch
from scene import assert_differs, assert_same, family, host_encode, options_seen

PROMPT = "a red hat and a blue dog"


def scene(name: str = "sd15") -> tuple[Any, list, list]:
    model, clip, negative = family(name)
    return model, host_encode(clip, PROMPT), negative


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl"])
def test_it_acts_on_every_family(name: str) -> None:
    model, positive, negative = scene(name)
    plain = tiny.sample(model, positive, negative)
    guided = tiny.sample(s.sketch(model), positive, negative)
    assert_differs(guided, plain)
    assert torch.equal(guided, tiny.sample(s.sketch(model), positive, negative)), "queueing twice"
    assert torch.equal(plain, tiny.sample(model, positive, negative)), "the input is untouched"


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl"])
def test_the_scene_makes_little_of_a_rounding(name: str) -> None:
    """What the bounds here stand on: 2e-2 where runs are compared, 2e-3 of the largest beside the paper's loop."""
    model, positive, negative = scene(name)
    for steps in (2, 4):
        assert s.moved_by_rounding(lambda steps=steps: tiny.sample(s.sketch(model), positive, negative, steps=steps,
                                                                   batch=2)) < 2e-2


NOTHING = {
    "strength 0": dict(strength=0.0, sketch_in_noise=0.5),
    "window without width": dict(start=0.3, end=0.3),
    "window at the start": dict(start=0.0, end=0.0),
    "blank": dict(image=torch.zeros(1, 32, 32, 3)),
    "blank white": dict(image=torch.ones(1, 32, 32, 3)),
    "blank mask": dict(mask=torch.zeros(1, 8, 8)),
}


@pytest.mark.parametrize("case", NOTHING.values(), ids=NOTHING)
def test_nothing_is_the_very_model(case: dict) -> None:
    assert s.sketch(s.model(), **case) is s.model()


def by_hand(model: Any, positive: list, negative: list, pred: Any, drawn: torch.Tensor, beta: float, stop: float,
            cfg: float = 5.0, steps: int = 4) -> torch.Tensor:
    """METHODS.md 5.5 in float64: DDIM on z, the whole UNet differentiated, the taps joined before the MLP."""
    import comfy.sample
    from comfy.samplers import KSampler

    net = copy.deepcopy(model.model.diffusion_model).double().requires_grad_(False)
    mlp = pred.network().double()
    sampling = model.model.model_sampling
    left: dict[str, torch.Tensor] = {}
    stages = {"input": net.input_blocks, "middle": [[m] for m in net.middle_block], "output": net.output_blocks}
    for t in pred.taps.blocks:
        list(stages[t.stage][t.block])[-1].register_forward_hook(
            lambda _m, _a, out, t=t: left.__setitem__(str(t), out))
    sigmas = KSampler(model, steps, torch.device("cpu"), "euler", "normal").sigmas.double()
    z = comfy.sample.prepare_noise(torch.zeros(1, 4, 16, 16), 3).double()
    context = [c[0][0].double() for c in (positive, negative)]

    def eps(z: torch.Tensor, sigma: torch.Tensor, which: int) -> torch.Tensor:
        return net(z, sampling.timestep(sigma.float())[None].double(), context[which], None, None, {})

    for i, sigma in enumerate(sigmas[:-1]):
        a, b = 1 / (1 + sigma ** 2), 1 / (1 + sigmas[i + 1] ** 2)
        leaf = z.clone().requires_grad_()
        cond = eps(leaf, sigma, 0)
        grid = (16, 16)
        joined = [torch.nn.functional.interpolate(left[str(t)], grid, mode="bilinear") for t in pred.taps.blocks]
        level = (1 - a).sqrt()
        code = torch.stack([level, *(torch.sin(2 * math.pi * level * 2.0 ** -n) for n in range(10))])
        pixels = torch.cat([*joined, code[None, :, None, None].expand(1, -1, *grid)], 1)[0].flatten(1).T
        for layer, norm in zip(mlp.layers, mlp.norms, strict=True):
            pixels = norm(torch.relu(layer(pixels)))
        found = mlp.last(pixels).T.reshape(1, 4, *grid)
        g, = torch.autograd.grad((found - drawn.double()).square().sum(), leaf)
        with torch.no_grad():
            noise = eps(z, sigma, 1)
            noise = noise + cfg * (cond.detach() - noise)
            after = b.sqrt() * (z - (1 - a).sqrt() * noise) / a.sqrt() + (1 - b).sqrt() * noise
            if 1 - float(sampling.timestep(sigma.float())) / 1000 < stop:
                after = after - beta * (z - after).norm() / g.norm() * g
        z = after
    return model.model.latent_format.process_out(z)


@pytest.mark.parametrize("stop", [0.0, 0.5, 1.1])
def test_it_is_the_papers_loop_on_the_hosts_sampler(stop: float) -> None:
    model, positive, negative = scene()
    model.model.diffusion_model.requires_grad_(False)
    pred = s.predictor(model)
    patched = s.sketch(model, pred=pred, end=min(1.0, stop))
    drawn = s.drawing_of(patched).at((16, 16)).drawn if stop else torch.zeros(1, 4, 16, 16)
    expected = by_hand(model, positive, negative, pred, drawn, 1.6, stop)
    found = tiny.sample(patched, positive, negative, sampler="euler")
    assert float((found - expected).abs().max()) < 2e-3 * float(expected.abs().max())
    if stop:
        assert_differs(found, tiny.sample(model, positive, negative), least=0.05 * float(expected.abs().max()))


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m", "uni_pc", "dpmpp_2m_sde", "euler_ancestral", "lcm",
                                     "dpm_adaptive"])
def test_every_kind_of_sampler(sampler: str) -> None:
    """Gently, on a small picture: an adaptive sampler takes a hundred steps where the guidance is strong."""
    model, positive, negative = scene()
    options = dict(sampler=sampler, steps=3, size=(8, 8))
    guided = tiny.sample(s.sketch(model, strength=0.2), positive, negative, **options)
    assert_differs(guided, tiny.sample(model, positive, negative, **options))


def test_a_drawing_an_image() -> None:
    """Picture i follows drawing i; one drawing serves all. Two steps, for batches round otherwise and a random model
    makes much of a rounding."""
    model, positive, negative = scene()
    a, b = s.circle(at=(0.3, 0.3), radius=0.2), s.circle(at=(0.7, 0.6), radius=0.25)
    both = tiny.sample(s.sketch(model, torch.cat([a, b])), positive, negative, batch=4, steps=2)
    only_a = tiny.sample(s.sketch(model, a), positive, negative, batch=4, steps=2)
    only_b = tiny.sample(s.sketch(model, b), positive, negative, batch=4, steps=2)
    for row in range(4):
        right, wrong = (only_a, only_b) if row % 2 == 0 else (only_b, only_a)
        assert_same(both[row], right[row])
        assert_differs(both[row], wrong[row])
    assert_same(only_a[:1], tiny.sample(s.sketch(model, a), positive, negative, steps=2))


@pytest.mark.parametrize("size", [(12, 20), (24, 8), (9, 15)])
def test_pictures_that_are_not_square_and_a_second_pass(size: tuple[int, int]) -> None:
    model, positive, negative = scene()
    patched = s.sketch(model)
    alone = tiny.sample(patched, positive, negative, size=size)
    tiny.sample(patched, positive, negative)
    assert torch.equal(tiny.sample(patched, positive, negative, size=size), alone)
    assert alone.shape[-2:] == size
    assert_differs(alone, tiny.sample(model, positive, negative, size=size))


def test_without_a_negative_pass() -> None:
    model, positive, negative = scene()
    at_one = tiny.sample(s.sketch(model), positive, negative, cfg=1.0)
    assert_differs(at_one, tiny.sample(model, positive, negative, cfg=1.0))


def test_only_steps_of_the_window_are_guided() -> None:
    """Each step is one forward of cond and uncond, guided or not; a run outside the window is bitwise the host's."""
    model, positive, negative = scene()
    for options, guided in (({"end": 1.0}, 8), ({"end": 0.5}, 4), ({"end": 1.0, "every_second_step": True}, 4)):
        with options_seen(model) as seen:
            assert s.gradients_in(s.sketch(model, **options), positive, negative, steps=8) == guided
        assert [len(options["cond_or_uncond"]) for options in seen] == [2] * 8
    latent = {"samples": torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))}
    late = dict(latent=latent, denoise=0.4)
    with options_seen(model) as seen:
        guided = tiny.sample(s.sketch(model, end=0.3), positive, negative, **late)
    assert len(seen) == 4 and torch.equal(guided, tiny.sample(model, positive, negative, **late))


def test_a_mask_leaves_the_rest_to_the_prompt() -> None:
    """One Euler step returns the denoised prediction, which outside the mask is the plain one."""
    model, positive, negative = scene()
    mask = torch.zeros(1, 128, 128)
    mask[..., :64] = 1
    plain = tiny.sample(model, positive, negative, steps=1)
    guided = tiny.sample(s.sketch(model, mask=mask), positive, negative, steps=1)
    assert_same(guided[..., 8:], plain[..., 8:])
    assert_differs(guided[..., :8], plain[..., :8])
    whole = tiny.sample(s.sketch(model, mask=torch.ones(1, 8, 8)), positive, negative, steps=1)
    assert_same(whole, tiny.sample(s.sketch(model), positive, negative, steps=1))


def test_an_inpainting_mask_of_the_host() -> None:
    model, positive, negative = scene()
    free = torch.zeros(1, 1, 16, 16)
    free[..., 8:] = 1
    latent = {"samples": torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1)), "noise_mask": free}
    guided = tiny.sample(s.sketch(model), positive, negative, latent=latent)
    assert_same(guided[..., :8], latent["samples"][..., :8])
    assert_differs(guided, tiny.sample(model, positive, negative, latent=latent))


def test_part_of_the_drawing_in_the_start_noise() -> None:
    model, positive, negative = scene()
    guided = tiny.sample(s.sketch(model), positive, negative)
    leaning = tiny.sample(s.sketch(model, sketch_in_noise=0.3), positive, negative)
    assert_differs(leaning, guided)
    mask = torch.zeros(1, 8, 8)
    mask[..., :4] = 1
    for masked in (None, mask):
        seen = s.start_noise(s.sketch(model, sketch_in_noise=0.3, mask=masked))
        plain = s.start_noise(model)
        changed = (seen != plain).any(1)
        assert bool(changed[..., :8].any()) and bool(changed[..., 9:].any()) == (masked is None)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_computing_twice_gives_the_same_picture(name: str) -> None:
    model, positive, negative = scene(name)
    off = tiny.sample(s.sketch(model, checkpointing="off"), positive, negative, steps=2)
    assert_same(tiny.sample(s.sketch(model, checkpointing="on"), positive, negative, steps=2), off)


def test_more_is_more() -> None:
    """The prediction comes nearer to the drawing with strength: what is guided is what is wanted."""
    model, positive, negative = scene()
    near = []
    for strength in (0.1, 0.5, 1.0):
        patched = s.sketch(model, strength=strength)
        near.append(s.last_loss(patched, positive, negative))
    assert near[0] > near[1] > near[2]
