"""Training the storybook world: data, losses, courses that go on, and every part once at toy size."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from storybook.atlas import read_atlas
from storybook.caption import training_caption
from storybook.cast import WITH_LOOKS
from storybook.course import Budget, Clock, Course, Log
from storybook.data import LAYOUTS, Batch, Order, TrainingSet, chunks, encode, make_chunk, portraits
from storybook.parts import SHARES, main, run
from storybook.render import Renderer
from storybook.scene import Scenes
from storybook.sizes import MODELS, TINY, Sizes
from storybook.train_models import begin_with, hidden_matrices, reading_loss, schedule
from storybook.words import PARTS, words
from storybook.workshop import ASKED_FOR, Workshop

ATLAS = read_atlas()
CPU = torch.device("cpu")


@pytest.fixture()
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log", Clock())


@pytest.mark.parametrize("model", MODELS)
def test_a_chunk_is_the_scenes_of_its_numbers_and_their_captions(model: str) -> None:
    made = make_chunk(Order(model, 3, 10, 14, 2))
    assert made["rows"].shape == made["parts"].shape == (2, 4, LAYOUTS[model].length)
    scenes, rng = Scenes(ATLAS, 3).some(10, 14), Random("3/captions/10")
    first = words(LAYOUTS[model]).encode([training_caption(scene, rng) for scene in scenes])[0]
    assert np.array_equal(made["rows"][0], first)
    for b, scene in enumerate(scenes):
        assert made["sprite"][b, :len(scene.things)].tolist() == [thing.sprite for thing in scene.things]
        assert made["group"][b, :len(scene.things)].tolist() == list(scene.parts)


def test_workers_make_what_the_process_itself_would() -> None:
    orders = [Order("unet", 0, start, start + 3, 1) for start in (0, 3, 6)]
    with chunks(orders, 2) as ahead, chunks(orders, 0) as own:
        for a, b in zip(ahead, own, strict=True):
            assert set(a) == set(b) and all(np.array_equal(a[name], b[name]) for name in a)


def training_set(model: str, log: Log, count: int = 6) -> TrainingSet:
    orders = [Order(model, 0, 0, count, 1)]
    with chunks(orders, 0) as made:
        return encode(model, TINY.new_vae(model), Renderer(ATLAS, CPU), orders, made, Clock(), math.inf, log)


def test_masks_and_tokens_say_where_each_part_is(log: Log) -> None:
    data = training_set("transformer", log)
    masks = data.masks(torch.arange(6))
    assert masks.shape == (6, PARTS, 32, 32)
    for b, scene in enumerate(Scenes(ATLAS, 0).some(0, 6)):
        there = [i for i in range(4) if masks[b, i].any()]
        assert there == sorted(set(scene.parts))
        assert torch.allclose(masks[b].sum(0), torch.ones(32, 32), atol=0.02)
    torch.manual_seed(0)
    batch = data.batch(200)
    empty = (batch.rows == data.empty).all(1)
    assert 0.03 < empty.float().mean() < 0.2 and not batch.tokens[empty].any()
    assert (batch.tokens[~empty].amax(1).sum(1) >= 1).all() and batch.tokens.sum(-1).max() == 1


def test_a_referenced_batch_shows_somebody_who_is_in_the_picture(log: Log) -> None:
    looks = 4
    data = training_set("transformer", log, 12)
    assert not data.batch(5, referenced=True).reference  # without portraits there are none
    rows = torch.full((len(ATLAS),), -1)
    people = sorted({thing.sprite for scene in Scenes(ATLAS, 0).some(0, 12) for thing in scene.things
                     if thing.phrase in WITH_LOOKS})[:looks]
    rows[people] = torch.arange(len(people))
    portraits = torch.arange(float(len(people))).half().view(-1, 1, 1, 1, 1).expand(-1, 3, 16, 16, 16)
    data = replace(data, portraits=portraits, portrait_of=rows)
    torch.manual_seed(0)
    batch = data.batch(64, referenced=True)
    assert batch.reference is not None and batch.reference.shape == (64, 16, 16, 16)
    here = [{thing.sprite for thing in scene.things} for scene in Scenes(ATLAS, 0).some(0, 12)]
    for latents, reference in zip(batch.latents, batch.reference, strict=True):
        number = int((data.latents.float() - latents).abs().flatten(1).amax(1).argmin())
        assert people[int(reference[0, 0, 0])] in here[number]
    assert len(batch.reference[:, 0, 0, 0].unique()) == len(people)


def test_portraits_are_of_those_who_are_trained_on() -> None:
    latents, rows = portraits(TINY.new_vae("transformer"), Renderer(ATLAS, CPU), 0, 1)
    trained = [sprite for word in WITH_LOOKS for sprite in ATLAS.looks(word, "trained")]
    assert latents.shape == (len(trained), 1, 16, 16, 16) and latents.isfinite().all()
    assert sorted(rows[rows >= 0].tolist()) == list(range(len(trained)))
    assert all((rows[sprite] >= 0) == (sprite in trained) for sprite in range(len(ATLAS)))


def test_muon_trains_attention_and_feed_forward_alone() -> None:
    for model in MODELS:
        net = TINY.new_pair(model)
        hidden = {id(value) for value in hidden_matrices(net)}
        names = {name for name, value in net.named_parameters() if id(value) in hidden}
        assert any(name.startswith("text.") for name in names) and any(name.startswith("model.") for name in names)
        others = ("mod.", "modulation", "embed", "shared", "bias", "norm", "time", "final", "_in.")
        assert not [name for name in names if any(word in name for word in others)]


@pytest.mark.parametrize("model", MODELS)
def test_a_warm_up_says_where_a_step_spends_its_time(model: str, tmp_path: Path, log: Log) -> None:
    run(Workshop(tmp_path, model, CPU, TINY, Clock(), log), ("warm",))
    profile = (tmp_path / f"profile-{model}.txt").read_text()
    assert "aten::" in profile and "Self CPU" in profile


def test_encoding_stops_when_its_seconds_are_over(log: Log) -> None:
    orders = [Order("unet", 0, start, start + 1, 1) for start in range(3)]
    with chunks(orders, 0) as made:
        data = encode("unet", TINY.new_vae("unet"), Renderer(ATLAS, CPU), orders, made, Clock(), 0.0, log)
    assert len(data) == 1 == data.rows.shape[1]


def test_reading_where_a_thing_is_costs_nothing_and_elsewhere_much() -> None:
    tokens = torch.zeros(1, 8, PARTS)
    tokens[0, 1, 0] = tokens[0, 3, 1] = 1
    masks = torch.zeros(1, PARTS, 32, 32)
    masks[0, 0, :16], masks[0, 1, 16:] = 1, 1
    batch = Batch(torch.zeros(1), torch.zeros(1), tokens, masks)
    right = torch.zeros(1, 256, PARTS)
    right[0, :128, 0], right[0, 128:, 1] = 1, 1
    wrong = right.flip(1)
    assert float(reading_loss([right], batch)) < 1e-3 < 2 < float(reading_loss([wrong], batch))
    unnamed = right.clone()
    unnamed[..., 2:] = 0.7  # parts that no token names do not count
    assert torch.equal(reading_loss([unnamed], batch), reading_loss([right], batch))
    assert float(reading_loss([], batch)) == 0


def test_the_schedule_is_stable_diffusions() -> None:
    import comfy.model_sampling

    host = comfy.model_sampling.ModelSamplingDiscrete().sigmas
    alphas = schedule()
    assert torch.allclose(((1 - alphas) / alphas).sqrt(), host, rtol=1e-4)


@pytest.mark.parametrize("steps, seconds", [(100, math.inf), (10**9, 50.0)])
def test_the_rate_warms_up_holds_and_falls(steps: int, seconds: float) -> None:
    budget = Budget(steps, seconds, peak=1e-3, flat=0.3)
    rates = [budget.rate(step, step / 100) for step in range(100)]
    assert rates[0] < 2e-4 or steps > 100
    assert budget.rate(300, 0.2) == pytest.approx(1e-3, rel=0.01) and budget.rate(10**6, 1.0) < 2e-6
    assert all(b <= a for a, b in zip(rates[30:], rates[31:], strict=False)) or steps > 100


def line(folder: Path, log: Log, steps: int, stop_after: int = 10**9) -> tuple[Course, torch.Tensor]:
    """Learn a line for ``steps``, or be cut off before."""
    torch.manual_seed(4)
    net = torch.nn.Linear(3, 1)
    course = Course(folder, "line", net, Budget(steps, peak=0.05), log)
    for step in course:
        if step == stop_after:
            course.save()
            return course, net.weight.detach().clone()
        x = torch.randn(16, 3)
        course.learn((net(x)[:, 0] - x.sum(1)).square().mean())
    return course, net.weight.detach().clone()


def test_a_course_that_was_cut_off_ends_where_an_unbroken_one_does(tmp_path: Path, log: Log) -> None:
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    _, whole = line(tmp_path / "whole", log, 60)
    line(tmp_path / "cut", log, 60, stop_after=25)
    course, resumed = line(tmp_path / "cut", log, 60)
    assert course.step == 60 and torch.equal(whole, resumed)
    weights = course.finish()
    assert not course.state_file.exists() and course.file.exists()
    assert torch.equal(weights["weight"], course.average[0]) and (weights["weight"] - 1).abs().max() < 0.2


def test_a_course_ends_after_its_seconds_and_counts_those_before_a_stop(tmp_path: Path, log: Log) -> None:
    course = Course(tmp_path, "timed", torch.nn.Linear(1, 1), Budget(10**9, 1000.0), log)
    course.spent = 999.0  # of a thousand
    course.save()
    again = Course(tmp_path, "timed", torch.nn.Linear(1, 1), Budget(10**9, 1.0), log)
    assert again.done == pytest.approx(0.999)
    assert list(Course(tmp_path, "timed", torch.nn.Linear(1, 1), Budget(10**9, 0.0), log)) == []


def test_begin_with_takes_what_fits(log: Log) -> None:
    net = torch.nn.Linear(2, 3)
    bias = net.bias.detach().clone()
    begin_with(net, {"weight": torch.ones(3, 2), "bias": torch.ones(7), "other": torch.ones(1)}, log)
    assert torch.equal(net.weight, torch.ones(3, 2)) and torch.equal(net.bias, bias)


def test_full_size_models_fit_their_files() -> None:
    """Parameters alone, by the bytes that storage.py gives them."""
    with torch.device("meta"):
        bytes_of = {}
        for model in MODELS:
            pair, vae = Sizes().new_pair(model), Sizes().new_vae(model)
            bytes_of[model] = 2 * sum(p.numel() for p in vae.parameters()) + sum(
                p.numel() * (1 if model == "transformer" and p.ndim == 2 else 2) for p in pair.parameters())
    assert max(bytes_of.values()) < 31.8e6, bytes_of


def test_every_part_runs_at_toy_size_and_what_is_there_is_not_made_again(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--model", "transformer", "--tiny", "--part", "all", "--folder", str(tmp_path)])
    made = {path.name for path in tmp_path.iterdir()}
    assert {"vae-transformer.safetensors", "latents-transformer.pt", "transformer.safetensors", "look-transformer.png",
            "storybook_transformer.safetensors", "oracle.safetensors", "measure.json",
            "gate-transformer.json", "gate-transformer.jpg", "training-transformer.log"} <= made
    assert not any(name.endswith((".state", ".partial")) for name in made)
    assert set(json.loads((tmp_path / "measure.json").read_text())) == {"oracle_render", "oracle_vae_transformer",
                                                                      "looks"}
    row = json.loads((tmp_path / "gate-transformer.json").read_text())
    assert row["model"] == "transformer" and row["n"] == TINY.gate and 0 <= row["one"] <= 1
    said = capsys.readouterr().out
    assert all(f"{part} took" in said for part in SHARES if part not in ASKED_FOR)
    assert not any(f"{part} took" in said for part in ASKED_FOR)
    main(["--model", "transformer", "--tiny", "--part", "all", "--folder", str(tmp_path)])
    assert "took" not in capsys.readouterr().out


def test_the_unet_goes_on_from_a_file_and_keeps_its_vae(tmp_path: Path, log: Log) -> None:
    from safetensors.torch import load_file

    first = Workshop(tmp_path / "first", "unet", CPU, TINY, Clock(), log)
    run(first, ("vae", "latents", "model", "file"))
    second = Workshop(tmp_path / "second", "unet", CPU, TINY, Clock(5.0), log, begin=first.file("file"))
    run(second, ("vae", "latents", "model", "file"))
    vaes = [load_file(str(shop.file("vae"))) for shop in (first, second)]
    assert all(torch.allclose(vaes[0][key], vaes[1][key], atol=2e-3) for key in vaes[0])
    assert "begun with" in log.path.read_text()
