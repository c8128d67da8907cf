"""Anchors of transformers as things one keeps: in a run, in a file, in a new scene, and from pictures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_joint
import torch
from joint_stories import MODELS, generated, model_of, plain, sample, told_of
from safetensors.torch import load_file, save_file
from scene import assert_differs, assert_same
from stories import SCENES
from text_encoders import text_encoder

FULL: dict[str, Any] = dict(injection_start_percent=0.0, injection_end_percent=0.9, variety=0.0)
ANCHORS, NEW = "\n".join(SCENES.splitlines()[:2]), SCENES.splitlines()[2]
models = pytest.mark.parametrize("name", MODELS)


@pytest.fixture
def every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bank of every layer and noise level, which is all that a live run shares."""
    from attention_director.bridge.families.joint import JointNetwork

    halved: Any = JointNetwork.subject
    monkeypatch.setattr(JointNetwork, "subject", property(
        lambda self: replace(halved.fget(self), banked=frozenset(), apart=0.0)))


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path / "models"))
    monkeypatch.delitem(folder_paths.folder_names_and_paths, "subject_banks", raising=False)
    yield tmp_path
    folder_paths.folder_names_and_paths.pop("subject_banks", None)


def keep(name: str, text: str = ANCHORS, **extra: Any) -> tuple[Any, torch.Tensor]:
    """A bank in memory, and the samples of its run."""
    from attention_director.bridge.subject.bank_fill import bank_of_samples

    told = told_of(name, text, keep_bank=True, **FULL | extra)
    samples = generated(told, name)
    return bank_of_samples("node", model_of(name), {"samples": samples}), samples


def alone(name: str, bank: Any, text: str = NEW, **extra: Any) -> torch.Tensor:
    return generated(told_of(name, text, bank=bank, **FULL | extra), name)


@models
@pytest.mark.parametrize(("injection", "near"), [(0.0, 0.03), (0.8, 0.7)])
@pytest.mark.parametrize("mode", ["one-pass", "two-pass"])
def test_a_scene_from_a_bank_is_that_scene_with_its_anchors(name: str, mode: str, injection: float, near: float,
                                                            every_layer: None) -> None:
    """The third picture reads the same keys, at the same places, whether the anchors are there or kept.

    Up to half precision; with injection roughly, as what is kept was injected into by the other anchor.
    """
    options = FULL | dict(mode=mode, injection=injection)
    together = generated(told_of(name, **options), name)
    bank, samples = keep(name, **options)
    assert_same(samples, together[:2])
    told = told_of(name, NEW, bank=bank, **options)
    found, without = generated(told, name), plain(told, name)
    assert_differs(found, without, least=1e-3)
    assert float((found - together[2:]).abs().mean()) < near * float((without - together[2:]).abs().mean())


def test_a_bank_of_every_second_layer_shares_those() -> None:
    bank, _ = keep("lumina")
    kept = {name.split(".", 3)[3] for name in bank.tensors if name.startswith("key.")}
    assert kept == {"joint 0.0 joint", "joint 2.0 joint"}
    assert_differs(alone("lumina", bank), alone("lumina", bank, start_percent=0.0, end_percent=0.0), least=1e-3)


def test_noise_levels_near_each_other_are_kept_once() -> None:
    from attention_director.bridge.subject.bank_fill import bank_of_samples

    told = told_of("flux-dev", ANCHORS, keep_bank=True, mode="one-pass", **FULL)
    samples = generated(told, "flux-dev", steps=40)
    bank = bank_of_samples("node", model_of("flux-dev"), {"samples": samples})
    gaps = [b - a for a, b in zip(bank.progress, bank.progress[1:], strict=False)]
    assert 6 <= len(bank.progress) <= 11 and min(gaps) >= 0.09


def test_a_bank_travels_by_file(folders: Path) -> None:
    from attention_director.bridge.subject.bank_files import read_bank, write_bank

    bank, _ = keep("flux-dev", subjects="red cat\na", separate_subjects=True)
    path = Path(write_bank("node", bank, "subject_banks/hero", "fp16"))
    loaded = read_bank("node", path.name)
    assert loaded.facts() == bank.facts() and set(loaded.tensors) == set(bank.tensors)
    assert all(torch.equal(loaded.tensors[n], bank.tensors[n]) for n in bank.tensors)
    both = dict(subjects="red cat\na", separate_subjects=True)
    assert torch.equal(alone("flux-dev", loaded, **both), alone("flux-dev", bank, **both))
    assert all(t.dtype in (torch.float16, torch.bool) for t in bank.tensors.values())


def test_a_file_that_does_not_fit_itself_is_refused(folders: Path) -> None:
    from attention_director.bridge.subject.bank_files import read_bank, write_bank

    bank, _ = keep("flux-dev")
    path = Path(write_bank("node", bank, "subject_banks/hero", "fp16"))
    tensors, facts = load_file(path), {"format": "attention_director.subject_bank", "version": "2",
                                       "bank": json.dumps(bank.facts())}
    key = next(name for name in tensors if name.startswith("key."))
    value, places = key.replace("key", "value", 1), f"places.{key.split('.')[1]}"
    cases = [("lacks what belongs to it", {n: t for n, t in tensors.items() if n != value}),
             ("lacks what belongs to it", {n: t for n, t in tensors.items() if n != places}),
             ("does not say where patches stand", tensors | {places: tensors[places][:, :5].contiguous()}),
             ("does not say where patches stand", tensors | {"feature_places": tensors["feature_places"].repeat(1, 2)}),
             ("rows, which does not fit", tensors | {key: tensors[key][:1].contiguous()}),
             ("rows, which does not fit", tensors | {places: tensors[places][:1].contiguous()}),
             ("rows, which does not fit", tensors | {value: tensors[value][:, :8].contiguous()}),
             ("its features lack their subjects", {n: t for n, t in tensors.items() if n != "feature_places"}),
             ("another kind", tensors | {places: tensors[places].int()})]
    for sentence, held in cases:
        save_file(held, path, metadata=facts)
        with pytest.raises(ValueError, match=f"node: .*{sentence}"):
            read_bank("node", path.name)


@pytest.mark.parametrize("what", ["key.", "value.", "features", "out."])
def test_a_bank_whose_layers_are_not_this_models_is_refused(what: str) -> None:
    bank, _ = keep("flux-dev")
    cut = {n: t[:, :8] for n, t in bank.tensors.items() if n.startswith(what) and "_" not in n}
    assert cut
    with pytest.raises(ValueError, match="^SharedSubjectAttention: the bank.* not fit this model.*; make it again"):
        alone("flux-dev", replace(bank, tensors={**bank.tensors, **cut}))


def test_a_bank_of_no_layer_of_the_model_is_refused() -> None:
    bank, _ = keep("flux-dev")
    other = {n: t for n, t in bank.tensors.items() if not n.startswith(("key.", "value."))}
    with pytest.raises(ValueError, match="the bank holds nothing of this model's layers; make it again"):
        alone("flux-dev", replace(bank, tensors=other))


@pytest.mark.parametrize("name", ["flux-dev", "zimage"])
def test_a_bank_works_at_another_size_and_behind_another_text(name: str) -> None:
    bank, _ = keep(name)
    latent = {"samples": torch.zeros(1, 16, 18, 14)}
    text = f"{NEW} and {'a tree and ' * 12}a red balloon"
    for mode in ("one-pass", "two-pass"):
        told = told_of(name, text, bank=bank, mode=mode, **FULL)
        found = sample(told.model, told.positive, latent, name)
        assert found.isfinite().all()
        assert_differs(found, sample(model_of(name), told.positive, latent, name), least=1e-3)


def test_a_bank_from_pictures_lies_on_the_models_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """One noise for all levels, x = (1 - sigma) x0 + sigma e, and both pictures' keys."""
    from attention_director.nodes.banks import AttnDirBankFromImages

    name, seen = "flux-dev", []
    model = model_of(name).clone()

    def look(apply_model: Any, arguments: dict) -> torch.Tensor:
        seen.append((float(arguments["timestep"][0]), arguments["input"][:2].clone()))
        return apply_model(arguments["input"], arguments["timestep"], **arguments["c"])

    model.set_model_unet_function_wrapper(look)
    pictures = torch.rand(2, 96, 96, 3, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        bank, psnr = AttnDirBankFromImages.execute(model, text_encoder(MODELS[name]), tiny_joint.vae(name), pictures,
                                                   "a red cat", "red cat", 5).args
    assert bank.photographs and bank.anchors == 2 and len(bank.progress) == 5 and psnr > 0
    (s, x), (t, y), (u, z) = seen[0], seen[1], seen[2]
    torch.testing.assert_close((y - x) / (t - s), (z - y) / (u - t), rtol=1e-3, atol=1e-4)
    assert_differs(alone(name, bank), alone(name, bank, strength=0.0), least=1e-3)
