"""Methods on tiny random networks with joint attention, in the host's own sampler."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tiny_joint
import torch
from joint_scene import SIZE, WORDS, Watcher, sample, tagged, watched
from layouts import pieces


def family_network(name: str) -> Any:
    from attention_director.bridge.families import family_of

    model = tiny_joint.model(name)
    return family_of(model, "test", joint=True).network(model.model.diffusion_model, SIZE)


@pytest.mark.parametrize("name", ["lumina", "zimage"])
@pytest.mark.parametrize("tokens", [9, 20, 32])
def test_text_before_the_image_with_learned_padding(name: str, tokens: int) -> None:
    """20 image tokens: at 20 text tokens a refiner's calls are as long as each other's."""
    watcher = Watcher()
    sample(watched(watcher, tiny_joint.model(name)), tagged(tokens), cfg=1.0)
    call, padded = watcher.seen[0], name == "zimage"
    text, image = call.queries.segments
    assert (text.start, text.stop, image.start) == (0, tokens, 32 if padded else tokens)
    assert image.grid == (4, 5) and call.q.shape[2] == call.queries.length == (64 if padded else tokens + 20)


@pytest.mark.parametrize("name, text, image, reference", [
    ("flux-dev", WORDS, (4, 5), (3, 3)), ("flux-2", 512, (7, 10), (5, 6)), ("chroma", WORDS, (4, 5), None)])
def test_a_reference_has_its_own_place(name: str, text: int, image: tuple, reference: tuple | None) -> None:
    """Kontext and Flux.2 put reference latents behind the image; Chroma has no use for them."""
    watcher, model = Watcher(), tiny_joint.model(name)
    given = torch.randn(1, model.model.latent_format.latent_channels, 5, 6, generator=torch.Generator().manual_seed(1))
    sample(watched(watcher, model), tagged(reference_latents=[given]))
    wanted = [("text", None), ("image", image), *([("reference", reference)] if reference else [])]
    for call in watcher.seen:
        assert [(s.kind, s.grid) for s in call.queries.segments] == wanted and call.queries.segments[0].length == text
        assert call.q.shape[2] == call.k.shape[2] == call.queries.length == sum(s.length for s in call.keys.segments)
        assert call.latent_grid == SIZE and call.grid == image
    assert len(watcher.seen) == 3 * len(family_network(name).layers)


@pytest.mark.parametrize("name", tiny_joint.CONFIGS)
def test_a_bias_is_the_hosts_own_mask(name: str) -> None:
    """The same numbers added to the logits by the host's attention mask."""
    from attention_director.core.call import LowRankBias

    watcher = Watcher()
    sample(watched(watcher, tiny_joint.model(name)), tagged(), steps=1, cfg=1.0)
    total = watcher.seen[0].queries.length
    words = torch.zeros(1, 1, total, 1)
    words[:, :, 2:5] = -2.0

    def held_back(call: Any) -> Any:
        return replace(call, bias=LowRankBias(torch.ones(*call.q.shape[:3], 1), words))

    def masked(func: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *args: Any,
               **kwargs: Any) -> torch.Tensor:
        from comfy.ldm.modules.attention import attention_pytorch

        calls[0] += 1
        if (calls[0] - 1) % refined[1] < refined[0]:
            return func(q, k, v, heads, *args, **kwargs)
        mask = words[:, :, :, 0][:, :, None].expand(1, 1, total, total)
        return attention_pytorch(q, k, v, heads, **{**kwargs, "mask": mask})

    network = tiny_joint.model(name).model.diffusion_model
    before = sum(len(getattr(network, refiner, ())) for refiner in ("context_refiner", "noise_refiner"))
    calls, refined = [0], (before, before + len(family_network(name).layers))
    ours = sample(watched(Watcher(change=held_back), tiny_joint.model(name)), tagged(), cfg=1.0)
    theirs = tiny_joint.model(name).clone()
    theirs.model_options["transformer_options"]["optimized_attention_override"] = masked
    torch.testing.assert_close(ours, sample(theirs, tagged(), cfg=1.0), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", tiny_joint.CONFIGS)
def test_windows_open_where_the_hosts_percents_do(name: str) -> None:
    watcher = Watcher()
    sample(watched(watcher, tiny_joint.model(name)), tagged(), steps=4, cfg=1.0)
    progress = sorted({round(call.step.progress, 3) for call in watcher.seen})
    assert progress == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("name", tiny_joint.CONFIGS)
@pytest.mark.parametrize("share", ["keep", "raise"])
def test_regions_pull_their_words_into_their_boxes(name: str, share: str) -> None:
    """With words that mean nothing yet a box still changes its own pixels most."""
    from attention_director.bridge.run.install import install
    from attention_director.core.joint_regions import JointRegionAttention, JointRule
    from attention_director.core.schedule import Schedule
    from attention_director.core.text import Phrase

    masks = torch.zeros(1, 2, 8, 10, dtype=torch.bool)
    masks[0, 0, :, :5], masks[0, 1, :, 5:] = True, True
    phrases = tuple(Phrase(t, pieces(*t.split())) for t in ("red hat", "dog"))
    method = JointRegionAttention("1/x", phrases, masks, (1.0, 1.0), JointRule(share=share), Schedule(0.0, 0.5))
    model = tiny_joint.model(name)
    directed = sample(install(model, method), tagged())
    plain = sample(model, tagged())
    assert directed.isfinite().all() and float((directed - plain).abs().max()) > 0.01
    assert torch.equal(directed, sample(install(model, method), tagged())), "queueing twice gives the same picture"
    empty = replace(method, schedule=Schedule(0.0, 0.0))
    assert torch.equal(sample(install(model, empty), tagged()), plain)


@pytest.mark.parametrize("name", tiny_joint.CONFIGS)
def test_methods_made_for_cross_attention_are_refused(name: str) -> None:
    from attention_director.bridge.run.install import install

    other = replace(Watcher(), acts_in_joint_layers=False)
    with pytest.raises(ValueError, match="Watcher: this model is .*; the node works with Stable Diffusion 1.x"):
        install(tiny_joint.model(name), other)
