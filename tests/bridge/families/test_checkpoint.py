"""One name for one checkpoint, whatever is patched on it."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import comfy.model_management
import pytest
import tiny
import torch
from attention_director.bridge.families.checkpoint import family, fingerprint


def test_every_checkpoint_has_its_own() -> None:
    names = [fingerprint(tiny.model(*which)) for which in (("sd15", 0), ("sd15", 1), ("sd2", 0), ("sdxl", 0))]
    assert len(set(names)) == 4 and all(len(name) == 16 for name in names)
    assert names[0] == fingerprint(tiny.model("sd15", 0))


@pytest.mark.parametrize("name,expected", [("sd15", "SD1.5"), ("sd2", "SD2"), ("sdxl", "SDXL")])
def test_families(name: str, expected: str) -> None:
    assert family(tiny.model(name)) == expected


def test_clones_and_loras_keep_the_name() -> None:
    model = tiny.model("sd15", 2)
    name, patched = fingerprint(model), model.clone()
    weights = {key: value for key, value in model.model.state_dict().items() if key.startswith("diffusion_model.")}
    patched.add_patches({key: ("diff", (torch.ones_like(value),)) for key, value in weights.items()}, 0.5)
    assert fingerprint(patched) == fingerprint(model.clone()) == name
    comfy.model_management.load_models_gpu([patched])
    try:
        key = "diffusion_model.out.2.weight"
        assert not torch.equal(patched.model.state_dict()[key], weights[key]) or patched.backup
        assert fingerprint(patched) == fingerprint(model) == name
    finally:
        patched.unpatch_model()
    assert fingerprint(model) == name


def test_precision_does_not_change_the_name() -> None:
    """A half-precision file, loaded in each of the usual precisions."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(40, 50), torch.nn.Conv2d(4, 8, 3)).half()

    def at(dtype: torch.dtype) -> str:
        return fingerprint(SimpleNamespace(model=SimpleNamespace(diffusion_model=copy.deepcopy(network).to(dtype))))

    assert at(torch.float16) == at(torch.float32) == at(torch.bfloat16)
    before = at(torch.float32)
    with torch.no_grad():
        network[1].weight.mul_(1.1)
    assert at(torch.float32) != before
