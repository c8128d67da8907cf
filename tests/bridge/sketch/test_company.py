"""SketchGuidance beside other nodes, in runs that stop, and in runs it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import sketch_scene as s
import tiny
import torch
from scene import PROMPT, assert_differs, assert_same, dispatched, family, host_encode, options_seen, region_prompt

FEW: dict[str, Any] = dict(steps=2)


def scene(name: str = "sd15") -> tuple[Any, list, list]:
    model, clip, negative = family(name)
    return model, host_encode(clip, PROMPT), negative


def objects(model: Any) -> list[int]:
    network = model.model.diffusion_model
    return [id(v) for part in network.modules() for store in (part._parameters, part._buffers)
            for v in store.values()]


def left_behind(model: Any) -> list[str]:
    """Traces of a run on the network."""
    return [name for name, part in model.model.diffusion_model.named_modules()
            if part._forward_hooks or "forward" in part.__dict__]


@pytest.fixture
def loaded_as_the_server_does() -> Any:
    """The same weights, loaded inside inference mode."""
    with torch.inference_mode():
        return tiny.model.__wrapped__("sd15", 0)


def test_weights_loaded_in_inference_mode_give_the_same_picture(loaded_as_the_server_does: Any) -> None:
    model, positive, negative = scene()
    served = loaded_as_the_server_does
    assert all(p.is_inference() for p in served.model.diffusion_model.parameters())
    before = objects(served)
    with torch.inference_mode():
        patched = s.sketch(served, pred=s.predictor(model))
    assert_same(tiny.sample(patched, positive, negative, **FEW),
                tiny.sample(s.sketch(model), positive, negative, **FEW))
    assert objects(served) == before and not left_behind(served)


@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_an_interrupted_run_leaves_nothing(loaded_as_the_server_does: Any, checkpointing: str) -> None:
    import comfy.model_management as management

    _, positive, negative = scene()
    model = loaded_as_the_server_does
    patched, before = s.sketch(model, checkpointing=checkpointing), objects(model)
    plain = tiny.sample(model, positive, negative, **FEW)

    def interrupt(h: torch.Tensor, options: dict) -> torch.Tensor:
        if torch.is_grad_enabled():
            raise management.InterruptProcessingException
        return h

    stopped = patched.clone()
    stopped.set_model_input_block_patch(interrupt)
    with pytest.raises(management.InterruptProcessingException):
        tiny.sample(stopped, positive, negative, **FEW)
    assert objects(model) == before and not left_behind(model) and torch.is_grad_enabled()
    assert torch.equal(tiny.sample(model, positive, negative, **FEW), plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_in_half_precision(dtype: torch.dtype) -> None:
    """The first step goes the way it goes in float32, as nearly as the model itself does."""
    model, positive, negative = scene()
    half = tiny.model.__wrapped__("sd15", 0)
    half.model.diffusion_model.to(dtype)
    half.model.diffusion_model.dtype = dtype
    half.model.model_config.set_inference_dtype(dtype, None)

    def change(chosen: Any) -> torch.Tensor:
        one = dict(steps=1, cfg=1.0)
        moved = tiny.sample(s.sketch(chosen, pred=s.predictor(model)), positive, negative, **one)
        return (moved - tiny.sample(chosen, positive, negative, **one)).flatten()

    assert half.model.get_dtype() == dtype
    assert float(torch.cosine_similarity(change(half), change(model), dim=0)) > 0.95


def test_a_control_net_sees_no_graph_and_keeps_its_residuals() -> None:
    import node_helpers
    from comfy.controlnet import ControlBase

    seen: list[bool] = []

    class Fake(ControlBase):
        def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
            seen.append(x_noisy.requires_grad or torch.is_grad_enabled())
            residual = torch.linspace(-3, 3, 64)[None, :, None, None].repeat(x_noisy.shape[0], 1, 2, 2)
            return {"input": [], "middle": [residual], "output": []}

    model, positive, negative = scene()
    control = {"control": Fake(), "control_apply_to_uncond": True}
    conds = [node_helpers.conditioning_set_values(c, control) for c in (positive, negative)]
    guided = tiny.sample(s.sketch(model), *conds, **FEW)
    assert seen and not any(seen)
    assert_differs(guided, tiny.sample(model, *conds, **FEW))
    assert_differs(guided, tiny.sample(s.sketch(model), positive, negative, **FEW))
    twice = tiny.sample(s.sketch(model, checkpointing="on"), *conds, **FEW)
    assert_same(twice, guided)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_regions_and_a_sketch_in_either_order(name: str) -> None:
    model, clip, negative = family(name)
    first = region_prompt(s.sketch(model), clip)
    then = region_prompt(model, clip)
    after = s.sketch(then.model)
    picture = tiny.sample(first.model, first.positive, negative, **FEW)
    assert_same(picture, tiny.sample(after, then.positive, negative, **FEW))
    assert_differs(picture, tiny.sample(then.model, then.positive, negative, **FEW))
    assert_differs(picture, tiny.sample(s.sketch(model), host_encode(clip, PROMPT), negative, **FEW))


def test_alone_it_puts_nothing_into_the_attention() -> None:
    model, positive, negative = scene()
    with options_seen(model) as seen:
        tiny.sample(s.sketch(model), positive, negative, **FEW)
    assert seen and not any(map(dispatched, seen))


def test_a_masked_second_prompt_and_one_with_an_area() -> None:
    """Both are positive; the crop of an area is evaluated as ever and adds nothing to the gradient."""
    from nodes import ConditioningCombine, ConditioningSetArea, ConditioningSetMask

    model, positive, negative = scene()
    _, clip, _ = family()
    other = host_encode(clip, "a green tree")
    mask = torch.zeros(1, 16, 16)
    mask[..., 8:] = 1
    masked = ConditioningSetMask().append(other, mask, "default", 1.0)[0]
    area = ConditioningSetArea().append(other, 64, 64, 0, 0, 1.0)[0]
    for second in (masked, area):
        both = ConditioningCombine().combine(positive, second)[0]
        assert_differs(tiny.sample(s.sketch(model), both, negative, **FEW), tiny.sample(model, both, negative, **FEW))


def guided(guider: Any, steps: int = 2, seed: int = 3) -> torch.Tensor:
    import comfy.sample
    import comfy.samplers

    latent = torch.zeros(1, 4, 16, 16)
    sigmas = comfy.samplers.calculate_sigmas(guider.model_patcher.get_model_object("model_sampling"), "normal", steps)
    with torch.inference_mode():
        return guider.sample(comfy.sample.prepare_noise(latent, seed), latent, comfy.samplers.sampler_object("euler"),
                             sigmas, seed=seed).clone()


def test_other_guiders_and_extra_passes() -> None:
    """One gradient an evaluation, of the positive, wherever it stands."""
    from comfy_extras.nodes_custom_sampler import Guider_DualCFG, Guider_DualModel
    from comfy_extras.nodes_pag import PerturbedAttentionGuidance

    model, positive, negative = scene()
    _, clip, _ = family()
    tree = host_encode(clip, "a green tree")
    patched = s.sketch(model)
    for kind in (Guider_DualCFG, Guider_DualModel):
        pictures = []
        for chosen in (patched, model):
            guider = kind(*([chosen] if kind is Guider_DualCFG else [chosen, tiny.model("sd15", 1)]))
            guider.set_conds(*([positive, tree, negative] if kind is Guider_DualCFG else [positive, negative]))
            guider.set_cfg(*([5.0, 2.0] if kind is Guider_DualCFG else [5.0]))
            pictures.append(guided(guider))
        assert_differs(*pictures)
    calls = s.gradients_in(PerturbedAttentionGuidance.execute(patched, 3.0).args[0], positive, negative, **FEW)
    assert calls == 2


def test_windows_over_the_batch() -> None:
    from comfy_extras.nodes_context_windows import ContextWindowsManualNode

    model, positive, negative = scene()
    drawings = torch.cat([s.circle(at=(0.3, 0.3), radius=0.2), s.circle(at=(0.7, 0.6), radius=0.25)])
    patched = s.sketch(model, drawings)
    split = ContextWindowsManualNode.execute(patched, 2, 0, "standard_static", 1, False, "flat", 0, False).args[0]
    whole = tiny.sample(patched, positive, negative, batch=4, **FEW)
    assert_same(tiny.sample(split, positive, negative, batch=4, **FEW), whole)
    overlapping = ContextWindowsManualNode.execute(patched, 3, 1, "standard_static", 1, False, "flat", 0, False).args[0]
    assert_same(tiny.sample(overlapping, positive, negative, batch=4, **FEW), whole)


def test_out_of_memory_turns_checkpointing_on_and_says_so_when_it_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory runs out going backward, when a control net's residuals have been used up once."""
    import node_helpers
    from attention_director.bridge.sketch import guided_forward
    from comfy.controlnet import ControlBase

    class Fake(ControlBase):
        def get_control(self, x_noisy, t, cond, batched_number, transformer_options):
            residual = torch.linspace(-3, 3, 64)[None, :, None, None].repeat(x_noisy.shape[0], 1, 2, 2)
            return {"input": [], "middle": [residual], "output": []}

    model, positive, negative = scene()
    positive = node_helpers.conditioning_set_values(positive, {"control": Fake(), "control_apply_to_uncond": False})
    expected = tiny.sample(s.sketch(model), positive, negative, **FEW)
    tried: list[bool] = []
    real = guided_forward.gradient_of

    def short(*args: Any) -> Any:
        tried.append("forward" in model.model.diffusion_model.input_blocks[1][0].__dict__)
        if not tried[-1]:
            raise torch.cuda.OutOfMemoryError
        return real(*args)

    monkeypatch.setattr(guided_forward, "gradient_of", short)
    assert_same(tiny.sample(s.sketch(model), positive, negative, **FEW), expected)
    assert tried == [False, True, True], "tried once, then on for the rest of the run"
    with pytest.raises(ValueError, match="SketchGuidance: out of memory for the gradient; turn checkpointing on."):
        tiny.sample(s.sketch(model, checkpointing="off"), positive, negative, **FEW)


def test_a_gradient_that_is_no_number_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from attention_director.bridge.sketch import guided_forward

    model, positive, negative = scene()
    monkeypatch.setattr(guided_forward, "gradient_of", lambda *_: None)
    with pytest.raises(ValueError, match="SketchGuidance: the gradient is not finite"):
        tiny.sample(s.sketch(model), positive, negative, **FEW)


def test_what_cannot_be_is_refused_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from attention_director.bridge.families import differentiable_attention
    from comfy_extras.nodes_model_advanced import ModelSamplingSD3

    model, positive, negative = scene()
    with pytest.raises(ValueError, match="SketchGuidance: this model already follows a drawing"):
        s.sketch(s.sketch(model))
    for pred in (s.predictor(s.model("sdxl")), s.predictor(s.model("sd2"))):
        with pytest.raises(ValueError, match=r"trained on SD(XL|2) \([\d-]+\); this model is SD1.5 \([\d-]+\)"):
            s.sketch(model, pred=pred)
    with pytest.raises(ValueError, match="sampled as a flow"):
        s.sketch(ModelSamplingSD3().patch(model, 3.0)[0], pred=s.predictor(model))
    with pytest.raises(ValueError, match="strength is nan"):
        s.sketch(model, strength=float("nan"))
    with pytest.raises(ValueError, match="start_percent 0.6 lies after end_percent 0.5; swap them"):
        s.sketch(model, start=0.6, end=0.5)
    spread = s.sketch(model).clone()
    spread.model_options["multigpu_clones"] = {torch.device("cpu"): spread}
    with pytest.raises(ValueError, match="works on one GPU only"):
        tiny.sample(spread, positive, negative, **FEW)
    replaced = s.sketch(model).clone()
    replaced.set_model_attn1_replace(lambda q, k, v, o: v, "input", 1)

    def attention_sage() -> None: ...

    monkeypatch.setattr(differentiable_attention, "optimized_attention", attention_sage)
    with pytest.raises(ValueError, match="calls attention_sage, which has no gradient"):
        tiny.sample(replaced, positive, negative, **FEW)
    tiny.sample(s.sketch(model), positive, negative, **FEW)


def test_another_checkpoint_of_the_family_is_only_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    pred = s.predictor(tiny.model("sd15", 1))
    s.sketch(s.model(), pred=pred)
    assert any("another SD1.5 checkpoint" in r.getMessage() for r in caplog.records)
