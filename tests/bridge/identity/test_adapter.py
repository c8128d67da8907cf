"""Adapter files: the published layout, wrong files, and pickles that want more than to be read."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import identity_files as files
import pytest
import tiny
import torch
from attention_director.bridge.errors import DirectorError
from attention_director.bridge.identity.adapter import load_adapter, published_unet_names
from attention_director.bridge.identity.vision import embed, squared, tower_config, tower_state

NODE = "AttnDirLoadAdapter"


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_the_published_layout_loads_whole(tmp_path: Path, suffix: str) -> None:
    weights = files.published()
    adapter, report = load_adapter(NODE, files.save(tmp_path / f"model.{suffix}", weights))
    assert adapter.width == tiny.WIDTH
    for name, value in adapter.fuse.state_dict().items():
        assert torch.equal(value, weights[f"postfuse_module.{name}"])
    for name, value in adapter.tower.model.state_dict().items():
        assert torch.equal(value, weights[f"image_encoder.{name}"].to(value.dtype)), name
    assert len(adapter.unet) == 684
    assert "unexpected: none" in report and "text_encoder (2), vae (1)" in report


def test_sd15_has_686_unet_tensors_and_the_report_names_those_that_lack(tmp_path: Path) -> None:
    names = published_unet_names()
    assert len(names) == 686
    unet = {f"unet.{name}": torch.zeros(1) for name in names}
    weights = files.published(unet=False) | unet | {"strange.thing": torch.zeros(2), "unet.odd": torch.zeros(1)}
    del weights["unet.conv_in.weight"]
    _, report = load_adapter(NODE, files.save(tmp_path / "a.safetensors", weights))
    assert "UNet: 685 of 686 tensors" in report
    assert report.endswith("missing: unet.conv_in.weight\nunexpected: strange.thing, unet.odd")


def test_a_clip_l_tower_has_transformers_names() -> None:
    """The published tower: 24 layers of 1024, 224 pixels, patches of 14, projected to 768."""
    config = {"vision_model.embeddings.class_embedding": (1024,), "visual_projection.weight": (768, 1024),
              "vision_model.embeddings.patch_embedding.weight": (1024, 3, 14, 14),
              "vision_model.embeddings.position_embedding.weight": (257, 1024),
              "vision_model.encoder.layers.0.mlp.fc1.weight": (4096, 1024)}
    shapes = {name: torch.empty(size, device="meta") for name, size in config.items()}
    shapes |= {f"vision_model.encoder.layers.{n}.layer_norm1.bias": torch.empty(0) for n in range(24)}
    found = tower_config(shapes)
    assert (found["num_hidden_layers"], found["num_attention_heads"], found["image_size"]) == (24, 16, 224)
    names = tower_state(found)
    # 16 tensors a layer, 3 embeddings, 2 norms of 2, 1 projection.
    assert len(names) == 24 * 16 + 3 + 4 + 1 and "vision_model.pre_layrnorm.weight" in names


@pytest.mark.parametrize("gone, sentence", [
    ("postfuse_module.mlp1.fc1.weight", r"lacks postfuse_module\.mlp1\.fc1\.weight, so the adapter is incomplete"),
    ("postfuse_module.layer_norm.weight", r"lacks postfuse_module\.layer_norm\.weight"),
    ("image_encoder.visual_projection.weight", r"lacks image_encoder\.visual_projection\.weight"),
    ("image_encoder.vision_model.post_layernorm.bias", r"lacks image_encoder\.vision_model\.post_layernorm\.bias")])
def test_what_lacks_is_named(tmp_path: Path, gone: str, sentence: str) -> None:
    weights = files.published(unet=False)
    del weights[gone]
    with pytest.raises(DirectorError, match=sentence):
        load_adapter(NODE, files.save(tmp_path / "a.safetensors", weights))


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    weights = files.published(unet=False)
    weights["postfuse_module.mlp1.fc1.weight"] = torch.zeros(32, 63)
    with pytest.raises(DirectorError, match=r"postfuse_module\.mlp1\.fc1\.weight is 32x63 instead of 32x64"):
        load_adapter(NODE, files.save(tmp_path / "a.safetensors", weights))
    weights = files.published(unet=False)
    weights["image_encoder.visual_projection.weight"] = torch.zeros(48, files.HIDDEN)
    with pytest.raises(DirectorError, match="has 48 outputs and the fuse module takes 32"):
        load_adapter(NODE, files.save(tmp_path / "b.safetensors", weights))


class Hostile:
    """Pickles to a call of ``os.mkdir``, which a loader that runs code would make."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_pickle_is_refused_and_never_run(tmp_path: Path, zipped: bool) -> None:
    trap = tmp_path / "run"
    weights = files.published(unet=False) | {"x": Hostile(trap)}
    torch.save(weights, tmp_path / "a.bin", _use_new_zipfile_serialization=zipped)
    with pytest.raises(DirectorError, match="contains more than weights"):
        load_adapter(NODE, tmp_path / "a.bin")
    assert not trap.exists()
    torch.load(tmp_path / "a.bin", weights_only=False)
    assert trap.exists()  # the trap was a real one


def test_a_pickle_of_the_old_kind_and_wrapped_states_load(tmp_path: Path) -> None:
    weights = files.published(unet=False)
    torch.save(weights, tmp_path / "old.bin", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": {f"module.{k}": v for k, v in weights.items()}, "step": 3}, tmp_path / "wrapped.pt")
    for name in ("old.bin", "wrapped.pt"):
        assert load_adapter(NODE, tmp_path / name)[0].width == tiny.WIDTH


def test_files_that_are_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.bin").write_text("a letter, no weights")
    (tmp_path / "text.safetensors").write_text("a letter, no weights")
    (tmp_path / "empty.bin").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "zip.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    for name in ("text.bin", "text.safetensors", "empty.bin", "zip.pt"):
        with pytest.raises(DirectorError, match=f'"{name}"'):
            load_adapter(NODE, tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(DirectorError, match="contains no named weights"):
        load_adapter(NODE, tmp_path / "list.pt")
    with pytest.raises(DirectorError, match="not a FastComposer adapter"):
        load_adapter(NODE, files.save(tmp_path / "lora.safetensors", {"lora_unet.x": torch.zeros(2)}))


def test_pictures_are_padded_with_black_to_a_square() -> None:
    tall = torch.ones(1, 32, 16, 3)
    got = squared(tall, 32)[0]
    mean, std = torch.tensor([0.48145466, 0.4578275, 0.40821073]), torch.tensor([0.26862954, 0.26130258, 0.27577711])
    white, black = (1 - mean) / std, -mean / std
    torch.testing.assert_close(got[:, 16, 16], white)
    torch.testing.assert_close(got[:, 16, 0], black)
    torch.testing.assert_close(got[:, 16, 31], black)
    assert squared(torch.rand(2, 33, 20, 4), 16).shape == (2, 3, 16, 16)


def test_embedding_is_the_hosts_own_without_normalisation(tmp_path: Path) -> None:
    adapter = files.adapter(tmp_path / "a.safetensors", files.published(unet=False))
    picture = files.picture()
    with torch.inference_mode():
        got = embed(adapter.tower, picture)
        wanted = adapter.tower.model(pixel_values=squared(picture, files.IMAGE))[2]
    assert torch.equal(got, wanted.float()) and got.shape == (1, tiny.WIDTH)
    assert not torch.allclose(got.norm(dim=-1), torch.ones(1), atol=1e-2)
