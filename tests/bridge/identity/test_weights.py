"""IdentityInject's UNet weights on tiny models: what they become, and when the host puts them on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import identity_files as files
import pytest
import tiny
import torch
from attention_director.bridge.errors import DirectorError
from scene import family

TEXT = "a red hat and a blue dog on the grass"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return files.adapter(tmp_path_factory.mktemp("adapter") / "a.safetensors")


def plain_weights(model: Any) -> dict[str, torch.Tensor]:
    """The UNet's own weights; an earlier run may have left its patches on until another model loads."""
    import comfy.model_management

    comfy.model_management.unload_all_models()
    return {k: v.clone() for k, v in model.model.diffusion_model.state_dict().items()}


def sampled_weights(model: Any) -> dict[str, torch.Tensor]:
    """The UNet's weights while a run has the patches on."""
    model.patch_model()
    found = {k: v.clone() for k, v in model.model.diffusion_model.state_dict().items()}
    model.unpatch_model()
    return found


def test_a_whole_unet_replaces_or_adds_its_difference(given: Any) -> None:
    model, clip, _ = family()
    own = plain_weights(model)
    theirs = tiny.model("sd15", 7).model.diffusion_model.state_dict()
    base = tiny.model("sd15", 9)
    for strength in (1.0, 0.25):
        out, _ = files.identity(model, clip, given, TEXT, strength_model=strength)
        got = sampled_weights(out)
        for name in own:
            torch.testing.assert_close(got[name], torch.lerp(own[name], theirs[name], strength), rtol=0, atol=1e-5)
        out, _ = files.identity(model, clip, given, TEXT, strength_model=strength, base_model=base)
        got = sampled_weights(out)
        there = base.model.diffusion_model.state_dict()
        for name in own:
            wanted = own[name] + strength * (theirs[name] - there[name])
            torch.testing.assert_close(got[name], wanted, rtol=0, atol=1e-5)
    after = plain_weights(model)
    assert all(torch.equal(own[k], after[k]) for k in own)


def test_low_rank_changes_are_added(tmp_path: Path) -> None:
    model, clip, _ = family()
    weights = files.published(unet=False) | files.low_rank(model)
    adapter = files.adapter(tmp_path / "a.safetensors", weights)
    own = plain_weights(model)
    got = sampled_weights(files.identity(model, clip, adapter, TEXT, strength_model=0.5)[0])
    changed = 0
    for name in own:
        stem = f"unet_lora.diffusion_model.{name.removesuffix('.weight')}"
        wanted = own[name]
        if f"{stem}.lora_up.weight" in weights:
            up, down = (weights[f"{stem}.lora_{w}.weight"].flatten(1) for w in ("up", "down"))
            wanted, changed = wanted + 0.5 * (up @ down).view_as(wanted), changed + 1
        torch.testing.assert_close(got[name], wanted, rtol=0, atol=1e-5)
    assert changed == len(files.low_rank(model)) // 2


def test_weights_are_patched_again_only_when_they_change(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another picture or prompt keeps the patched weights of the last run; another strength does not."""
    model, clip, negative = family()
    plain_weights(model)
    patched: list[str] = []
    own = type(model).patch_weight_to_device
    monkeypatch.setattr(type(model), "patch_weight_to_device",
                        lambda self, key, *a, **k: (patched.append(key), own(self, key, *a, **k))[1])

    def run(text: str, subjects: Any, **options: Any) -> torch.Tensor:
        patched.clear()
        return tiny.sample(*files.identity(model, clip, given, text, subjects, **options), negative)

    run(TEXT, files.subjects())
    assert patched
    warm = run("a blue dog and a red hat", files.subjects()[::-1])
    assert not patched
    run("a blue dog and a red hat", files.subjects()[::-1], strength_model=0.5)
    assert patched
    cold = run("a blue dog and a red hat", files.subjects()[::-1])
    assert patched and torch.equal(warm, cold)


def test_strength_model_zero_leaves_the_weights_alone(given: Any) -> None:
    model, clip, _ = family()
    out, _ = files.identity(model, clip, given, TEXT, strength_model=0.0)
    assert not out.patches and out is not model


@pytest.mark.parametrize("spoil, sentence", [
    (lambda w: w.pop("unet.conv_in.weight"), r"lacks unet\.conv_in\.weight"),
    (lambda w: w.update({"unet.odd.weight": torch.zeros(1)}), r"contains the unknown unet\.odd\.weight"),
    (lambda w: w.update({"unet.conv_in.weight": torch.zeros(3, 4, 3, 3)}), r"conv_in\.weight is \(3, 4, 3, 3\)")])
def test_a_unet_that_does_not_fit_is_refused_by_name(tmp_path: Path, spoil: Any, sentence: str) -> None:
    model, clip, _ = family()
    weights = files.published()
    spoil(weights)
    adapter = files.adapter(tmp_path / "a.safetensors", weights)
    with pytest.raises(DirectorError, match=sentence):
        files.identity(model, clip, adapter, TEXT)
    files.identity(model, clip, adapter, TEXT, strength_model=0.0)
