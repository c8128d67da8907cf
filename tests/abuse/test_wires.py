"""Linked numbers, pictures, masks and latents: a link passes by the widget's limits, whatever it brings."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import identity_files
import numpy as np
import pytest
import scene
import sketch_scene
import stories
import tiny
import torch
from hostile import refused, said

NO_NUMBERS: tuple[Any, ...] = (float("nan"), float("inf"), -float("inf"), -1e30, 10**400, -10**400, 10**5000)
PICTURE = torch.rand(1, 64, 64, 3)
EMPTY = {"samples": torch.zeros(1, 4, 8, 8)}


def given(tmp_path: Any) -> dict[str, dict[str, Any]]:
    """For each node with numbers: inputs with which it works."""
    model, clip, vae = tiny.model(), tiny.clip(), sketch_scene.Vae()
    predictor = sketch_scene.predictor(model)
    both = {"model": model, "clip": clip}
    return {
        "RegionPrompt": both | dict(text=scene.PROMPT, canvas="", width=512, height=512, strength=1.0,
                                    preset=scene.custom(), regions=scene.regions()),
        "AttnDirRegion": dict(phrase="hat", mask=scene.left(), strength=1.0),
        "AttnDirRegionsFromBoxes": dict(bboxes=[[0, 0, 1, 1]], phrases="hat", width=512, height=512, strength=1.0),
        "AttnDirSketch": dict(strokes="", width=64, height=64, line_width=4),
        "SketchGuidance": dict(model=model, vae=vae, predictor=predictor, image=sketch_scene.circle(),
                               strength=1.0, start_percent=0.0, end_percent=0.5, lines="auto", fit="crop"),
        "SharedSubjectAttention": both | dict(text=stories.SCENES, prefix="", suffix="", subjects=stories.SUBJECT,
                                              latent_image=EMPTY, anchors=2, strength=1.0, mode="two-pass",
                                              injection=0.8),
        "AttentionEdit": both | dict(text="a red cat", targets="a red dog", latent_image=EMPTY, edit="auto",
                                     reweight="", cross_end_percent=0.8, self_end_percent=0.4, blend_words="cat\ndog"),
        "IdentityInject": both | dict(adapter=identity_files.adapter(tmp_path / "a.safetensors",
                                                                     identity_files.published(unet=False)),
                                      text=scene.PROMPT, subjects=identity_files.subjects(), strength=1.0,
                                      start_percent=0.3, strength_model=1.0, localise=0.0),
        "AttnDirSubject": dict(phrase="hat", images=PICTURE, strength=1.0),
        "AttnDirRecord": dict(model=model, positive=scene.encode(clip, scene.PROMPT), phrases="hat"),
        "AttnDirInversion": both | dict(vae=vae, image=PICTURE, text="a cat", method="ddim", steps=2,
                                        scheduler="normal"),
        "AttnDirBankFromImages": both | dict(vae=vae, images=PICTURE, text="a cat", subjects="cat", steps=2),
        "AttnDirTrainPredictor": both | dict(vae=vae, images=PICTURE, texts="a disc", maps=PICTURE, steps=1,
                                             batch_size=1, learning_rate=1e-3, seed=0),
        "AttnDirSelfCheck": both | dict(vae=vae, minutes=1.0, sweep="off"),
    }


def node_of(name: str) -> Any:
    from attention_director.nodes import NODES

    return next(node for node in NODES if node.GET_SCHEMA().node_id == name)


def run(name: str, inputs: dict[str, Any]) -> Any:
    node = node_of(name)
    as_lists = bool(node.GET_SCHEMA().is_input_list)
    node.hidden = SimpleNamespace(unique_id="5", extra_pnginfo=None, prompt=None)
    with torch.inference_mode():
        return node.execute(**{k: [v] if as_lists else v for k, v in inputs.items()})


def numbers_of(name: str) -> list[str]:
    """Its inputs that are numbers; a seed may be any, and is the host's."""
    groups = node_of(name).GET_SCHEMA().inputs
    return [i.id for i in groups if i.get_io_type() in ("INT", "FLOAT") and i.id != "seed"]


WITH_NUMBERS = ("RegionPrompt", "AttnDirRegion", "AttnDirRegionsFromBoxes", "AttnDirSketch", "SketchGuidance",
                "SharedSubjectAttention", "AttentionEdit", "IdentityInject", "AttnDirSubject", "AttnDirRecord",
                "AttnDirInversion", "AttnDirBankFromImages", "AttnDirTrainPredictor", "AttnDirSelfCheck")


@pytest.mark.parametrize("kind", [float, int, np.float32, np.float64, np.int64, np.uint8])
def test_a_number_of_any_kind_is_one(kind: Any) -> None:
    """Other nodes compute with numpy."""
    assert run("AttnDirRegion", dict(phrase="hat", mask=scene.left(), strength=kind(1))).args[0][0].strength == 1.0


def test_every_node_with_numbers_is_looked_at() -> None:
    from attention_director.nodes import NODES

    assert {node.GET_SCHEMA().node_id for node in NODES if numbers_of(node.GET_SCHEMA().node_id)} - {
        "AttnDirReadout"} == set(WITH_NUMBERS), "Readout's only number is looked up among the recorded steps"


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_a_number_that_is_none_is_refused_by_the_node_that_meets_it(name: str, tmp_path: Any) -> None:
    inputs = given(tmp_path)[name]
    for number in numbers_of(name):
        for value in NO_NUMBERS:
            sentence = refused(lambda value=value, number=number: run(name, inputs | {number: value}))
            assert sentence.startswith(f"{name}: ") and len(sentence) < 220, (number, sentence)


@pytest.mark.parametrize("shape", [(0, 64, 64), (1, 0, 0), (0, 0, 0), (), (5,), (1, 1, 1, 8, 8), (0,), (1, 1, 8, 8),
                                   (8, 8)])
def test_masks_of_every_shape(shape: tuple[int, ...], tmp_path: Any) -> None:
    """Nothing found is an empty region; what is no mask is refused; the rest is one."""
    mask = torch.ones(shape)
    region = said(lambda: run("AttnDirRegion", dict(phrase="hat", mask=mask, strength=1.0)).args[0][0])
    assert isinstance(region, str) is (not 2 <= mask.ndim <= 4)
    assert isinstance(region, str) or (region.mask.ndim == 3 and region.has_place is bool(mask.numel()))
    guided = given(tmp_path)["SketchGuidance"] | {"mask": mask}
    assert isinstance(said(lambda: run("SketchGuidance", guided)), str) is (not 2 <= mask.ndim <= 4)
    said(lambda: run("AttnDirSubject", dict(phrase="hat", images=PICTURE, strength=1.0, mask=mask)))


NO_PICTURES = (torch.rand(1, 64, 64, 1), torch.rand(1, 64, 64, 2), torch.rand(0, 64, 64, 3), torch.rand(1, 0, 64, 3),
               torch.rand(64, 64), torch.full((1, 64, 64, 3), float("nan")), torch.full((1, 64, 64, 3), float("inf")))


@pytest.mark.parametrize(("name", "socket"), [
    ("SketchGuidance", "image"), ("AttnDirTrainPredictor", "images"), ("AttnDirTrainPredictor", "maps"),
    ("AttnDirInversion", "image"), ("AttnDirBankFromImages", "images"), ("AttnDirSubject", "images")])
def test_pictures_that_are_none_are_refused(name: str, socket: str, tmp_path: Any) -> None:
    inputs = given(tmp_path)[name]
    for picture in NO_PICTURES:
        if (name, picture.shape) != ("AttnDirSubject", (64, 64)):
            assert refused(lambda picture=picture: run(name, inputs | {socket: picture})).startswith(f"{name}: ")


def test_training_without_pictures_is_refused(tmp_path: Any) -> None:
    node = node_of("AttnDirTrainPredictor")
    inputs = {k: [v] for k, v in given(tmp_path)["AttnDirTrainPredictor"].items()} | {"images": [], "maps": []}
    assert "there are no images" in refused(lambda: node.execute(**inputs))


def test_a_latent_whose_list_of_numbers_is_empty_has_none(tmp_path: Any) -> None:
    inputs = given(tmp_path)["SharedSubjectAttention"]
    plain, empty = (run("SharedSubjectAttention", inputs | {"latent_image": EMPTY | more}).args[2]
                    for more in ({}, {"batch_index": []}))
    assert plain.get("batch_index") == empty.get("batch_index") or not empty["batch_index"]


@pytest.mark.parametrize("text", ["x" * 49_000, '"' * 3000, "half \ud83d", "a\nb\0c", '"' + "y" * 3000])
def test_a_refusal_quotes_little(text: str) -> None:
    from attention_director.bridge.errors import DirectorError

    model, clip, _ = scene.family()
    asks: tuple[Callable[[], Any], ...] = (
        lambda: scene.region_prompt(model, clip, parts=scene.regions((text, scene.left()))),
        lambda: stories.shared(model, clip, subjects=text),
        lambda: run("AttnDirRecord", dict(model=model, positive=scene.encode(clip, "a hat"), phrases=text)))
    for ask in asks:
        refused(ask)
    assert len(str(DirectorError("node", text * 3))) < 420
