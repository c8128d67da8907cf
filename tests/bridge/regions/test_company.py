"""Beside the host's own nodes: guiders, control nets, compilers, caches, windows, other conditioning."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from scene import (
    PROMPT,
    assert_differs,
    assert_same,
    custom,
    dispatched,
    encode,
    family,
    host_encode,
    left,
    options_seen,
    region_prompt,
    regions,
    right,
)


def guided(guider: Any, steps: int = 3, seed: int = 3) -> torch.Tensor:
    """One run of a custom guider."""
    import comfy.sample
    import comfy.samplers

    latent = torch.zeros(1, 4, 16, 16)
    sigmas = comfy.samplers.calculate_sigmas(guider.model_patcher.get_model_object("model_sampling"), "normal", steps)
    with torch.inference_mode():
        return guider.sample(comfy.sample.prepare_noise(latent, seed), latent, comfy.samplers.sampler_object("euler"),
                             sigmas, seed=seed).clone()


class Residual:
    """A control net reduced to what it leaves: a residual after the middle block."""

    def __new__(cls) -> Any:
        from comfy.controlnet import ControlBase

        class Fake(ControlBase):
            def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
                return {"input": [], "middle": [self.residual(x_noisy)], "output": []}

            @staticmethod
            def residual(x: torch.Tensor) -> torch.Tensor:
                return torch.linspace(-3, 3, 64)[None, :, None, None].repeat(x.shape[0], 1, 2, 2)

        return Fake()


def test_a_control_net_adds_its_residuals() -> None:
    import node_helpers

    model, clip, negative = family()
    graph = region_prompt(model, clip)
    control = {"control": Residual(), "control_apply_to_uncond": False}
    conds = [node_helpers.conditioning_set_values(c, control) for c in (graph.positive, negative)]
    both = tiny.sample(graph.model, *conds)
    hook = model.model.diffusion_model.middle_block[-1].register_forward_hook(
        lambda _module, _inputs, out: out + Residual().residual(out))
    try:
        assert_same(both, tiny.sample(graph.model, graph.positive, negative))
    finally:
        hook.remove()
    assert_differs(both, tiny.sample(graph.model, graph.positive, negative))
    assert_differs(both, tiny.sample(model, *conds))


def test_the_second_model_of_a_dual_guider_is_untouched() -> None:
    from comfy_extras.nodes_custom_sampler import Guider_DualModel

    model, clip, negative = family()
    second = tiny.model("sd15", 1)
    graph = region_prompt(model, clip)
    guider = Guider_DualModel(graph.model, second)
    guider.set_conds(graph.positive, graph.positive)
    guider.set_cfg(5.0)
    with options_seen(second) as seen:
        directed = guided(guider)
    assert seen and not any(map(dispatched, seen))
    plain = Guider_DualModel(model, second)
    plain.set_conds(graph.positive, graph.positive)
    plain.set_cfg(5.0)
    assert_differs(directed, guided(plain))


def test_our_rows_on_a_model_that_is_not_ours() -> None:
    """A guider may send tagged rows to a second model; its layers are not the ones we looked up."""
    from attention_director.bridge.families.unet import UNetFamily
    from attention_director.bridge.run.dispatch import RUN_KEY, apply_model
    from attention_director.bridge.run.run import Run, chain_of

    model, clip, _ = family()
    graph = region_prompt(model, clip)
    options = {"uuids": ["one"], "cond_or_uncond": [0]}
    tags = {(True, "one"): graph.positive[0][1]["attention_director"]}
    unet = UNetFamily()
    network = unet.network(model.model.diffusion_model, (16, 16))
    run = Run(chain_of(graph.model.model_options), model.model, (), unet, network, tags, (14.6, 0.0))
    options[RUN_KEY] = run

    class Executor:
        def __init__(self, called: Any) -> None:
            self.class_obj = called

        def __call__(self, x, t, c_concat, c_crossattn, control, options, **kwargs):
            return options

    x, t = torch.zeros(1, 4, 16, 16), torch.tensor([14.6])
    assert apply_model(Executor(tiny.model("sd15", 1).model), x, t, transformer_options=options) is options
    assert not run.calls and not run.seen_keys
    assert dispatched(apply_model(Executor(model.model), x, t, transformer_options=options))
    assert not dispatched(options), "nothing is written into the options of the call"


def test_perpendicular_negative() -> None:
    from comfy_extras.nodes_perpneg import Guider_PerpNeg

    def picture(patcher: Any, positive: list, empty: list) -> torch.Tensor:
        guider = Guider_PerpNeg(patcher)
        guider.set_conds(positive, host_encode(clip, "rain"), empty)
        guider.set_cfg(5.0, 1.0)
        return guided(guider)

    model, clip, negative = family()
    graph = region_prompt(model, clip)
    directed = picture(graph.model, graph.positive, negative)
    assert_differs(directed, picture(model, graph.positive, negative))
    assert_same(directed, picture(graph.model, graph.positive, encode(clip, "")))


def test_two_conditionings_of_a_dual_cfg_guider() -> None:
    """Negative, middle and positive in one call: only ours is directed, wherever it stands in the list."""
    from comfy_extras.nodes_custom_sampler import Guider_DualCFG

    def picture(patcher: Any, one: list, two: list, third: list | None = None) -> torch.Tensor:
        guider = Guider_DualCFG(patcher)
        guider.set_conds(one, two, third or negative)
        guider.set_cfg(5.0, 2.0)
        return guided(guider)

    model, clip, negative = family()
    graph, other = region_prompt(model, clip), host_encode(clip, "a green tree")
    for order in (1, -1):
        conds = [graph.positive, other][::order]
        assert_differs(picture(graph.model, *conds), picture(model, *conds))
    bare = [[graph.positive[0][0], {k: v for k, v in graph.positive[0][1].items() if k != "attention_director"}]]
    tagged = picture(graph.model, graph.positive, other, graph.positive)
    assert torch.equal(tagged, picture(graph.model, graph.positive, other, bare)), "the negative stands first here"


def test_perturbed_attention_guidance_on_either_side() -> None:
    from comfy_extras.nodes_pag import PerturbedAttentionGuidance

    model, clip, negative = family()
    graph = region_prompt(model, clip)
    after = PerturbedAttentionGuidance.execute(graph.model, 3.0).args[0]
    before = region_prompt(PerturbedAttentionGuidance.execute(model, 3.0).args[0], clip)
    picture = tiny.sample(after, graph.positive, negative)
    assert torch.equal(picture, tiny.sample(before.model, before.positive, negative))
    assert_differs(picture, tiny.sample(graph.model, graph.positive, negative))
    theirs = PerturbedAttentionGuidance.execute(model, 3.0).args[0]
    assert_differs(picture, tiny.sample(theirs, graph.positive, negative))


def test_a_masked_conditioning_beside_ours_is_not_directed() -> None:
    """One Euler step returns the denoised picture: the host's blend of ours and the other, each as alone."""
    from nodes import ConditioningCombine, ConditioningSetMask

    model, clip, negative = family()
    graph, other = region_prompt(model, clip), host_encode(clip, "a green tree")
    mask = right(16, 16)
    masked = ConditioningSetMask().append(other, mask, "default", 1.0)[0]
    options = dict(steps=1, cfg=1.0)
    alone = tiny.sample(graph.model, graph.positive, negative, **options)
    tree = tiny.sample(model, other, negative, **options)
    for pair in ((graph.positive, masked), (masked, graph.positive)):
        combined = ConditioningCombine().combine(*pair)[0]
        blended = tiny.sample(graph.model, combined, negative, **options)
        assert_same(blended, (alone + mask * tree) / (1 + mask))
    assert_differs(alone, tree)


def test_concatenated_words_are_words_of_no_region() -> None:
    """ConditioningConcat lengthens the tensor; the added words must not be taken for ours at the same place."""
    from nodes import ConditioningConcat

    model, clip, negative = family()
    extra = host_encode(clip, "a red hat and a blue dog")
    graph = region_prompt(model, clip)
    joined = ConditioningConcat().concat(graph.positive, extra)[0]
    before = region_prompt(model, clip, ConditioningConcat().concat(encode(clip, PROMPT), extra)[0])
    assert_same(tiny.sample(graph.model, joined, negative), tiny.sample(before.model, before.positive, negative))
    assert_differs(tiny.sample(graph.model, joined, negative), tiny.sample(model, joined, negative))
    shifted = [[extra[0][0].roll(5, 1), extra[0][1]]]  # words of one region may stand in any order
    assert_same(tiny.sample(graph.model, ConditioningConcat().concat(graph.positive, shifted)[0], negative),
                tiny.sample(graph.model, joined, negative))
    long = region_prompt(model, clip, encode(clip, PROMPT + " tree" * 80))
    three_chunks = ConditioningConcat().concat(long.positive, extra)[0]
    assert three_chunks[0][0].shape[1] == 231
    assert_differs(tiny.sample(long.model, three_chunks, negative), tiny.sample(model, three_chunks, negative))


def test_a_negative_of_another_length() -> None:
    """The host repeats our words to the common length; the picture must not notice."""
    model, clip, _ = family()
    graph = region_prompt(model, clip, preset="strong")
    short, long = host_encode(clip, "rain"), host_encode(clip, "rain " * 80)
    assert long[0][0].shape[1] == 154
    chunk = [[long[0][0][:, :77], long[0][1]]]
    repeated = [[chunk[0][0].repeat(1, 2, 1), chunk[0][1]]]
    assert_same(tiny.sample(graph.model, graph.positive, repeated), tiny.sample(graph.model, graph.positive, chunk))
    assert_differs(tiny.sample(graph.model, graph.positive, long), tiny.sample(graph.model, graph.positive, short))


def test_a_cache_that_skips_steps() -> None:
    from comfy_extras.nodes_easycache import EasyCacheNode

    def cached(patcher: Any) -> Any:
        return EasyCacheNode.execute(patcher, 0.2, 0.0, 1.0, False).args[0]

    model, clip, negative = family()
    graph = region_prompt(model, clip)
    after = tiny.sample(cached(graph.model), graph.positive, negative, steps=8)
    before = region_prompt(cached(model), clip)
    assert_same(after, tiny.sample(before.model, before.positive, negative, steps=8))
    assert_differs(after, tiny.sample(cached(model), graph.positive, negative, steps=8))


def windowed(patcher: Any, length: int) -> Any:
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode

    return ContextWindowsManualNode.execute(patcher, length, 0, "standard_static", 1, False, "flat", 0, False).args[0]


def test_windows_over_the_batch() -> None:
    """One layout and one prompt survive being cut into windows; a layout or a prompt an image do not."""
    model, clip, negative = family()
    graph = region_prompt(model, clip)
    assert_same(tiny.sample(windowed(graph.model, 2), graph.positive, negative, batch=4),
                tiny.sample(graph.model, graph.positive, negative, batch=4))
    sentence = "RegionPrompt: a context window over the batch splits its (prompts|masks|layouts)"
    layouts = region_prompt(model, clip, parts=regions(("red hat", torch.cat([left(), right(), left(), right()]))))
    with pytest.raises(ValueError, match=sentence):
        tiny.sample(windowed(layouts.model, 2), layouts.positive, negative, batch=4)
    prompts = region_prompt(model, clip, encode(clip, f"{PROMPT}\n{PROMPT} rain", lines=True))
    with pytest.raises(ValueError, match=sentence):
        tiny.sample(windowed(prompts.model, 2), prompts.positive, negative, batch=4)
    whole = windowed(layouts.model, 4)
    assert_same(tiny.sample(whole, layouts.positive, negative, batch=4),
                tiny.sample(layouts.model, layouts.positive, negative, batch=4))


def test_a_compiled_model_is_directed_all_the_same() -> None:
    """Compiled and traced without our node first: the host's guard filter would then ignore our patches."""
    from comfy_api.torch_helpers import set_torch_compile_wrapper
    from comfy_extras.nodes_torch_compile import skip_torch_compile_dict

    model, clip, negative = family()
    compiled = model.clone()
    set_torch_compile_wrapper(model=compiled, backend="eager", options={"guard_filter_fn": skip_torch_compile_dict})
    options = dict(steps=2)
    host = host_encode(clip, PROMPT)
    assert_same(tiny.sample(compiled, host, negative, **options), tiny.sample(model, host, negative, **options))
    graph = region_prompt(compiled, clip)
    uncompiled = region_prompt(model, clip)
    expected = tiny.sample(uncompiled.model, uncompiled.positive, negative, **options)
    assert_same(tiny.sample(graph.model, graph.positive, negative, **options), expected)
    assert_differs(expected, tiny.sample(model, host, negative, **options))


def test_clones_of_the_model_on_other_devices_are_ours_too() -> None:
    """The host names them in the options only after our first wrapper has run."""
    from attention_director.bridge.run.run import Run
    from attention_director.core.method import Chain

    class Clone:
        model = object()

    main, other, unet = object(), object(), None
    run = Run(Chain(), main, (Clone.model,), unet, None, {}, (1.0, 0.0))
    assert run.owns(main) and run.owns(Clone.model) and not run.owns(other)
    model, clip, negative = family()
    graph = region_prompt(model, clip, preset=custom())
    expected = tiny.sample(graph.model, graph.positive, negative)
    spread = graph.model.clone()
    spread.model_options["multigpu_clones"] = {torch.device("cpu"): spread}
    assert_same(tiny.sample(spread, graph.positive, negative), expected)
