"""Inversions on transformers: what holds there, and what is refused before anything is sampled."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import tiny
import tiny_joint
import torch
from attention_director.bridge.errors import DirectorError
from attention_director.bridge.inversion.inversion import HELD
from attention_director.bridge.inversion.invert import InversionSettings, Inverted, invert
from attention_director.bridge.inversion.replay import replay
from edit_scene import SETTINGS, Graph
from pictures import CAPTION, picture
from replays import KEY, near, positive
from scene import assert_differs, host_encode
from text_encoders import text_encoder

MODELS = {"flux-dev": "flux", "chroma": "chroma", "lumina": "lumina", "zimage": "zimage"}
models = pytest.mark.parametrize("name", MODELS)


@cache
def made(name: str, method: str = "direct", seed: int = 0, steps: int = 4) -> Inverted:
    with torch.inference_mode():
        return invert("Test", tiny_joint.model(name), text_encoder(MODELS[name]), tiny_joint.vae(name), picture(),
                      CAPTION, InversionSettings(method, steps, "simple", 5.0, seed))


@models
@pytest.mark.parametrize("method", HELD)
def test_a_held_path_comes_back_with_any_sampler(name: str, method: str) -> None:
    model, clip = tiny_joint.model(name), text_encoder(MODELS[name])
    inversion = made(name, method).inversion
    assert made(name, method).psnr > 90
    followed, negative = replay(inversion, "Test", KEY, model, 1, host_encode(clip, ""))
    runs = (("euler", "simple", 4), ("dpmpp_2m", "beta", 5), ("euler_ancestral", "normal", 3))
    for sampler, scheduler, steps in runs:
        latent = {"samples": torch.zeros_like(made(name, method).samples["samples"])}
        out = tiny.sample(followed, positive(clip), negative, steps=steps, cfg=3.0, sampler=sampler,
                          scheduler=scheduler, latent=latent)
        near(out, made(name, method).samples["samples"], 2e-3)


@models
@pytest.mark.parametrize("method, sentence", [
    ("null-text", "Test: null-text inversion works through the negative, which models such as Flux and Z-Image mostly "
                  "run without; use method direct."),
    ("negative-prompt", "Test: negative-prompt inversion works through the negative, which models such as Flux and "
                        "Z-Image mostly run without; use method direct."),
    ("edit-friendly", "Test: this model is sampled as a flow, whose samplers take other steps than edit-friendly "
                      "inversion needs; use method direct.")])
def test_what_does_not_hold_is_refused_before_the_model_is_asked(name: str, method: str, sentence: str) -> None:
    asked: list[int] = []
    hook = tiny_joint.model(name).model.diffusion_model.register_forward_pre_hook(lambda *_: asked.append(1))
    with pytest.raises(DirectorError) as caught:
        made(name, method)
    hook.remove()
    assert str(caught.value) == sentence and not asked


def test_one_fixed_noise_asks_the_model_nothing_and_is_the_seeds() -> None:
    asked: list[int] = []
    network = tiny_joint.model("flux-dev").model.diffusion_model
    hook = network.register_forward_pre_hook(lambda *_: asked.append(1))
    found = made("flux-dev", "noise", seed=7)
    hook.remove()
    states = found.inversion.states
    assert len(asked) == 4, "the replay alone"
    assert torch.equal(states, made("flux-dev", "noise", seed=7).inversion.states)
    assert_differs(states[0], made("flux-dev", "noise", seed=8).inversion.states[0], 0.1)
    middle = found.inversion.sigmas[2]
    torch.testing.assert_close(states[2], (1 - middle) * states[4] + middle * states[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name, guidance", [("flux-dev", 1.0), ("chroma", 0.0)])
def test_a_model_with_a_guidance_of_its_own_is_inverted_without(name: str, guidance: float) -> None:
    """Flux.1 dev reads 3.5 where nothing is said; Chroma is always given 0."""
    seen: list[float] = []
    network = tiny_joint.model(name).model.diffusion_model
    hook = network.register_forward_pre_hook(lambda _m, _a, given: seen.append(float(given["guidance"][0])),
                                             with_kwargs=True)
    made(name, "direct", steps=3)
    hook.remove()
    assert set(seen) == {guidance}


@pytest.mark.parametrize("name", ["flux-dev", "zimage"])
@pytest.mark.parametrize("method", HELD)
def test_an_edit_of_a_real_picture_holds_its_source(name: str, method: str) -> None:
    from attention_director.nodes.attention_edit import AttentionEdit

    clip, found = text_encoder(MODELS[name]), made(name, method)
    settings: dict[str, Any] = SETTINGS | {"reweight": "grass: 2", "mix_words": True, "self_end_percent": 0.5}
    graph = Graph(*AttentionEdit.execute(tiny_joint.model(name), clip, CAPTION, CAPTION.replace("red", "green"),
                                         found.samples, inversion=found.inversion, **settings).args)
    rows = tiny.sample(graph.model, graph.positive, graph.negative, latent=graph.latent, scheduler="simple", steps=4)
    near(rows[:1], found.samples["samples"], 1e-3)
    assert_differs(rows[1], rows[0], 1e-2)
