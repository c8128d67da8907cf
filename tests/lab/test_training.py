"""Training stops and goes on: the weights are those of a training that never stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from world import feed, train_unet, train_vae, training
from world.checkpoint import read_checkpoint, write_checkpoint

CPU = torch.device("cpu")
SCENES = train_unet.Scenes(0)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_vae, "BATCH", 2)
    monkeypatch.setattr(train_unet, "BATCH", 2)


def _square(number: int) -> torch.Tensor:
    return torch.full((2,), float(number ** 2))


@pytest.mark.parametrize("cores", [2, 4])
def test_batches_made_ahead_come_in_turn(cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process where cores are few, in others where they are many."""
    monkeypatch.setattr(feed.engine, "cores", lambda: cores)
    assert [made[0] for made in feed.ahead(_square, range(3, 8))] == [9, 16, 25, 36, 49]


def test_a_cut_training_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = (train_vae.Stage(2, 0.05, 0.004, 0.1), train_vae.Stage(1, 0.01, 0.001, 0.1))
    monkeypatch.setattr(train_vae, "STAGES", stages)
    monkeypatch.setattr(train_vae, "SAVE_EVERY", 1)
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole = train_vae.train_vae(tmp_path / "whole", 0, CPU)
    steps: list[int] = []

    def cut_before_the_third(seed: int, step: int) -> None:
        steps.append(step)
        if steps == [0, 1, 2]:
            raise KeyboardInterrupt
        training.seed_step(seed, step)

    monkeypatch.setattr(train_vae, "seed_step", cut_before_the_third)
    with pytest.raises(KeyboardInterrupt):
        train_vae.train_vae(tmp_path / "cut", 0, CPU)
    again = train_vae.train_vae(tmp_path / "cut", 0, CPU)
    assert steps == [0, 1, 2, 2]
    assert all(torch.equal(whole[key], again[key]) for key in whole)


def pictures() -> train_unet.Pictures:
    chance = torch.Generator().manual_seed(0)
    latents = torch.randn(8, 4, 16, 16, generator=chance).half()
    return train_unet.Pictures(latents, torch.randint(0, 256, (8, 4, 16, 16), generator=chance).to(torch.uint8))


def test_a_finished_checkpoint_is_a_beginning(tmp_path: Path) -> None:
    """What was written half precise is read back by the trainers' names, and a training can start from it."""
    path = Path(__file__).resolve().parents[2] / "assets" / "tiny_world.safetensors"
    vae, weights = read_checkpoint(path)
    again = write_checkpoint(tmp_path / "again.safetensors", vae, weights, {})
    stored, written = load_file(path), load_file(again)
    assert stored.keys() == written.keys() and all(torch.equal(stored[k], written[k]) for k in stored)
    begun = train_unet.train_unet(tmp_path, pictures(), [1], SCENES, CPU, peak=0.0, begin=weights)
    assert all(torch.equal(begun[key], weights[key]) for key in weights)


def test_unet_goes_on_with_another_round(tmp_path: Path) -> None:
    first = {k: v.clone() for k, v in train_unet.train_unet(tmp_path, pictures(), [2], SCENES, CPU).items()}
    state = torch.load(tmp_path / "unet.pt", weights_only=True)
    second = train_unet.train_unet(tmp_path, pictures(), [2, 1], SCENES, CPU)
    assert state["step"] == 2 and torch.load(tmp_path / "unet.pt", weights_only=True)["step"] == 3
    assert any(not torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("step, rate", [(0, 3e-6), (199, 6e-4), (300, 3e-6), (499, 6e-4)])
def test_each_round_warms_up_anew(step: int, rate: float) -> None:
    assert train_unet.learning_rate_at(step, [300, 300]) == pytest.approx(rate)


def test_learning_rate_falls_to_a_hundredth() -> None:
    assert train_unet.learning_rate_at(9_999, [10_000]) == pytest.approx(6e-6, rel=1e-3)
    with pytest.raises(ValueError):
        train_unet.learning_rate_at(10_000, [10_000])
