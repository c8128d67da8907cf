"""The demo model is a model like any other: clones, deep copies, LoRA, hooks and a second pass."""

from __future__ import annotations

import json

import pytest
import tiny
import torch
from attention_director.bridge.demo import model as demo_model
from attention_director.bridge.text.prompt import encode, take_prompt
from attention_director.nodes.encode import AttnDirEncode

PROMPT = "a red circle and a blue square on a white background"


@pytest.fixture(scope="module")
def world():
    with torch.inference_mode():
        return demo_model.load_demo_model()


def _draw(model, clip, text: str = PROMPT, steps: int = 3, **settings) -> torch.Tensor:
    with torch.inference_mode():
        return tiny.sample(model, encode(clip, text, "test"), encode(clip, "", "test"), steps=steps, **settings)


def test_it_is_drawn_by_the_words(world) -> None:
    model, clip, vae = world
    latent = _draw(model, clip, steps=12)  # three steps of guidance overshoot what the VAE knows
    assert latent.shape == (1, 4, 16, 16) and latent.isfinite().all()
    assert not torch.equal(latent, _draw(model, clip, "a green star on a black background", steps=12))
    with torch.inference_mode():
        picture = vae.decode(latent)
        again = vae.encode(picture)
    assert picture.shape == (1, 128, 128, 3) and again.shape == latent.shape
    assert (again - latent).abs().mean() < 0.5 * latent.std()


def test_the_file_says_how_it_was_trained() -> None:
    _, facts = demo_model._read(str(demo_model.ASSET))
    assert json.loads(facts["training"])["unet_steps"] and demo_model.ASSET.stat().st_size <= 24_000_000


def test_deep_copies_are_made_from_the_file(world) -> None:
    model, clip, vae = world
    with torch.inference_mode():
        copy = model.clone(force_deepcopy=True)
    assert copy.model is not model.model
    assert torch.equal(_draw(copy, clip), _draw(model, clip))
    for patcher in (clip.patcher, vae.patcher):
        make, arguments = patcher.cached_patcher_init[:2]
        assert make(*arguments, disable_dynamic=True).model is not patcher.model


def test_a_lora_changes_the_picture_and_goes_again(world) -> None:
    model, clip, _ = world
    plain = _draw(model, clip)
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_v.weight"
    patched = model.clone()
    assert patched.add_patches({key: (torch.randn(model.model.state_dict()[key].shape),)}, 0.5) == [key]
    assert not torch.equal(_draw(patched, clip), plain)
    assert torch.equal(_draw(model, clip), plain)


def test_a_conditioning_hook_works_on_it(world) -> None:
    import comfy.hooks

    model, clip, _ = world
    key = "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_v.weight"
    hooks = comfy.hooks.create_hook_lora(lora={}, strength_model=1.0, strength_clip=0.0)
    hooks.hooks[0].weights = {key: (torch.randn(model.model.state_dict()[key].shape),)}
    with torch.inference_mode():
        positive = comfy.hooks.set_hooks_for_conditioning(encode(clip, PROMPT, "test"), hooks)
        hooked = tiny.sample(model, positive, encode(clip, "", "test"), steps=3)
    assert hooked.isfinite().all() and not torch.equal(hooked, _draw(model, clip))


def test_a_second_pass_at_one_and_a_half_times_the_size(world) -> None:
    model, clip, _ = world
    larger = torch.nn.functional.interpolate(_draw(model, clip), size=(24, 24), mode="bilinear")
    assert _draw(model, clip, latent={"samples": larger}, denoise=0.5).shape == (1, 4, 24, 24)


def test_unknown_words_are_one_neutral_row_and_named(world, caplog: pytest.LogCaptureFixture) -> None:
    _, clip, _ = world
    with torch.inference_mode():
        table = clip.cond_stage_model.clip_l.transformer.text_model.embeddings.token_embedding.weight
        fox, vase = (clip.tokenize(word)["l"][0][1][0] for word in ("fox", "vase"))
        assert torch.equal(table[fox], table[vase]) and len(table) == demo_model.VOCABULARY_SIZE
        AttnDirEncode.execute(clip, "a red circle and a fox")
        assert 'does not know "fox"' in caplog.text
        with pytest.raises(ValueError, match="the demo model knows coloured shapes and creatures only"):
            AttnDirEncode.execute(clip, "a photo of a fox")
        take_prompt(clip, encode(clip, "", "test"), "test")
