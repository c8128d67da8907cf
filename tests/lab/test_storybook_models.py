"""Both storybook files through the host's own classes, with small random weights and with the prototype's."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from attention_director.bridge.demo.model import load_file
from attention_director.bridge.text.known_words import KNOWN_WORDS
from storybook import storage
from storybook.data import LAYOUTS
from storybook.nets.vae import Vae
from storybook.sizes import MODELS, TINY
from storybook.words import words

CAPTION = "a cat and a red car on a beach"


def scatter(net: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(3)
    for parameter in net.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return net.eval()


@pytest.fixture(scope="module", params=MODELS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, Any, Vae]:
    """(model, file, plain pair, plain VAE) with random weights."""
    model = request.param
    pair, vae = scatter(TINY.new_pair(model)), scatter(TINY.new_vae(model))
    vae.mean.fill_(0.03)
    vae.std.fill_(0.7)
    path = storage.write(tmp_path_factory.mktemp(model) / "file.safetensors", model, vae.state_dict(),
                         pair.state_dict(), {"steps": 0}, TINY.text_config(model), TINY.model_config(model))
    vae_weights, weights = storage.read_for_training(path)
    pair.load_state_dict(weights)  # as stored: half precision and int8 round
    vae.load_state_dict(vae_weights)
    return model, path, pair, vae


@pytest.fixture(scope="module")
def loaded(made: tuple[str, Path, Any, Vae]) -> tuple[Any, Any, Any]:
    return load_file(str(made[1]))


def context_of(pair: Any, model: str, text: str) -> torch.Tensor:
    """What the plain text encoder makes of plain words."""
    from storybook.caption import NOBODY, Caption

    caption = Caption(tuple((word, NOBODY) for word in text.replace(",", " ,").split()))
    return pair["text"](torch.from_numpy(words(LAYOUTS[model]).encode([caption])[0]).long())


def test_int8_rows_are_near_and_half_precision_nearer() -> None:
    weights = {"matrix": torch.randn(6, 40), "vector": torch.randn(9), "scalar": torch.tensor(0.2)}
    half = torch.finfo(torch.half).eps / 2  # what rounding to half precision takes, beside half a step of 127
    for eight_bit, bound in ((True, 0.5 / 127 + half), (False, half)):
        back = storage.unpacked(storage.packed(weights, eight_bit))
        assert set(back) == set(weights)
        away = (back["matrix"].float() - weights["matrix"]).abs().amax(1) / weights["matrix"].abs().amax(1)
        assert away.max() <= bound * (1 + 1e-5)
        assert torch.allclose(back["vector"].float(), weights["vector"], atol=2e-3)


@torch.no_grad()
def test_the_hosts_text_encoder_reads_as_the_trained_one(made: Any, loaded: Any) -> None:
    model, _, pair, _ = made
    clip = loaded[1]
    for text in (CAPTION, "a man, a woman and a dinosaur in the snow", ""):
        host = clip.encode_from_tokens(clip.tokenize(text)).float()
        own = context_of(pair, model, text)
        assert host.shape == own.shape
        assert (host - own).abs().max() < 0.02 * own.abs().max()


@torch.no_grad()
def test_the_hosts_model_denoises_as_the_trained_one(made: Any, loaded: Any) -> None:
    model, _, pair, _ = made
    host = loaded[0]
    x = torch.randn(2, 16 if model == "transformer" else 4, 32, 32)
    context = context_of(pair, model, CAPTION).expand(2, -1, -1)
    times = torch.tensor([0.8, 0.3] if model == "transformer" else [700.0, 20.0])
    own, _ = pair["model"](x, times, context)
    network = host.model.diffusion_model.float()
    given = network(x, times, context, None) if model == "transformer" else network(x, times, context)
    assert (given - own).abs().max() < 1e-3 * own.abs().max()


@torch.no_grad()
def test_the_hosts_vae_and_latent_format_give_standardised_latents(made: Any, loaded: Any) -> None:
    _, _, _, vae = made
    model, _, host = loaded
    pictures = torch.rand(1, 3, 256, 256)
    latents = host.encode(pictures.movedim(1, -1))
    assert torch.allclose(model.model.process_latent_in(latents).float(), vae.latents(pictures), atol=0.02)
    assert torch.allclose(host.decode(latents), vae.pictures(vae.latents(pictures)).movedim(1, -1), atol=0.02)


def test_the_models_are_what_the_host_would_make_of_them(made: Any, loaded: Any) -> None:
    import comfy.latent_formats
    import comfy.model_base

    model, path, _, _ = made
    patcher, clip, vae = loaded
    if model == "transformer":
        assert type(patcher.model.model_config).__name__ == "FluxSchnell"
        assert patcher.model.model_type == comfy.model_base.ModelType.FLOW
        assert isinstance(patcher.model.latent_format, comfy.latent_formats.Flux)
        shifted = patcher.model.model_sampling.percent_to_sigma(0.5)
        assert shifted == pytest.approx(storage.SHIFT * 0.5 / (1 + (storage.SHIFT - 1) * 0.5))
    else:
        assert patcher.model.model_type == comfy.model_base.ModelType.EPS
        assert isinstance(patcher.model.latent_format, comfy.latent_formats.SD15)
    assert {"cat", "car", "red", "beach"} <= clip.patcher.get_attachment(KNOWN_WORDS).words
    for own in (patcher, clip.patcher, vae.patcher):
        load, arguments = own.cached_patcher_init
        again = load(*arguments)
        assert set(again.model.state_dict()) == set(own.model.state_dict())
        assert arguments == (str(path),)
    assert copy.deepcopy(patcher.clone().model_options) is not None


def test_the_hosts_sampler_generates_alike_in_any_batch(made: Any) -> None:
    from dataclasses import replace

    from storybook.atlas import read_atlas
    from storybook.gate import SETTINGS, host_generator, jobs

    model, path, _, _ = made
    generate = host_generator(path, replace(SETTINGS[model], steps=2))
    some = jobs(read_atlas(), 2)
    both, second = generate(some), generate(some[1:])
    assert both.shape == (2, 3, 256, 256) and both.isfinite().all()
    assert torch.allclose(both[1], second[0], atol=2e-3)
