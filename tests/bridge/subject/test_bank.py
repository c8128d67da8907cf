"""Anchors as things one keeps: in a run, in a file, in a new scene, and from pictures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file
from scene import assert_differs, assert_same, family
from stories import SCENES, shared

FULL: dict[str, Any] = dict(injection_start_percent=0.0, injection_end_percent=0.9, query_blend=0.0, variety=0.0)
ANCHORS = "\n".join(SCENES.splitlines()[:2])
NEW = SCENES.splitlines()[2]
BAD_NAMES = ("__reduce__", "in.0.cond.", "in.0.else.a layer", "in.1000.cond.a layer", "out.0.two\nlines",
             "out.0." + "x" * 101, "subjects.0.12345")


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path / "models"))
    monkeypatch.delitem(folder_paths.folder_names_and_paths, "subject_banks", raising=False)
    yield tmp_path
    folder_paths.folder_names_and_paths.pop("subject_banks", None)


def keep(model: Any, clip: Any, negative: list, text: str = ANCHORS, **extra: Any) -> tuple[Any, torch.Tensor]:
    """A bank in memory, and the samples of its run."""
    from attention_director.bridge.subject.bank_fill import bank_of_samples

    told = shared(model, clip, text, keep_bank=True, **(FULL | extra))
    samples = tiny.sample(told.model, told.positive, negative, latent=told.latent)
    return bank_of_samples("node", model, {"samples": samples}), samples


def alone(model: Any, clip: Any, negative: list, bank: Any, text: str = NEW, **extra: Any) -> torch.Tensor:
    told = shared(model, clip, text, bank=bank, **(FULL | extra))
    return tiny.sample(told.model, told.positive, negative, latent=told.latent)


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
@pytest.mark.parametrize(("injection", "near"), [(0.0, 0.01), (0.8, 0.7)])
def test_a_scene_from_a_bank_is_that_scene_generated_with_its_anchors(name: str, injection: float, near: float) -> None:
    """Without dropout the third picture reads the same keys, whether the anchors are there or kept.

    Up to half precision; with injection only roughly, as its first pass reads the anchors of the second.
    """
    model, clip, negative = family(name)
    options = FULL | dict(injection=injection)
    told = shared(model, clip, **options)
    together = tiny.sample(told.model, told.positive, negative, latent=told.latent)
    bank, samples = keep(model, clip, negative, injection=injection)
    assert_same(samples, together[:2])
    new = shared(model, clip, NEW, bank=bank, **options)
    found = tiny.sample(new.model, new.positive, negative, latent=new.latent)
    plain = tiny.sample(model, new.positive, negative, latent=new.latent)
    assert_differs(found, plain, least=0.02)
    assert float((found - together[2:]).abs().mean()) < near * float((plain - together[2:]).abs().mean())


def test_recording_changes_nothing() -> None:
    model, clip, negative = family()
    _, samples = keep(model, clip, negative, SCENES)
    told = shared(model, clip, **FULL)
    assert torch.equal(samples, tiny.sample(told.model, told.positive, negative, latent=told.latent))


def test_a_bank_travels_by_file(folders: Path) -> None:
    from attention_director.bridge.families.unet import UNetNetwork
    from attention_director.nodes.banks import AttnDirLoadBank, AttnDirSaveBank

    model, clip, negative = family()
    bank, samples = keep(model, clip, negative)
    saved = AttnDirSaveBank.execute(model, "subject_banks/hero", "fp16", {"samples": samples}).args[0]
    AttnDirSaveBank.execute(model, "subject_banks/hero", "fp32", None, bank)
    files = sorted(p.name for p in (folders / "output" / "subject_banks").iterdir())
    assert files == ["hero_00001_.safetensors", "hero_00002_.safetensors"]
    loaded, preview = AttnDirLoadBank.execute(files[0]).args
    assert loaded.facts() == saved.facts() == bank.facts()
    assert set(loaded.tensors) == set(bank.tensors) and preview.shape == (2, 128, 128, 3)
    assert all(torch.equal(loaded.tensors[n], bank.tensors[n]) for n in bank.tensors)
    assert torch.equal(alone(model, clip, negative, loaded), alone(model, clip, negative, bank))
    layers = UNetNetwork(model.model.diffusion_model, (16, 16)).subject.shares
    assert {f"in.0.cond.{layer}" for layer in layers} <= set(bank.tensors), "a layer's own name stands last"
    assert all(t.dtype in (torch.float16, torch.bool) and t.device.type == "cpu" for t in bank.tensors.values())


@pytest.mark.parametrize("prefix", ["../hero", "/elsewhere/hero"])
def test_a_bank_stays_in_the_output_folder(folders: Path, prefix: str) -> None:
    from attention_director.nodes.banks import AttnDirSaveBank

    model, clip, negative = family()
    bank, _ = keep(model, clip, negative)
    with pytest.raises(Exception, match="output"):
        AttnDirSaveBank.execute(model, prefix, "fp16", None, bank)
    assert not list(folders.parent.glob("hero*"))


def test_a_file_that_is_no_bank_is_refused(folders: Path) -> None:
    from attention_director.bridge.subject.bank_files import read_bank, write_bank

    model, clip, negative = family()
    bank, _ = keep(model, clip, negative)
    path = Path(write_bank("node", bank, "subject_banks/hero", "fp16"))
    tensors, facts = load_file(path), {"format": "attention_director.subject_bank", "version": "2",
                                       "bank": json.dumps(bank.facts())}
    foreign = "contains tensors that do not belong in a subject bank"
    cases = [
        ("is not a subject bank", tensors, {"format": "other"}),
        ("has version 3", tensors, facts | {"version": "3"}),
        *((foreign, tensors | {name: torch.zeros(1, 1)}, facts) for name in BAD_NAMES),
        ("which does not belong there", tensors | {"in.99.cond.any layer": torch.zeros(1, 1)}, facts),
        ("cannot be read", tensors, facts | {"bank": "{"}),
        ("noise levels", tensors, facts | {"bank": json.dumps(bank.facts() | {"progress": [2.0]})}),
    ]
    for sentence, held, said in cases:
        save_file(held, path, metadata=said)
        with pytest.raises(ValueError, match=f"node: .*{sentence}"):
            read_bank("node", path.name)
    path.write_bytes(b"no safetensors")
    with pytest.raises(ValueError, match="cannot be read"):
        read_bank("node", path.name)
    for name in ("../hero.safetensors", "nobody.safetensors"):
        with pytest.raises(ValueError, match="is not in models/subject_banks"):
            read_bank("node", name)


def test_a_bank_of_another_model_or_schedule_is_refused() -> None:
    model, clip, negative = family()
    bank, _ = keep(model, clip, negative)
    with pytest.raises(ValueError, match="SharedSubjectAttention: the bank was made with another model"):
        shared(tiny.model("sd15", 1), clip, NEW, bank=bank)
    told = shared(model, clip, NEW, bank=bank)
    with pytest.raises(ValueError, match=r"\d+ of 20 steps are far from the bank's 3 noise levels"):
        tiny.sample(told.model, told.positive, negative, latent=told.latent, steps=20)


def test_other_steps_read_the_nearest_noise_level() -> None:
    model, clip, negative = family()
    told = shared(model, clip, ANCHORS, keep_bank=True, **FULL)
    samples = tiny.sample(told.model, told.positive, negative, latent=told.latent, steps=10)
    from attention_director.bridge.subject.bank_fill import bank_of_samples

    bank = bank_of_samples("node", model, {"samples": samples})
    new = shared(model, clip, NEW, bank=bank, **FULL)
    found = tiny.sample(new.model, new.positive, negative, latent=new.latent, steps=12)
    assert_differs(found, tiny.sample(model, new.positive, negative, latent=new.latent, steps=12), least=0.02)


@pytest.mark.parametrize("size", [(16, 24), (24, 20)])
def test_a_bank_works_at_another_size(size: tuple[int, int]) -> None:
    """Its keys are shared there, and its outputs injected."""
    model, clip, negative = family()
    bank, _ = keep(model, clip, negative)
    found = alone(model, clip, negative, bank, size=size)
    for without in (dict(start_percent=0.0, end_percent=0.0), dict(injection=0.0)):
        assert_differs(found, alone(model, clip, negative, bank, size=size, **without), least=0.02)


def test_a_bank_that_lacks_a_layer_or_a_negative_shares_the_rest() -> None:
    """Where another node made the layer unreadable in the bank's run, or left the negative out of a step."""
    model, clip, negative = family()
    bank, _ = keep(model, clip, negative)
    whole = alone(model, clip, negative, bank)
    nothing = alone(model, clip, negative, bank, start_percent=0.0, end_percent=0.0)
    layer = next(name for name in bank.tensors if name.startswith("in.0.cond."))
    for gone in ({layer}, {name for name in bank.tensors if name.startswith("in.0.uncond.")}):
        rest = {name: tensor for name, tensor in bank.tensors.items() if name not in gone}
        found = alone(model, clip, negative, replace(bank, tensors=rest))
        assert_differs(found, whole, least=1e-3)
        assert_differs(found, nothing, least=1e-3)


@pytest.mark.parametrize(("name", "shape"), [("in.0.{}.", (..., slice(3))), ("in.0.{}.", (slice(1),)),
                                             ("out.", (..., slice(3)))])
def test_a_bank_whose_layers_are_not_this_models_is_refused(name: str, shape: tuple) -> None:
    """Only the model knows how wide a layer is and which patches it has; the file fits itself."""
    model, clip, negative = family()
    bank, _ = keep(model, clip, negative)
    cut = {n: t[shape] for kind in ("cond", "uncond") for n, t in bank.tensors.items()
           if n.startswith(name.format(kind))}
    assert cut
    with pytest.raises(ValueError, match="^SharedSubjectAttention: the bank does not fit this model in .*; make it"):
        alone(model, clip, negative, replace(bank, tensors={**bank.tensors, **cut}))


def test_a_size_at_which_features_lie_elsewhere_is_refused() -> None:
    model, clip, negative = family()
    bank, _ = keep(model, clip, negative)
    with pytest.raises(ValueError, match="SharedSubjectAttention: the bank was made at a size"):
        alone(model, clip, negative, bank, size=(32, 32))


def test_noise_behind_the_anchors() -> None:
    """At the anchors' seed a new scene starts from the third picture's noise, not from an anchor's."""
    model, clip, negative = family()
    bank, _ = keep(model, clip, negative)
    assert shared(model, clip, NEW, bank=bank).latent["batch_index"] == [2]
    assert shared(model, clip, SCENES, bank=bank).latent["batch_index"] == [2, 3, 4]
    assert "batch_index" not in shared(model, clip).latent


def test_a_bank_from_pictures() -> None:
    from attention_director.bridge.demo.model import load_demo_model
    from attention_director.nodes.banks import AttnDirBankFromImages

    _, _, vae = load_demo_model()
    model, clip, negative = family()
    pictures = torch.rand(2, 128, 128, 3, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        bank, psnr = AttnDirBankFromImages.execute(model, clip, vae, pictures, "a red cat", "red cat", 7).args
    assert bank.photographs and bank.anchors == 2 and len(bank.progress) == 7 and psnr > 0
    found = alone(model, clip, negative, bank)
    assert_differs(found, alone(model, clip, negative, bank, strength=0.0), least=1e-3)
    with pytest.raises(ValueError, match="3 pictures; give one or two"):
        AttnDirBankFromImages.execute(model, clip, vae, pictures[:1].repeat(3, 1, 1, 1), "a red cat", "red cat", 6)


def test_pictures_need_every_step() -> None:
    from attention_director.bridge.demo.model import load_demo_model
    from attention_director.nodes.banks import AttnDirBankFromImages
    from comfy_extras.nodes_easycache import EasyCacheNode

    model, clip, _ = family()
    cached = EasyCacheNode.execute(model, 0.2, 0.0, 1.0, False).args[0]
    pictures = torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode(), pytest.raises(ValueError, match="AttnDirBankFromImages: .* bypass the cache"):
        AttnDirBankFromImages.execute(cached, clip, load_demo_model()[2], pictures, "a red cat", "red cat", 6)
