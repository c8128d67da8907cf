"""SketchGuidance on transformers, in the real engine."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import sketch_scene as s
import tiny_joint
import torch
from families import ENTRIES, encode_by_hand, half_as_much
from network_call import call_of
from scene import assert_differs, frozen, options_seen
from sketch_scene import sample_joint as sample

names = pytest.mark.parametrize("name", tiny_joint.CONFIGS)
two = pytest.mark.parametrize("name", ["flux", "zimage"])
PROMPT = s.PROMPT


def near(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=2e-3)


@names
@pytest.mark.parametrize("cfg", [3.0, 1.0])
def test_it_acts_on_every_family(name: str, cfg: float) -> None:
    model = s.model(name)
    plain, guided = sample(model, name, cfg=cfg), sample(s.sketch(model), name, cfg=cfg)
    assert_differs(guided, plain, least=0.05)
    assert torch.equal(guided, sample(s.sketch(model), name, cfg=cfg)), "queueing twice"
    assert torch.equal(plain, sample(model, name, cfg=cfg)), "the input is untouched"


@names
@pytest.mark.parametrize("off", [{"strength": 0.0}, {"end": 0.0}, {"image": torch.zeros(1, 32, 32, 3)}])
def test_nothing_is_the_very_model(name: str, off: dict) -> None:
    assert s.sketch(s.model(name), **off) is s.model(name)


def by_hand(name: str, pred: Any, drawn: torch.Tensor, beta: float, cfg: float, steps: int) -> torch.Tensor:
    """METHODS.md 5.5 with z = x and DIT.md 4.4, in float64: Euler on the flow, the whole transformer differentiated."""
    import comfy.sample
    from comfy.samplers import KSampler

    model = s.model(name)
    calls = [call_of(ENTRIES[name], model, positive, (8, 8)) for positive in
             (encode_by_hand(PROMPT), ENTRIES[name].plain(""))]
    sampling, mlp = model.model.model_sampling, pred.network().double()
    family, left = calls[0].family, {}
    network = family.network(calls[0].network, (8, 8))
    for layer, block in zip(network.layers, family.recomputed(calls[0].network), strict=True):
        block.register_forward_hook(lambda _m, _a, out, at=(layer.stage, layer.block): left.__setitem__(
            at, out[0].clone() if type(out) is tuple else out[:, 32 if name == "zimage" else 16:].clone()))
    sigmas = KSampler(model, steps, torch.device("cpu"), "euler", "simple").sigmas.double()
    x = comfy.sample.prepare_noise(torch.zeros(1, 16, 8, 8), 3).double() * sigmas[0]

    def denoised(x: torch.Tensor, sigma: torch.Tensor, which: int) -> torch.Tensor:
        call = replace(calls[which], args=(x, sampling.timestep(sigma.float())[None].double()))
        return x - sigma * call(x)

    for sigma, following in zip(sigmas[:-1], sigmas[1:], strict=True):
        with family.differentiable(calls[0].network):
            leaf = x.clone().requires_grad_()
            cond = denoised(leaf, sigma, 0)
            tokens = [left[tap.stage, tap.block][:, :16] for tap in pred.taps.blocks]
            phi = torch.cat([torch.nn.functional.layer_norm(h, h.shape[-1:]) for h in tokens], -1)[0]
            level = torch.stack([sigma, *(torch.sin(2 * math.pi * sigma * 2.0 ** -n) for n in range(10))])
            rows = torch.cat((mlp.project(phi), level.expand(16, -1)), -1)
            for layer, norm in zip(mlp.read.layers, mlp.read.norms, strict=True):
                rows = norm(torch.relu(layer(rows)))
            found = mlp.read.last(rows).reshape(4, 4, 16, 2, 2).permute(2, 0, 3, 1, 4).reshape(1, 16, 8, 8)
            g, = torch.autograd.grad((found - drawn.double()).square().sum(), leaf)
        with torch.no_grad(), family.differentiable(calls[1].network):
            uncond = denoised(x, sigma, 1)
            target = uncond + cfg * (cond.detach() - uncond)
            after = x + (following - sigma) * (x - target) / sigma
            x = after - beta * (x - after).norm() / g.norm() * g
    return model.model.latent_format.process_out(x)


@two
def test_it_is_the_papers_loop_on_the_hosts_sampler(name: str) -> None:
    model = s.model(name)
    pred = s.predictor(model)
    pred.weights["sizes"].fill_(1.0)
    patched = s.sketch(model, pred=pred)
    expected = by_hand(name, pred, s.drawing_of(patched).at((8, 8)).drawn, 1.6, 3.0, 3)
    found = sample(patched, name, steps=3)
    assert float((found - expected).abs().max()) < 2e-3 * float(expected.abs().max())
    assert_differs(found, sample(model, name, steps=3), least=0.05 * float(expected.abs().max()))


@two
def test_the_prediction_comes_nearer_with_strength(name: str) -> None:
    model = s.model(name)
    near = []
    for strength in (0.1, 0.5, 1.0):
        patched = s.sketch(model, strength=strength)
        kept = s.scratch_of_a_run(patched, encode_by_hand(PROMPT), ENTRIES[name].plain(""), steps=6, cfg=1.0,
                                  latent={"samples": torch.zeros(1, 16, 8, 8)}, scheduler="simple")
        predicted, wanted = kept[s.method_of(patched).key, s.SketchRun].last
        near.append(float((predicted - wanted.drawn).square().sum()))
    assert near[0] > near[1] > near[2]


@names
def test_computing_twice_gives_the_same_picture(name: str) -> None:
    model = s.model(name)
    off = sample(s.sketch(model, checkpointing="off"), name)
    near(sample(s.sketch(model, checkpointing="on"), name), off)


def regions(model: Any, share: str = "keep") -> Any:
    from attention_director.bridge.run.install import install
    from attention_director.bridge.text.words import phrase_without_clip
    from attention_director.core.joint_regions import JointRegionAttention, JointRule
    from attention_director.core.schedule import Schedule

    masks = torch.zeros(1, 2, 8, 8, dtype=torch.bool)
    masks[0, 0, :, :4], masks[0, 1, :, 4:] = True, True
    phrases = tuple(phrase_without_clip(text) for text in ("red hat", "dog"))
    return install(model, JointRegionAttention("1/regions", phrases, masks, (1.0, 1.0), JointRule(), Schedule()))


def keyed(text: str = PROMPT) -> list:
    from attention_director.bridge.text.prompt import TAG_KEY

    return [[rows, {TAG_KEY: values[TAG_KEY].with_key("1/regions")}] for rows, values in encode_by_hand(text)]


@names
@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_regions_and_a_sketch_in_either_order(name: str, checkpointing: str) -> None:
    model, positive = s.model(name), keyed()
    both = sample(regions(s.sketch(model, checkpointing=checkpointing)), name, positive=positive)
    near(both, sample(s.sketch(regions(model), checkpointing=checkpointing), name, positive=positive))
    assert_differs(both, sample(regions(model), name, positive=positive), least=0.02)
    assert_differs(both, sample(s.sketch(model), name, positive=positive), least=0.02)


@names
def test_another_packs_attention_composes_in_either_order(name: str) -> None:
    model = s.model(name)
    both = sample(half_as_much(s.sketch(model)), name)
    assert torch.equal(both, sample(s.sketch(half_as_much(model)), name))
    assert_differs(both, sample(half_as_much(model), name), least=0.02)
    assert_differs(both, sample(s.sketch(model), name), least=0.02)


def test_positive_and_negative_are_one_forward_where_the_host_has_them_so() -> None:
    for negative, lists in (("", [2, 2]), ("a tree by the water " * 10, [1, 1, 1, 1])):
        model = s.model("flux")
        with options_seen(model) as seen:
            assert s.gradients_in(s.sketch(model), encode_by_hand(PROMPT), ENTRIES["flux"].plain(negative), steps=2,
                                  latent={"samples": torch.zeros(1, 16, 8, 8)}) == 2
        assert [len(options["cond_or_uncond"]) for options in seen] == lists


@two
def test_prompts_of_unequal_length_in_a_batch(name: str) -> None:
    """Each picture follows its drawing under its own prompt, as alone."""
    model = s.model(name)
    texts = [PROMPT, "a dog " + "tree " * 40]
    together = sample(s.sketch(model), name, text="\n".join(texts), batch=2, cfg=1.0)
    for row, text in enumerate(texts):
        alone = sample(s.sketch(model), name, text=text, batch=2, cfg=1.0)
        near(together[row], alone[row])


@two
@pytest.mark.parametrize("size", [(7, 10), (9, 4)])
def test_sizes_that_the_patches_do_not_divide(name: str, size: tuple[int, int]) -> None:
    model = s.model(name)
    guided = sample(s.sketch(model), name, size=size)
    assert guided.shape[-2:] == size
    assert_differs(guided, sample(model, name, size=size), least=0.05)


def test_with_reference_pictures() -> None:
    model = s.model("flux")
    latents = torch.randn(1, 16, 6, 6, generator=torch.Generator().manual_seed(1))
    positive = [[rows, values | {"reference_latents": [latents]}] for rows, values in encode_by_hand(PROMPT)]
    guided = sample(s.sketch(model), "flux", positive=positive)
    assert_differs(guided, sample(model, "flux", positive=positive), least=0.05)


@names
def test_weights_loaded_in_inference_mode_give_the_same_picture(name: str) -> None:
    with torch.inference_mode():
        served = tiny_joint.model.__wrapped__(name, 0)
        patched = s.sketch(served, pred=s.predictor(s.model(name)))
    assert all(p.is_inference() for p in served.model.diffusion_model.parameters())
    near(sample(patched, name), sample(s.sketch(s.model(name)), name))


@names
@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_an_interrupted_run_leaves_nothing(name: str, checkpointing: str) -> None:
    import comfy.model_management as management

    model = s.model(name)
    network = model.model.diffusion_model
    patched, plain = s.sketch(model, checkpointing=checkpointing), sample(model, name)
    before = frozen(model.model_options), frozen(patched.model_options)

    def stop(_module: Any, _args: Any) -> None:
        if torch.is_grad_enabled():
            assert management.in_training
            raise management.InterruptProcessingException

    hook = next(p for p in network.modules() if isinstance(p, torch.nn.LayerNorm)).register_forward_pre_hook(stop)
    with pytest.raises(management.InterruptProcessingException):
        sample(patched, name)
    hook.remove()
    assert not management.in_training and torch.is_grad_enabled()
    assert not any(m._forward_hooks or m._forward_pre_hooks or "forward" in vars(m) for m in network.modules())
    assert (frozen(model.model_options), frozen(patched.model_options)) == before
    assert torch.equal(sample(model, name), plain)


def test_what_cannot_be_is_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"trained on SD1.5 \(.*\); this model is FluxSchnell \(64-64"):
        s.sketch(s.model("flux"), pred=s.predictor(s.model()))
    with pytest.raises(ValueError, match=r"trained on Flux \(.*\); this model is FluxSchnell"):
        s.sketch(s.model("flux"), pred=s.predictor(s.model("flux-dev")))

    def skipped(args: dict, _extra: dict) -> dict:
        return {"img": args["img"], "txt": args["txt"]}

    other = s.sketch(s.model("flux")).clone()
    other.set_model_patch_replace(skipped, "dit", "double_block", 1)
    with pytest.raises(ValueError, match="SketchGuidance: another node leaves out double 1 of the model"):
        sample(other, "flux")


@two
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_in_half_precision(name: str, dtype: torch.dtype) -> None:
    """The first step goes the way it goes in float32, as nearly as the model itself does."""
    model, half = s.model(name), tiny_joint.model.__wrapped__(name, 0)
    half.model.diffusion_model.to(dtype)
    half.model.diffusion_model.dtype = dtype
    half.model.model_config.set_inference_dtype(dtype, None)

    def change(chosen: Any) -> torch.Tensor:
        moved = sample(s.sketch(chosen, pred=s.predictor(model)), name, steps=1, cfg=1.0)
        return (moved - sample(chosen, name, steps=1, cfg=1.0)).flatten()

    assert float(torch.cosine_similarity(change(half), change(model), dim=0)) > 0.9


@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_a_control_net_adds_to_the_blocks_and_keeps_its_residuals(checkpointing: str) -> None:
    import node_helpers
    from comfy.controlnet import ControlBase

    class Fake(ControlBase):
        def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
            assert not (x_noisy.requires_grad or torch.is_grad_enabled())
            residual = torch.linspace(-2, 2, 64).expand(x_noisy.shape[0], 16, 64)
            return {"input": [residual, residual], "output": [residual] * 3}

    model = s.model("flux")
    positive = node_helpers.conditioning_set_values(
        encode_by_hand(PROMPT), {"control": Fake(), "control_apply_to_uncond": True})
    guided = sample(s.sketch(model, checkpointing=checkpointing), "flux", positive=positive)
    assert_differs(guided, sample(model, "flux", positive=positive), least=0.05)
    assert_differs(guided, sample(s.sketch(model), "flux"), least=0.05)
    near(guided, sample(s.sketch(model), "flux", positive=positive))
