"""Identity Inject on transformers that read reference pictures, in the real host."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from attention_director.core.text import columns
from families import half_as_much
from reference_scene import GRID, MODELS, clip_of, face, identity, latents_of, model_of, people, sample, with_latents
from scene import PROMPT, assert_differs, encode, frozen, host_encode, left, region_prompt, right

models = pytest.mark.parametrize("name", MODELS)


@models
@pytest.mark.parametrize("off", [{"strength": 0.0}, {"parts": "silent"}, {"start_percent": 1.0}])
def test_nothing_is_bitwise_nothing(name: str, off: dict) -> None:
    off = off | ({"parts": people(("hat", face(1), 0.0))} if "parts" in off else {})
    model, positive = identity(name, **off)
    assert model is model_of(name) and "reference_latents" not in positive[0][1]
    assert torch.equal(sample(name, model, positive), sample(name, model_of(name), host_encode(clip_of(name), PROMPT)))


@models
@pytest.mark.parametrize("cfg", [3.0, 1.0])
def test_subjects_change_the_picture_alike_each_time(name: str, cfg: float) -> None:
    picture_of = [sample(name, *identity(name), cfg=cfg) for _ in range(2)]
    assert torch.equal(*picture_of)
    plainly = with_latents(encode(clip_of(name), PROMPT), latents_of(name, face(1), face(2)))
    for other in (sample(name, model_of(name), encode(clip_of(name), PROMPT), cfg=cfg),
                  sample(name, model_of(name), plainly, cfg=cfg),
                  sample(name, *identity(name, parts=people(("hat", face(2)), ("dog", face(1)))), cfg=cfg)):
        assert_differs(picture_of[0], other, least=1e-3)


def test_the_pictures_are_the_hosts_references() -> None:
    """Behind those that the prompt had, each of a batch by itself; what another prompt says is left alone."""
    before = with_latents(encode(clip_of("flux-dev"), PROMPT), latents_of("flux-dev", face(9)))
    other = encode(clip_of("flux-dev"), "grass")
    given = frozen([before, other])
    parts = people(("hat", face(1, count=2)), ("dog", face(5), 0.0))
    _, (text, late, last) = identity("flux-dev", [*before, *other], parts, start_percent=0.3)
    assert frozen([before, other]) == given
    assert (text[1]["start_percent"], text[1]["end_percent"], late[1]["start_percent"]) == (0.0, 0.3, 0.3)
    assert len(text[1]["reference_latents"]) == 1 and last[1] is other[0][1]
    wanted = latents_of("flux-dev", face(9), face(1, count=2))
    assert [latent.shape for latent in late[1]["reference_latents"]] == [latent.shape for latent in wanted]
    for latent, own in zip(late[1]["reference_latents"], wanted, strict=True):
        torch.testing.assert_close(latent, own, rtol=0, atol=1e-5)


def test_a_picture_is_cut_to_whole_tokens_and_made_no_larger_than_a_megapixel() -> None:
    from attention_director.bridge.identity.references import fitted

    same, odd, huge = torch.rand(2, 32, 48, 3), torch.rand(1, 45, 100, 3), torch.rand(1, 1500, 3000, 3)
    assert fitted(same) is same
    assert fitted(odd).shape == (1, 32, 96, 3)
    height, width = fitted(huge).shape[1:3]
    assert height % 16 == width % 16 == 0 and 0.95 * 1024 ** 2 < height * width <= 1024 ** 2
    assert abs(width / height - 2) < 0.05


def naive(tag: Any, tokens: int, places: torch.Tensor, weights: tuple[float, float]) -> torch.Tensor:
    """What the rule adds for two references of 2 by 3 tokens, [N, N]. places: of each subject, bool [2, pixels]."""
    from attention_director.bridge.text.words import phrase_without_clip
    from attention_director.core.sequence import Segment

    pixels = range(tokens, tokens + places.shape[1])
    parts = [set(range(pixels.stop + 6 * n, pixels.stop + 6 * n + 6)) for n in range(2)]
    words = [set(columns(tag, 0, phrase_without_clip(phrase), Segment("text", 0, tokens))) for phrase in ("hat", "dog")]
    assert all(words)
    bias = torch.zeros(pixels.stop + 12, pixels.stop + 12)
    for s in range(2):
        for i in range(len(bias)):
            for j in range(len(bias)):
                if j in parts[s]:
                    held = 0.0 if i in pixels and places[s, i - pixels.start] else -8.0
                    read = torch.tensor(weights[s]).log() + held if i in pixels else 0.0
                    bias[i, j] += read if i in {*pixels, *words[s], *parts[s]} else -torch.inf
                elif i in parts[s] and j not in {*pixels, *words[s]}:
                    bias[i, j] = -torch.inf
    return bias


class Naive:
    """Another pack's override: the rule as a dense mask in an explicit softmax, for the positive's rows."""

    def __init__(self, bias: torch.Tensor) -> None:
        self.bias, self.rows = bias, 0

    def __call__(self, func: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, *_args: Any,
                 transformer_options: dict, **_kwargs: Any) -> torch.Tensor:
        lists = transformer_options["cond_or_uncond"]
        ours = torch.tensor(lists).repeat_interleave(len(q) // len(lists)) == 0
        bias = torch.zeros(len(q), 1, q.shape[2], k.shape[2])
        if q.shape[2] == len(self.bias):
            bias[ours] = self.bias
            self.rows += int(ours.sum())
        scores = q.double() @ k.double().transpose(-1, -2) * q.shape[-1] ** -0.5 + bias
        return (scores.softmax(-1) @ v.double()).to(q.dtype).transpose(1, 2).flatten(2)


def masks() -> list[torch.Tensor]:
    return [left(*GRID), right(*GRID)]


@pytest.mark.parametrize("negative", ["apart", "together", "cfg 1"])
def test_it_is_the_rule_as_a_dense_mask(negative: str) -> None:
    """Two people with masks, on the network's own attention; the negative may have the same references."""
    name, places = "flux-dev", masks()
    parts = people(("hat", face(1), 1.0, places[0]), ("dog", face(2), 0.5, places[1]))
    model, positive = identity(name, parts=parts)
    against = host_encode(clip_of(name), "")
    if negative == "together":
        against = with_latents(against, positive[0][1]["reference_latents"])
    text = positive[0][0].shape[1]
    inside = torch.stack([mask[0].flatten() > 0.5 for mask in places])
    override = Naive(naive(positive[0][1]["attention_director"], text, inside, (1.0, 0.5)))
    dense = model_of(name).clone()
    dense.model_options["transformer_options"]["optimized_attention_override"] = override
    cfg = 1.0 if negative == "cfg 1" else 3.0
    got, wanted = sample(name, model, positive, against, cfg=cfg), sample(name, dense, positive, against, cfg=cfg)
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3)
    assert override.rows == 3 * 5  # steps and layers


def test_places_are_found_from_words_while_the_run_goes(caplog: pytest.LogCaptureFixture) -> None:
    """Without masks, also where text alone came first."""
    for start in (0.0, 0.5):
        with caplog.at_level("INFO"):
            found = sample("flux-dev", *identity("flux-dev", start_percent=start), steps=4)
        free = sample("flux-dev", *identity("flux-dev", localise=0.0, start_percent=start), steps=4)
        assert_differs(found, free, least=1e-3)
    assert "2 subjects" in caplog.text


def test_text_alone_until_the_start() -> None:
    """A run that ends there is bitwise the plain one."""
    name = "flux-dev"
    model, positive = identity(name, start_percent=0.9, localise=0.0)
    plain = sample(name, model_of(name), host_encode(clip_of(name), PROMPT), steps=2)
    assert torch.equal(sample(name, model, positive, steps=2), plain)


@models
def test_lines_of_unequal_length_are_each_as_alone(name: str) -> None:
    clip, lines = clip_of(name), (PROMPT, "in the rain a hat and a dog " + "under tall trees " * 100)
    batch = sample(name, *identity(name, encode(clip, "\n".join(lines), True)), batch=2, cfg=1.0)
    for row, line in enumerate(lines):
        alone = sample(name, *identity(name, encode(clip, line)), batch=2, cfg=1.0)
        torch.testing.assert_close(batch[row], alone[row], rtol=1e-3, atol=1e-3)


@models
def test_another_packs_override_composes_in_any_order(name: str) -> None:
    model, positive = identity(name)
    theirs_last = sample(name, half_as_much(model), positive)
    ours_last, _ = identity(name, model=half_as_much(model_of(name)))
    assert torch.equal(theirs_last, sample(name, ours_last, positive))
    for alone in (model, half_as_much(model_of(name))):
        assert_differs(theirs_last, sample(name, alone, positive), least=1e-3)


def test_beside_regions_in_any_order() -> None:
    name, clip = "flux-dev", clip_of("flux-dev")
    graph = region_prompt(model_of(name), clip, preset="strong")
    over = sample(name, *identity(name, graph.positive, model=graph.model))
    model, positive = identity(name)
    under = region_prompt(model, clip, positive, preset="strong")
    torch.testing.assert_close(over, sample(name, under.model, under.positive), rtol=0, atol=1e-3)
    for alone in ((graph.model, graph.positive), (model, positive)):
        assert_differs(over, sample(name, *alone), least=1e-3)


def test_two_of_these_nodes_are_as_one() -> None:
    """The second node's pictures come behind the first one's; without places to compete for it is the same."""
    name = "flux-dev"
    first, text = identity(name, parts=people(("hat", face(1))), localise=0.0)
    both = identity(name, text, people(("dog", face(2))), model=first, localise=0.0)
    torch.testing.assert_close(sample(name, *both), sample(name, *identity(name, localise=0.0)), rtol=0, atol=1e-3)


def test_an_interrupted_run_leaves_everything_as_it_was() -> None:
    from comfy.model_management import InterruptProcessingException

    name = "flux-dev"
    model, positive = identity(name)
    before, whole = frozen([model.model_options, positive]), sample(name, model, positive)
    calls = iter(range(7))

    def stop(module: Any, args: Any) -> None:
        if next(calls, None) is None:
            raise InterruptProcessingException

    hook = model.model.diffusion_model.single_blocks[0].register_forward_pre_hook(stop)
    try:
        with pytest.raises(InterruptProcessingException):
            sample(name, model, positive, steps=8)
    finally:
        hook.remove()
    assert frozen([model.model_options, positive]) == before
    assert torch.equal(sample(name, model, positive), whole)


def test_references_that_never_reach_the_model_are_missed(caplog: pytest.LogCaptureFixture) -> None:
    model, positive = identity("flux-dev")
    lost = [[cond, {k: v for k, v in values.items() if k != "reference_latents"}] for cond, values in positive]
    with caplog.at_level("INFO"):
        sample("flux-dev", model, lost)
    assert "none of their pictures reached the model; wire this node's positive to the sampler as it is" in caplog.text


def test_masks_without_localise_are_missed(caplog: pytest.LogCaptureFixture) -> None:
    parts = people(("hat", face(1), 1.0, left()))
    with caplog.at_level("INFO"):
        sample("flux-dev", *identity("flux-dev", parts=parts, localise=0.0))
    assert re.search(r"active in steps 1-3 of 3; 1 subject; their masks do nothing while localise is 0", caplog.text)
