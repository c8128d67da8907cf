"""Attention Edit on transformers: what changes, what stays, in any company and order."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import tiny_joint
import torch
from edit_scene import OFF, SETTINGS, Graph, refused
from recording import heat_of, recorded
from scene import assert_differs, encode, host_encode, left, region_prompt, regions
from text_encoders import text_encoder

pytestmark = pytest.mark.usefixtures("store")
MODELS = {"flux": "flux", "flux-dev": "flux", "flux-2": "flux2", "chroma": "chroma", "lumina": "lumina",
          "zimage": "zimage"}
models = pytest.mark.parametrize("name", MODELS)
SOURCE, SWAP = "a red hat and a dog on the grass", "a red cat and a dog on the grass"
LONG = "a red hat and a blue dog with a red hat " + "on the green grass " * 9
LEAST = 1e-3


def model_of(name: str) -> Any:
    """With as wide a text as its encoder gives: Flux.2's takes three layers side by side."""
    return tiny_joint.model(name, **({"context_in_dim": 3 * tiny_joint.WIDTH} if name == "flux-2" else {}))


def edit(name: str, targets: str = SWAP, text: Any = SOURCE, model: Any = None, batch: int = 1,
         **changes: Any) -> Graph:
    from attention_director.nodes.attention_edit import AttentionEdit

    model = model or model_of(name)
    clip = text_encoder(MODELS[name])
    latent = {"samples": torch.zeros(batch, model.model.latent_format.latent_channels, 12, 16)}
    settings = SETTINGS | {"self_end_percent": 0.6} | changes
    return Graph(*AttentionEdit.execute(model, clip, text, targets, latent, **settings).args)


def run(graph: Graph, **options: Any) -> torch.Tensor:
    settings = {"scheduler": "simple", "steps": 4, "cfg": 3.0, "latent": graph.latent} | options
    return tiny.sample(graph.model, graph.positive, graph.negative, **settings)


def plain(graph: Graph, name: str, *lines: str, **options: Any) -> torch.Tensor:
    """The same prompts without the node; start noise is shared by batch_index alone."""
    text = "\n".join(lines or (SOURCE, SWAP))
    other = graph._replace(model=model_of(name), positive=encode(text_encoder(MODELS[name]), text, True))
    return run(other, **options)


@models
@pytest.mark.parametrize("cfg", [3.0, 1.0])
def test_the_source_row_is_the_ordinary_run_bit_for_bit(name: str, cfg: float) -> None:
    graph = edit(name, reweight="dog: 2", blend_words="hat\ncat", blend_threshold=0.9)
    edited, without = run(graph, cfg=cfg), plain(graph, name, cfg=cfg)
    assert torch.equal(edited[0], without[0])
    assert_differs(edited[1], without[1], LEAST)
    assert_differs(edited[1], edited[0], LEAST)
    assert torch.equal(edited, run(graph, cfg=cfg)), "twice is once"


@pytest.mark.parametrize("name", ["flux", "flux-2", "zimage"])
@pytest.mark.parametrize("part", [{"self_end_percent": 0.6}, {"reweight": "dog: 4"}, {"reweight": "dog: -2"},
                                  {"mix_words": True}, {"word_windows": "dog: 0-0.5", "mix_words": True},
                                  {"blend_words": "cat\nhat", "blend_threshold": 0.95}], ids=str)
def test_each_part_of_the_edit_acts_alone(name: str, part: dict[str, Any]) -> None:
    off = OFF | ({"cross_end_percent": 0.8} if {"reweight", "mix_words"} & set(part) else {})
    graph = edit(name, **(off | part))
    edited, without = run(graph), plain(graph, name)
    assert torch.equal(edited[0], without[0])
    assert_differs(edited[1], without[1], LEAST)


@models
def test_nothing_to_do_installs_nothing(name: str) -> None:
    shut = edit(name, **OFF)
    assert shut.model is model_of(name) and shut.latent["batch_index"] == [0, 0]
    lone = edit(name, "", reweight="dog: 1")
    assert lone.model is model_of(name) and lone.latent["samples"].shape[0] == 1


def test_windows_of_words_without_weights_do_nothing() -> None:
    """Without mix_words nothing is done to words but weights."""
    graph = edit("flux", **(OFF | {"cross_end_percent": 0.8}))
    assert torch.equal(run(graph), plain(graph, "flux"))


@pytest.mark.parametrize("name", ["flux", "flux-2", "lumina", "zimage"])
def test_prompts_of_unequal_length(name: str) -> None:
    """Row 0 is still the run of the source alone."""
    graph = edit(name, LONG, mix_words=True, reweight="blue: 2")
    edited = run(graph, cfg=1.0)
    alone = graph._replace(model=model_of(name), positive=encode(text_encoder(MODELS[name]), SOURCE),
                           latent={"samples": graph.latent["samples"][:1]})
    torch.testing.assert_close(edited[:1], run(alone, cfg=1.0), rtol=0, atol=2e-4)
    assert_differs(edited[1], plain(graph, name, SOURCE, LONG, cfg=1.0)[1], LEAST)


@pytest.mark.parametrize("name", ["flux", "zimage"])
def test_several_pictures_in_a_batch(name: str) -> None:
    graph = edit(name, batch=2, blend_words="cat\nhat")
    rows = run(graph, cfg=1.0)
    torch.testing.assert_close(rows[:2], run(edit(name, blend_words="cat\nhat"), cfg=1.0), rtol=0, atol=1e-4)
    source = host_encode(text_encoder(MODELS[name]), SOURCE)
    both = tiny.sample(model_of(name), source, graph.negative, scheduler="simple", steps=4, cfg=1.0,
                       latent={"samples": graph.latent["samples"][:2]})
    torch.testing.assert_close(rows[::2], both, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["flux", "zimage"])
@pytest.mark.parametrize("part", [{}, {"reweight": "dog: 3"}, {"mix_words": True}, {"blend_words": "cat\nhat"}],
                         ids=str)
def test_regions_in_the_same_chain_in_either_order(name: str, part: dict[str, Any]) -> None:
    clip, masks = text_encoder(MODELS[name]), regions(("dog", left()), ("grass", 1 - left()))
    lines = encode(clip, f"{SOURCE}\n{SWAP}", lines=True)
    first = region_prompt(model_of(name), clip, lines, masks, preset="strong")
    inside = edit(name, "", first.positive, first.model, **part)
    edited = edit(name, **part)
    second = region_prompt(edited.model, clip, edited.positive, masks, preset="strong")
    outside = edited._replace(model=second.model, positive=second.positive)
    rows = run(inside)
    torch.testing.assert_close(rows, run(outside), rtol=0, atol=1e-4)
    alone = inside._replace(model=first.model, positive=first.positive)
    torch.testing.assert_close(rows[0], run(alone)[0], rtol=0, atol=1e-4)
    assert_differs(rows[1], run(alone)[1], LEAST)
    assert_differs(rows, run(edited), LEAST)


@pytest.mark.parametrize("name", ["flux", "zimage"])
def test_another_packs_attention_is_kept(name: str) -> None:
    from families import half_as_much

    foreign = half_as_much(model_of(name))
    graph = edit(name, model=foreign, reweight="dog: 2")
    rows = run(graph)
    assert torch.equal(rows[0], run(graph._replace(
        model=foreign, positive=encode(text_encoder(MODELS[name]), f"{SOURCE}\n{SWAP}", True)))[0])
    assert_differs(rows, run(edit(name, reweight="dog: 2")), LEAST)


@pytest.mark.parametrize("name", ["flux", "zimage"])
@pytest.mark.parametrize("words", [False, True])
def test_a_record_of_it_shows_each_row_its_own_maps(name: str, words: bool) -> None:
    """The picture stays bit for bit the same; what the source is read for is not counted twice."""
    graph = edit(name, mix_words=words, reweight="dog: 2", cross_end_percent=1.0)
    seen = recorded(graph.model, graph.positive, "dog")
    samples = run(graph._replace(model=seen))
    assert torch.equal(samples, run(graph))
    mean = heat_of(seen, samples).mean[:, 0]
    assert (mean > 0).all() and (mean[0] < 1).all() and float(mean[1].mean()) < 3 * float(mean[0].mean())


def test_an_interrupted_run_leaves_nothing() -> None:
    graph = edit("zimage", LONG, blend_words="hat", reweight="dog: 2")
    before = run(graph)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    network = model_of("zimage").model.diffusion_model
    hook = network.layers[2].register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        run(graph)
    hook.remove()
    assert not network.cap_embedder._forward_hooks and torch.equal(run(graph), before)


def test_what_differs_is_said_after_the_run(caplog: pytest.LogCaptureFixture) -> None:
    graph = edit("flux")
    with caplog.at_level("INFO"):
        run(graph)
    assert "AttentionEdit: active in steps 1-3 of 4; 1 shape" in caplog.text
    with refused("AttentionEdit: 1 latent for 2 prompts; connect this node's latent output to the sampler.",
                 model_of("flux")):
        run(graph, latent={"samples": graph.latent["samples"][:1]})
