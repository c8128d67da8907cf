"""Region Prompt, Record Attention and Attention Readout on transformers: the same drawing as on a UNet."""

from __future__ import annotations

import re
from typing import Any

import pytest
import tiny
import tiny_joint
import torch
from recording import heat_of, recorded
from scene import PROMPT, assert_differs, encode, host_encode, left, region_prompt, regions, right
from text_encoders import text_encoder

pytestmark = pytest.mark.usefixtures("store")
MODELS = {"flux-dev": "flux", "chroma": "chroma", "lumina": "lumina", "zimage": "zimage"}
models = pytest.mark.parametrize("name", MODELS)


def sample(model: Any, positive: list, name: str, batch: int = 1, cfg: float = 3.0, steps: int = 4) -> torch.Tensor:
    latent = {"samples": torch.zeros(batch, 16, 12, 16)}
    negative = host_encode(text_encoder(MODELS[name]), "")
    return tiny.sample(model, positive, negative, latent=latent, scheduler="simple", cfg=cfg, steps=steps)


def directed(name: str, preset: str = "strong", **extra: Any) -> Any:
    return region_prompt(tiny_joint.model(name), text_encoder(MODELS[name]), preset=preset, **extra)


@models
@pytest.mark.parametrize("preset", ["strong", "paper"])
@pytest.mark.parametrize("cfg", [3.0, 1.0])
def test_regions_change_the_picture_alike_each_time(name: str, preset: str, cfg: float) -> None:
    graph = directed(name, preset)
    picture = sample(graph.model, graph.positive, name, cfg=cfg)
    plain = sample(tiny_joint.model(name), encode(text_encoder(MODELS[name]), PROMPT), name, cfg=cfg)
    assert_differs(picture, plain, least=1e-3)
    again = directed(name, preset)
    assert torch.equal(picture, sample(again.model, again.positive, name, cfg=cfg))


@models
def test_masks_and_preview_are_those_of_a_unet(name: str) -> None:
    """A workflow whose loader is exchanged keeps its drawing."""
    canvas = '{"version": 1, "regions": [{"phrase": "grass", "boxes": [[0.1, 0.2, 0.5, 0.9]]}]}'
    here = directed(name, canvas=canvas)
    there = region_prompt(tiny.model(), tiny.clip(), preset="strong", canvas=canvas)
    assert here.masks.shape[0] == 3 and here.masks[0].any()
    assert torch.equal(here.masks, there.masks) and torch.equal(here.preview, there.preview)


@models
@pytest.mark.parametrize("off", [{"strength": 0.0}, {"parts": ()}, {"parts": regions(("red hat", left(), 0.0))}])
def test_nothing_is_bitwise_nothing(name: str, off: dict[str, Any]) -> None:
    graph = directed(name, **off)
    plain = sample(tiny_joint.model(name), host_encode(text_encoder(MODELS[name]), PROMPT), name)
    assert torch.equal(sample(graph.model, graph.positive, name), plain)


@pytest.mark.parametrize("share", ["raise", "lower"])
def test_the_share_of_text_is_the_users(share: str) -> None:
    kept, other = directed("flux-dev"), directed("flux-dev", text_share=share)
    assert_differs(sample(kept.model, kept.positive, "flux-dev"), sample(other.model, other.positive, "flux-dev"), 1e-3)


@models
@pytest.mark.parametrize("preset", ["strong", "paper"])
@pytest.mark.parametrize("steps", [4, 8])
def test_it_acts_in_the_few_steps_of_a_distilled_model(name: str, preset: str, steps: int,
                                                       caplog: pytest.LogCaptureFixture) -> None:
    graph = directed(name, preset)
    with caplog.at_level("INFO"):
        sample(graph.model, graph.positive, name, cfg=1.0, steps=steps)
    last, = re.findall(rf"RegionPrompt: active in steps 1-(\d) of {steps}; 2 regions", caplog.text)
    assert int(last) == -(-steps * {"strong": 6, "paper": 3}[preset] // 10)


@models
def test_maps_land_where_the_regions_are(name: str) -> None:
    """A map for each phrase, a score for each region, masks; the picture stays bit for bit the same."""
    from attention_director.nodes.readout import AttnDirReadout

    graph = directed(name)
    seen = recorded(graph.model, graph.positive)
    samples = sample(seen, graph.positive, name, batch=2)
    assert torch.equal(samples, sample(graph.model, graph.positive, name, batch=2))
    heat = heat_of(seen, samples)
    assert heat.mean.shape == (2, 2, 12, 16) and heat.has.all() and heat.seen == (1, 2, 3, 4)
    assert (heat.mean > 0).all() and (heat.mean < 1).all() and heat.mean.std((-1, -2)).min() > 0
    for column, mask in enumerate((left(12, 16), right(12, 16))):
        early = heat.steps[1].float()[:, column]
        assert float(early[:, mask[0] > 0].mean()) > float(early[:, mask[0] == 0].mean())
    image, masks, report, score = AttnDirReadout.execute(seen, {"samples": samples}, "landing").args
    assert image.ndim == 4 and masks.shape[0] == 4 and "red hat" in report and 0.0 < score <= 1.0


@models
def test_a_plain_model_is_recorded(name: str) -> None:
    clip = text_encoder(MODELS[name])
    positive = encode(clip, PROMPT)
    seen = recorded(tiny_joint.model(name), positive, "")
    samples = sample(seen, positive, name, cfg=1.0)
    heat = heat_of(seen, samples)
    assert [phrase.text for phrase in heat.phrases] == ["red", "hat", "blue", "dog", "grass"] and heat.has.all()
    assert torch.equal(samples, sample(tiny_joint.model(name), positive, name, cfg=1.0))


def test_lines_of_unequal_length_are_each_as_alone() -> None:
    """The whole way, from Encode Prompt to the maps of the shorter line."""
    clip, lines = text_encoder("zimage"), ("a red hat and a dog", "a red hat and a dog " + "on the grass " * 30)
    positive = encode(clip, "\n".join(lines), True)
    seen = recorded(tiny_joint.model("zimage"), positive, "red hat")
    samples = sample(seen, positive, "zimage", batch=2, cfg=1.0)
    for row, line in enumerate(lines):
        alone = encode(clip, line)
        model = recorded(tiny_joint.model("zimage"), alone, "red hat")
        single = sample(model, alone, "zimage", batch=2, cfg=1.0)
        torch.testing.assert_close(samples[row], single[row], rtol=0, atol=2e-4)
        torch.testing.assert_close(heat_of(seen, samples).mean[row], heat_of(model, single).mean[row], rtol=1e-3,
                                   atol=1e-6)
