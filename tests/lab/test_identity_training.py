"""The identity trainer: its losses, its pictures, and that what it writes is what it trained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random

import cv2
import numpy as np
import pytest
import torch
from identity import train as trainer
from identity.losses import WatchedAttention, half_masked, localisation, shrunk
from identity.patterns import nearest
from identity.records import creature_record, creature_scene, folder_records
from identity.store import reference_crop
from identity.tower import TINY, build_tower, tower_vectors
from world.oracle import look
from world.render import render
from world.scene import CREATURE, sample_coat

ROOT = Path(__file__).resolve().parents[2]


def test_localisation_is_the_papers_formula() -> None:
    torch.manual_seed(0)
    a, m = torch.rand(2, 3, 5, dtype=torch.float64), (torch.rand(2, 5) > 0.5).double()
    terms = []
    for i in range(2):
        for h in range(3):
            outside = sum(float(a[i, h, p] * (1 - m[i, p])) for p in range(5)) / (float((1 - m[i]).sum()) + 1e-5)
            inside = sum(float(a[i, h, p] * m[i, p]) for p in range(5)) / (float(m[i].sum()) + 1e-5)
            terms.append(outside - inside)
    assert float(localisation(a, m)) == pytest.approx(sum(terms) / len(terms), abs=1e-12)


def test_only_the_middle_groups_are_watched() -> None:
    watched = WatchedAttention(7, 64, torch.tensor([1]), torch.tensor([3]))
    for pixels, keys in ((64, 7), (16, 7), (16, 16), (4, 7)):
        q, k = torch.randn(2, pixels, 8), torch.randn(2, keys, 8)
        out = watched(None, q, k, k, 2)
        wanted = torch.nn.functional.scaled_dot_product_attention(*(x.unflatten(-1, (2, -1)).transpose(1, 2)
                                                                    for x in (q, k, k)))
        torch.testing.assert_close(out, wanted.transpose(1, 2).flatten(2), rtol=0, atol=1e-5)
    assert [tuple(a.shape) for a in watched.seen] == [(1, 2, 16), (1, 2, 4)]
    assert shrunk(torch.ones(1, 8, 8), 16).shape == (1, 16)


def test_half_of_the_batches_count_subjects_only() -> None:
    error = torch.ones(2, 4, 2, 2)
    union = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    assert torch.equal(half_masked(error, union, False), error)
    masked = half_masked(error, union, True)
    assert masked[0].sum() == 4 and masked[1].sum() == 16  # a picture without a subject counts whole


def test_the_tower_in_training_is_the_hosts() -> None:
    torch.manual_seed(0)
    tower, pixels = build_tower(TINY), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(tower_vectors(tower, pixels), tower(pixel_values=pixels)[2], rtol=1e-4, atol=1e-4)


def test_the_tower_learns_to_name_coats_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from identity import tower

    monkeypatch.setattr(tower, "COATS", 8)
    monkeypatch.setattr(tower, "STEPS", 2)
    monkeypatch.setattr(tower, "BATCH", 4)
    weights = tower.naming_tower(tmp_path, 0, torch.device("cpu"))
    assert (tmp_path / "tower.pt").exists() and not (tmp_path / "tower-state.pt").exists()
    build_tower(TINY).load_state_dict(weights)
    again = tower.naming_tower(tmp_path, 0, torch.device("cpu"))
    assert all(torch.equal(weights[k], again[k]) for k in weights)


def test_creature_records_link_phrases_to_masks() -> None:
    for index in range(20):
        record = creature_record(0, index)
        assert record.caption.split().count(CREATURE) + record.caption.count(f"{CREATURE},") >= len(record.phrases) > 0
        assert record.phrases == tuple(f"creature#{n}" for n in range(1, len(record.phrases) + 1))
        assert record.masks.any(axis=(1, 2)).all() and record.masks.shape[1:] == record.picture.shape[:2]


def test_a_reference_is_cut_to_the_subject() -> None:
    picture, mask = np.full((64, 64, 3), 9, np.uint8), np.zeros((64, 64), bool)
    picture[20:40, 10:20], mask[20:40, 10:20] = 200, True
    crop = reference_crop(picture, mask, 20)
    assert crop.shape == (20, 20, 4) and (crop[:, 5:15, 3] == 255).all() and (crop[:, 5:15, :3] == 200).all()
    assert (crop[:, :5] == 0).all() and (crop[:, 15:] == 0).all()


def test_the_oracle_knows_creatures_by_their_coats() -> None:
    right = total = 0
    for number in range(12):
        rng = Random(f"oracle/{number}")
        scene = creature_scene(rng, 1 + number % 2, 0)
        picture, _ = render(scene)
        strangers = [sample_coat(rng) for _ in range(19)]
        for found in look(picture).objects:
            thing = min(scene.things, key=lambda t, f=found: abs(t.x - f.x) + abs(t.y - f.y))
            right += nearest(picture, found, [thing.coat, *strangers]) == 0
            total += 1
    assert total == 18 and right >= 17


def folder_of_pictures(folder: Path, lines: int = 4) -> Path:
    entries = []
    for index in range(lines):
        record = creature_record(5, index)
        cv2.imwrite(str(folder / f"{index}.png"), record.picture[..., ::-1])
        subjects = []
        for phrase, mask in zip(record.phrases, record.masks, strict=True):
            name = f"{index}-{phrase.replace('#', '-')}.png"
            cv2.imwrite(str(folder / name), mask.astype(np.uint8) * 255)
            subjects.append({"phrase": phrase, "mask": name})
        entries.append({"image": f"{index}.png", "caption": record.caption, "subjects": subjects})
    path = folder / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, entries)), encoding="utf-8")
    return path


def test_a_folder_of_pictures_is_read_as_written(tmp_path: Path) -> None:
    for index, record in enumerate(folder_records(folder_of_pictures(tmp_path), 128)):
        wanted = creature_record(5, index)
        assert np.array_equal(record.picture, wanted.picture) and np.array_equal(record.masks, wanted.masks)
        assert (record.caption, record.phrases) == (wanted.caption, wanted.phrases)
    (tmp_path / "out.jsonl").write_text('{"image": "../x.png", "caption": "a cat"}')
    with pytest.raises(SystemExit, match="lies outside"):
        list(folder_records(tmp_path / "out.jsonl", 64))


def small_training(folder: Path, *more: str) -> list[str]:
    """A tower without training, so that the rest is quick."""
    folder.mkdir(exist_ok=True)
    if not (folder / "tower.pt").exists():
        torch.manual_seed(0)
        torch.save(build_tower(TINY).state_dict(), folder / "tower.pt")
    return ["--folder", str(folder), "--out", str(folder / "adapter.safetensors"), "--pictures", "6", "--batch", "2",
            "--preview-every", "0", "--rank", "4", *more]


def tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(str(path))


def test_a_cut_training_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from world import training

    monkeypatch.setattr(trainer, "SAVE_EVERY", 1)
    trainer.main(small_training(tmp_path / "whole", "--steps", "3"))
    real = training.seed_step
    steps: list[int] = []

    def cut(seed: int, step: int) -> None:
        steps.append(step)
        if steps == [0, 1]:
            raise KeyboardInterrupt
        real(seed, step)

    monkeypatch.setattr(training, "seed_step", cut)
    with pytest.raises(KeyboardInterrupt):
        trainer.main(small_training(tmp_path / "cut", "--steps", "3"))
    trainer.main(small_training(tmp_path / "cut", "--steps", "3"))
    assert steps == [0, 1, 1, 2]
    whole, again = (tensors(tmp_path / name / "adapter.safetensors") for name in ("whole", "cut"))
    assert whole.keys() == again.keys() and all(torch.equal(whole[k], again[k]) for k in whole)


def test_a_training_begins_with_what_another_learnt(tmp_path: Path) -> None:
    trainer.main(small_training(tmp_path / "first", "--steps", "2"))
    state = next((tmp_path / "first").glob("identity-*.pt"))
    more = ("--steps", "1", "--learning-rate", "0", "--seed", "1", "--from", str(state))
    trainer.main(small_training(tmp_path / "second", *more))
    first, second = (tensors(tmp_path / name / "adapter.safetensors") for name in ("first", "second"))
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("more", [(), ("--rank", "0")], ids=["low rank", "whole UNet"])
def test_the_file_written_is_the_network_trained(tmp_path: Path, more: tuple[str, ...]) -> None:
    """The host's patched model predicts what the trainer's own UNet predicts."""
    import argparse

    from attention_director.bridge.identity.adapter import load_adapter
    from attention_director.bridge.identity.vision import squared
    from attention_director.bridge.identity.weights import with_unet
    from identity.creatures import join

    line = small_training(tmp_path / "a", "--steps", "1", *more)
    arguments = trainer.arguments_of(argparse.ArgumentParser(), line)
    base, store, student = trainer.prepare(arguments, join())
    with torch.no_grad():
        for name, parameter in student.trained.items():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))
    path = trainer.write_adapter(tmp_path / "x.safetensors", base[0], student, student.state_dict(), arguments, 1)
    adapter, report = load_adapter("test", path)
    assert "unexpected: none" in report
    model = with_unet("test", base[0], adapter, 1.0)
    model.patch_model()
    x, t = torch.randn(1, 4, 16, 16), torch.tensor([500.0])
    context = store.context[:1].float()
    with torch.inference_mode():
        got = model.model.diffusion_model(x, t, context)
        plain_out = student.unet(x, t, context)
        torch.testing.assert_close(got, plain_out, rtol=0, atol=5e-2 * float(plain_out.std()))
        picture = torch.rand(1, 64, 64, 3)
        vector = tower_vectors(student.tower, squared(picture, 64))
        word = context[0, 3:4]
        torch.testing.assert_close(adapter.fuse(word, vector), student.fuse(word, vector), rtol=0, atol=2e-2)
    model.unpatch_model()


def test_two_processes_train_as_one_crew(tmp_path: Path) -> None:
    """As `accelerate launch` or torchrun starts them: their gradients are averaged, one of them writes."""
    folder = tmp_path / "pair"
    line = small_training(folder, "--steps", "2")
    common = {**os.environ, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29617",
              "OMP_NUM_THREADS": "1"}
    # The weights' digest, so that both can be compared; otherwise what the script does itself.
    code = ("import hashlib, sys; sys.path.insert(0, sys.argv.pop(1)); from identity.train import main; "
            "values = main(sys.argv[1:]); print('digest', hashlib.sha256(b''.join("
            "v.numpy().tobytes() for v in values.values())).hexdigest())")
    crew = [subprocess.Popen([sys.executable, "-c", code, str(ROOT / "lab"), *line], text=True,
                             env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)}, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT) for rank in range(2)]
    said = [process.communicate(timeout=500)[0] for process in crew]
    assert [process.returncode for process in crew] == [0, 0], said
    digests = {out.rpartition("digest ")[2].split()[0] for out in said}
    assert len(digests) == 1, said
    assert "wrote" in said[0] and "wrote" not in said[1]
    pair = tensors(folder / "adapter.safetensors")
    alone = tmp_path / "alone"
    trainer.main(small_training(alone, "--steps", "2"))
    single = tensors(alone / "adapter.safetensors")
    assert pair.keys() == single.keys() and any(not torch.equal(pair[k], single[k]) for k in pair)
