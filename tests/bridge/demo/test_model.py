"""The demo model is a model like any other: clones, deep copies, LoRA, hooks and a second pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import tiny
import torch
from attention_director.bridge.demo import file
from attention_director.bridge.demo import model as demo_model
from attention_director.bridge.text.prompt import encode, take_prompt
from attention_director.nodes.encode import AttnDirEncode


@dataclass(frozen=True)
class World:
    """One of the demo models, loaded, and what it is asked for."""

    choice: str
    prompt: str
    other: str
    size: tuple[int, ...]
    lora: str
    loaded: tuple[Any, Any, Any]

    @property
    def pixels(self) -> int:
        return 8 * self.size[-1]


WORLDS = {
    "UNet": ("a red circle and a blue square on a white background", "a green star on a black background",
             (1, 4, 16, 16), "diffusion_model.middle_block.1.transformer_blocks.0.attn2.to_v.weight"),
    "transformer": ("a cat and a red car on a beach", "a green star at night", (1, 16, 32, 32),
                    "diffusion_model.single_blocks.2.linear2.weight"),
}


@pytest.fixture(scope="module", params=WORLDS)
def world(request: pytest.FixtureRequest) -> World:
    with torch.inference_mode():
        return World(request.param, *WORLDS[request.param], demo_model.load_demo_model(request.param))


def _draw(world: World, model: Any = None, text: str | None = None, steps: int = 3, **settings: Any) -> torch.Tensor:
    own, clip, _ = world.loaded
    settings = {"latent": {"samples": torch.zeros(world.size)}} | settings
    with torch.inference_mode():
        return tiny.sample(own if model is None else model, encode(clip, text or world.prompt, "test"),
                           encode(clip, "", "test"), steps=steps, **settings)


def test_it_is_drawn_by_the_words(world: World) -> None:
    vae = world.loaded[2]
    latent = _draw(world, steps=12)  # three steps of guidance overshoot what the VAE knows
    assert latent.shape == world.size and latent.isfinite().all()
    assert not torch.equal(latent, _draw(world, text=world.other, steps=12))
    with torch.inference_mode():
        picture = vae.decode(latent)
        again = vae.encode(picture)
    assert picture.shape == (1, world.pixels, world.pixels, 3) and again.shape == latent.shape
    assert (again - latent).abs().mean() < 0.5 * latent.std()


def test_the_file_says_how_it_was_trained_and_is_small(world: World) -> None:
    path = file.path_of(world.choice)
    assert file.read(str(path)).fact("training")["batch"] and path.stat().st_size <= 32_000_000


def test_deep_copies_are_made_from_the_file(world: World) -> None:
    model, clip, vae = world.loaded
    with torch.inference_mode():
        copy = model.clone(force_deepcopy=True)
    assert copy.model is not model.model
    assert torch.equal(_draw(world, copy), _draw(world))
    for patcher in (clip.patcher, vae.patcher):
        make, arguments = patcher.cached_patcher_init[:2]
        assert make(*arguments, disable_dynamic=True).model is not patcher.model


def test_a_lora_changes_the_picture_and_goes_again(world: World) -> None:
    model = world.loaded[0]
    plain = _draw(world)
    patched = model.clone()
    change = torch.randn(model.model.state_dict()[world.lora].shape)
    assert patched.add_patches({world.lora: (change,)}, 0.5) == [world.lora]
    assert not torch.equal(_draw(world, patched), plain)
    assert torch.equal(_draw(world), plain)


def test_a_conditioning_hook_works_on_it(world: World) -> None:
    import comfy.hooks

    model, clip, _ = world.loaded
    hooks = comfy.hooks.create_hook_lora(lora={}, strength_model=1.0, strength_clip=0.0)
    hooks.hooks[0].weights = {world.lora: (torch.randn(model.model.state_dict()[world.lora].shape),)}
    with torch.inference_mode():
        positive = comfy.hooks.set_hooks_for_conditioning(encode(clip, world.prompt, "test"), hooks)
        hooked = tiny.sample(model, positive, encode(clip, "", "test"), steps=3,
                             latent={"samples": torch.zeros(world.size)})
    assert hooked.isfinite().all() and not torch.equal(hooked, _draw(world))


def test_a_second_pass_at_one_and_a_half_times_the_size(world: World) -> None:
    side = world.size[-1] * 3 // 2
    larger = torch.nn.functional.interpolate(_draw(world), size=(side, side), mode="bilinear")
    again = _draw(world, latent={"samples": larger}, denoise=0.5)
    assert again.shape == (*world.size[:2], side, side) and again.isfinite().all()


def test_painting_a_part_anew_leaves_the_rest(world: World) -> None:
    start, mask = _draw(world), torch.zeros(1, 1, *world.size[-2:])
    mask[..., world.size[-1] // 2:] = 1
    again = _draw(world, text=world.other, latent={"samples": start, "noise_mask": mask})
    left = slice(0, world.size[-1] // 2)
    assert torch.allclose(again[..., left], start[..., left], atol=1e-4)
    assert not torch.allclose(again[..., world.size[-1] // 2:], start[..., world.size[-1] // 2:], atol=0.1)


@pytest.mark.parametrize("unknown, known", [(("fox", "vase"), "a red circle"), (("vase", "bridge"), "a cat")],
                         ids=WORLDS)
def test_unknown_words_are_one_neutral_row_and_named(unknown: tuple[str, str], known: str,
                                                     request: pytest.FixtureRequest,
                                                     caplog: pytest.LogCaptureFixture) -> None:
    choice = request.node.callspec.id
    with torch.inference_mode():
        clip = demo_model.load_demo_model(choice)[1]
        first, second = (_rows(clip, word) for word in unknown)
        assert torch.equal(first, second)
        AttnDirEncode.execute(clip, f"{known} and a {unknown[0]}")
        assert f'does not know "{unknown[0]}"' in caplog.text
        with pytest.raises(ValueError, match="the demo model knows none of these words; use words such as \"a "):
            AttnDirEncode.execute(clip, f"a photo of a {unknown[0]}")
        take_prompt(clip, encode(clip, "", "test"), "test")


def _rows(clip: Any, word: str) -> torch.Tensor:
    """The embedding of a word's first token."""
    (chunks,) = clip.tokenize(word).values()
    encoder = getattr(clip.cond_stage_model, clip.cond_stage_model.clip).transformer
    tokens = [token for token, *_ in chunks[0]]
    return encoder.get_input_embeddings().weight[tokens[1] if tokens[0] == 49406 else tokens[0]]
