"""Image to Noise and Example Image as the host calls them."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from attention_director.bridge.demo.examples import FOLDER, example_names
from attention_director.bridge.errors import DirectorError
from attention_director.nodes.example_image import AttnDirExampleImage
from attention_director.nodes.inversion import CHOICES, AttnDirInversion
from pictures import CAPTION, PlainVae, picture
from PIL import Image
from scene import encode, family


def execute(**changes):
    model, clip, _ = family()
    values = {"model": model, "clip": clip, "vae": PlainVae(), "image": picture(), "text": CAPTION, "method": "direct",
              "steps": 3, "scheduler": "normal"} | changes
    with torch.inference_mode():
        return AttnDirInversion.execute(**values).args


def test_it_takes_and_gives_what_was_promised() -> None:
    types = AttnDirInversion.INPUT_TYPES()
    found = {**types["required"], **types.get("optional", {})}
    assert list(found) == ["model", "clip", "vae", "image", "text", "method", "steps", "scheduler", "cfg", "seed"]
    assert set(found["text"][0].split(",")) == {"STRING", "CONDITIONING"}
    assert found["method"][1]["options"] == ["direct", "negative-prompt", "ddim", "null-text (slow)", "edit-friendly",
                                               "noise", "fireflow"]
    assert found["method"][1]["default"] == "direct" and found["scheduler"][1]["default"] == "normal"
    assert {k: found["steps"][1][k] for k in ("default", "min", "max")} == {"default": 30, "min": 2, "max": 1000}
    assert found["cfg"][1]["default"] == 7.5 and found["cfg"][1]["advanced"] and found["seed"][1]["advanced"]
    schema = AttnDirInversion.GET_SCHEMA()
    assert [(o.display_name, o.io_type) for o in schema.outputs] == [
        ("inversion", "ATTN_DIR_INVERSION"), ("reconstruction", "IMAGE"), ("psnr", "FLOAT"), ("latent", "LATENT"),
        ("steps", "INT"), ("scheduler", "*")]


@pytest.mark.parametrize("method", [method for method in CHOICES if method != "fireflow"])  # for flows alone
def test_its_outputs(method: str) -> None:
    inversion, reconstruction, psnr, latent, steps, scheduler = execute(method=method, cfg=3.0, steps=2)
    assert inversion.method == method.split(" ")[0] and inversion.text == CAPTION
    assert inversion.cfg == (3.0 if inversion.own_levels else 1.0)
    assert reconstruction.shape == (1, 128, 128, 3) and isinstance(psnr, float)
    assert latent["samples"].shape == (1, 4, 16, 16) and (steps, scheduler) == (2, "normal")


def test_a_sampler_takes_its_scheduler() -> None:
    from comfy_execution.validation import validate_node_input

    from nodes import KSampler

    given = AttnDirInversion.RETURN_TYPES[5]
    wanted = KSampler.INPUT_TYPES()["required"]["scheduler"][0]
    assert validate_node_input(given, wanted)


def test_the_caption_may_be_an_encoded_prompt() -> None:
    _, clip, _ = family()
    assert torch.equal(execute(text=encode(clip, CAPTION))[0].states, execute()[0].states)


def test_seed_and_cfg_count_where_they_should() -> None:
    direct = [execute(seed=seed, cfg=cfg)[0].states for seed, cfg in ((0, 7.5), (9, 2.0))]
    assert torch.equal(*direct)
    noisy = [execute(method="edit-friendly", seed=seed)[0].states for seed in (0, 0, 9)]
    assert torch.equal(noisy[0], noisy[1]) and not torch.equal(noisy[0], noisy[2])


PORTRAITS = ("a man in a meadow", "a woman on a beach")  # of the storybook's sprites


def test_example_pictures() -> None:
    names = example_names()
    assert len(names) == 7 and AttnDirExampleImage.INPUT_TYPES()["required"]["name"][1]["options"] == names
    for name in names:
        image, mask = AttnDirExampleImage.execute(name).args
        assert image.shape == (1, 128, 128, 3) and mask.shape == (1, 128, 128) and image.dtype == torch.float32
        assert float(image.min()) >= 0 and float(image.max()) <= 1 and image.std() > 0.05
        has_alpha = Image.open(FOLDER / f"{name}.png").mode == "RGBA"
        assert bool((mask == 1).all()) != has_alpha and set(mask.unique().tolist()) <= {0.0, 1.0}
        assert (FOLDER / f"{name}.png").stat().st_size < 15_000


@pytest.mark.parametrize("name", ["../tiny_world", "/etc/passwd", "", "a red circle on a white background.png", "*"])
def test_only_names_of_the_list(name: str) -> None:
    with pytest.raises(DirectorError, match="there is no picture"):
        AttnDirExampleImage.execute(name)


def test_they_are_the_renderers() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))
    from world.caption import plain_caption
    from world.examples import MAPS, SCENES, map_picture, picture

    assert sorted([*(plain_caption(scene) for scene, _ in SCENES), *MAPS, *PORTRAITS]) == example_names()
    for scene, with_alpha in SCENES:
        stored = np.asarray(Image.open(FOLDER / f"{plain_caption(scene)}.png"))
        assert np.abs(stored.astype(int) - picture(scene, with_alpha)).max() <= 1
    for name, scene in MAPS.items():
        stored = np.asarray(Image.open(FOLDER / f"{name}.png"))
        assert np.abs(stored.astype(int) - map_picture(scene)).max() <= 1
