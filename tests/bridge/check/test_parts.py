"""The parts of a check that judge: looking, the search, detectors, the sampling of a model, and a person's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.sd
import folder_paths
import pytest
import tiny_joint
import torch
from attention_director.bridge.check import detectors, run, sweep
from attention_director.bridge.check.case import Check, rows_of
from attention_director.bridge.check.detectors import Detector, boxes, detector, iou
from attention_director.bridge.check.loading import clip_type_of, load
from attention_director.bridge.check.looking import likeness
from attention_director.bridge.check.regions import compared, verdict_of
from attention_director.bridge.check.sampling import DEMOS, OF_A_FLOW, TEMPLATES, sampling_of
from attention_director.bridge.check.scenes import EVERYDAY, SHAPES, STORYBOOK, scenes_for
from attention_director.bridge.errors import DirectorError
from attention_director.bridge.regions.presets import pasted_options
from attention_director.bridge.text.known_words import GRAMMAR, known_words_of
from safetensors.torch import save_file
from studios import few, models, request
from text_encoders import text_encoder


def test_what_the_demo_model_draws_where_it_was_asked_is_seen_there() -> None:
    """Directed pictures land better by the undirected model's own eye."""
    with torch.inference_mode():
        studio, tools = run.begin(request("UNet"))
        row = compared(studio, tools, tools.scenes.layouts[0], 1, 7)
    assert row.numbers["landing"] > 0.7 and row.numbers["landing"] > row.numbers["plain_landing"] + 0.2
    assert [shot.caption.rpartition(": ")[2] for shot in row.shots] == ["plain", "directed"]


def test_likeness_is_of_the_heroes_alone() -> None:
    """Two pictures whose heroes are one and whose grounds differ, and the other way round."""
    torch.manual_seed(0)
    hero, ground = torch.randn(2, 8, 1, 1), torch.randn(2, 8, 1, 1)
    area = torch.zeros(2, 12, 12, dtype=torch.bool)
    area[:, 3:8, 3:8] = True

    def picture(inside: torch.Tensor, outside: torch.Tensor) -> torch.Tensor:
        return torch.where(area[:, None], inside, outside) + 0.01 * torch.randn(2, 8, 12, 12)

    same = picture(hero[:1].expand(2, -1, -1, -1), ground)
    other = picture(hero, ground[:1].expand(2, -1, -1, -1))
    assert likeness([same], [other], area) > 0.9 > 0.6 > likeness([other], [same], area)


@pytest.mark.usefixtures("one_of_each")
@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_a_predictor_is_trained_where_time_was_given_for_it(name: str) -> None:
    """On pictures of the model's own, and then asked how near a drawing came."""
    with torch.inference_mode():
        studio, tools = run.begin(request(name, train_minutes=0.01))
        row, = rows_of(next(check for check in run.CHECKS if check.name == "SketchGuidance"), studio, tools)
    assert row.verdict in ("works", "fails"), row.says
    assert {"agreement", "plain_agreement", "seconds_a_step"} <= set(row.numbers) and len(tools.drawn) == 1


def test_prompts_are_of_words_that_the_model_knows() -> None:
    assert scenes_for(models("sd15")[1]) is EVERYDAY
    for name, scenes in (("UNet", SHAPES), ("transformer", STORYBOOK)):
        clip = models(name)[1]
        assert scenes_for(clip) is scenes
        known = known_words_of(clip)
        assert known is not None
        words = {word for text in scenes.texts() for word in text.replace(",", " ").split()}
        assert words <= known.words | GRAMMAR, words - known.words


@pytest.mark.parametrize("scenes", [EVERYDAY, STORYBOOK, SHAPES], ids=["everyday", "storybook", "shapes"])
def test_every_named_thing_is_in_its_prompt(scenes: Any) -> None:
    assert len(scenes.layouts) == 6 and len(scenes.edits) == 4 and len(scenes.story.scenes) == 3
    for layout in scenes.layouts:
        assert all(thing.phrase in layout.text and thing.mask.any() for thing in layout.things)
        assert not (sum(thing.mask for thing in layout.things) > 1).any(), "boxes that do not overlap"
    assert all(edit.before in edit.source and edit.after in edit.target for edit in scenes.edits)
    assert all(scenes.story.subject in scene for scene in scenes.story.scenes)
    assert scenes.person.word in scenes.person.portrait and scenes.person.word in scenes.person.scene


def test_a_model_is_sampled_as_its_template_does() -> None:
    for name, kind in (("sdxl", "SDXL"), ("flux-dev", "Flux"), ("zimage", "ZImage")):
        assert sampling_of(models(name)[0], None) is TEMPLATES[kind]
    assert sampling_of(*models("transformer")[:2]) is DEMOS["FluxSchnell"]
    assert sampling_of(*models("UNet")[:2]) is DEMOS["DemoUnet"]
    wished = OF_A_FLOW.changed("Node", side=515, steps=4, cfg=0.0, sampler="", scheduler="beta")
    assert (wished.side, wished.steps, wished.cfg, wished.sampler, wished.scheduler) == (512, 4, 4.0, "euler", "beta")
    with pytest.raises(DirectorError, match='there is no sampler "best"'):
        OF_A_FLOW.changed("Node", sampler="best")


def search(monkeypatch: pytest.MonkeyPatch, landings: dict[str, float], strange: str = "") -> list[Any]:
    """A sweep in which one setting after another lands as told. strange: one whose pictures are."""
    def seen(studio: Any, layout: Any, values: Any) -> tuple[float, float]:
        lines = [] if values is None else [f"{name} {value:g}" for name, value in values.items()]
        return 0.2 + sum(landings.get(line, 0.0) for line in lines), 9.0 if strange in lines else 1.0

    monkeypatch.setattr(sweep, "seen", seen)
    with torch.inference_mode():
        studio, tools = run.begin(request("flux"))
        tools.scenes = few()
        return list(rows_of(Check(sweep.NAME, 1.0, sweep.cases, sweep.sum_up), studio, tools))


def test_the_search_finds_what_lands_best_and_tells_it_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    *_, whole = search(monkeypatch, {"margin 4": 0.1, "margin 12": 0.3, "end_percent 0.8": -0.1,
                                     "self_strength 0.3": 0.005})
    assert whole.paste.splitlines() == ["# landed best on this model: 50%, strong 20%", "margin: 12"]
    assert pasted_options("Node", whole.paste).joint.rule.margin == 12


def test_the_search_passes_by_what_ruins_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    *_, whole = search(monkeypatch, {"margin 12": 0.5}, strange="margin 12")
    assert not whole.paste and "keep it" in whole.says


def test_the_search_tries_real_settings() -> None:
    """On random weights: whatever it finds, it is text that the node takes."""
    with torch.inference_mode():
        studio, tools = run.begin(request("sd15"))
        tools.scenes = few()
        rows = list(rows_of(Check(sweep.NAME, 1.0, sweep.cases, sweep.sum_up), studio, tools))
    assert {row.verdict for row in rows} == {"told"} and len(rows) > 8
    for row in rows:
        assert not row.paste or pasted_options("Node", row.paste)


def test_a_detectors_boxes() -> None:
    assert iou((0, 0, 1, 1), (0, 0, 1, 0.5)) == 0.5 and iou((0, 0, 0.4, 1), (0.5, 0, 1, 1)) == 0.0
    found = [{"x": 16.0, "y": 8.0, "width": 32.0, "height": 16.0, "label": "cat", "score": 0.9}]
    assert list(boxes(found, torch.zeros(1, 32, 64, 3))) == [(0.25, 0.25, 0.75, 0.75)]


def test_a_detector_is_asked_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's own file lists decide; what it says comes into the row."""
    right = Detector("RT-DETR", lambda picture, thing: [thing.box])
    files = {"diffusion_models": ["flux1-dev.safetensors", "rtdetr_v4-x.safetensors"], "checkpoints": ["sam3.pt"]}
    monkeypatch.setattr(folder_paths, "get_filename_list", lambda folder: files[folder])
    monkeypatch.setattr(folder_paths, "get_full_path_or_raise", lambda folder, file: f"{folder}/{file}")
    loaded: list[str] = []
    monkeypatch.setitem(detectors.LOADERS, "RT-DETR", lambda path: loaded.append(path) or right)
    with torch.inference_mode():
        studio, tools = run.begin(request("sd15"))
        row = compared(studio, tools, EVERYDAY.layouts[0], 1, 7)
        compared(studio, tools, EVERYDAY.layouts[1], 2, 7)
    assert loaded == ["diffusion_models/rtdetr_v4-x.safetensors"], "loaded once"
    assert row.numbers["detector_iou"] == pytest.approx(1.0) and "RT-DETR sees 2 of 2 in their boxes" in row.says


def test_the_hosts_detector_is_called_as_it_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    """RT-DETR's own node on a network that always sees the same cat."""
    import comfy.model_management

    class Network(torch.nn.Module):
        def forward(self, image: torch.Tensor, size: tuple[int, int]) -> list[dict[str, torch.Tensor]]:
            assert image.shape == (1, 3, 640, 640) and size == (64, 32)
            return [{"scores": torch.tensor([0.9, 0.8]), "labels": torch.tensor([15, 16]),
                     "boxes": torch.tensor([[0.0, 0.0, 32.0, 32.0], [32.0, 0.0, 64.0, 32.0]])}]

    model = type("Model", (), {"model": type("Inner", (), {"diffusion_model": Network()})()})()
    monkeypatch.setattr(comfy.sd, "load_diffusion_model", lambda path: model)
    monkeypatch.setattr(comfy.model_management, "load_model_gpu", lambda model: None)
    cat = EVERYDAY.layouts[0].things[0]
    assert detectors.rt_detr("x").find(torch.zeros(1, 32, 64, 3), cat) == [(0.0, 0.0, 0.5, 1.0)]


def test_a_detector_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"diffusion_models": [], "checkpoints": ["sam3.safetensors"]}
    monkeypatch.setattr(folder_paths, "get_filename_list", lambda folder: files[folder])
    monkeypatch.setattr(folder_paths, "get_full_path_or_raise", lambda folder, file: "/nowhere/sam3.safetensors")
    found, without = detector()
    assert found is None and without == "SAM 3 is there and could not be loaded"
    assert verdict_of((found, without), EVERYDAY.layouts[0], (), {}) == f"; {without}"
    assert verdict_of((None, ""), EVERYDAY.layouts[0], (), {}) == ""


def test_a_diffusion_model_is_loaded_with_the_clip_type_of_its_name(tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """The host detects the transformer and the VAE from their files."""
    weights = {f"model.diffusion_model.{name}": value.clone()
               for name, value in models("transformer")[0].model.diffusion_model.state_dict().items()}
    save_file(weights, tmp_path / "model.safetensors")
    own = tiny_joint.vae("flux").first_stage_model.state_dict()
    save_file({name: value.clone() for name, value in own.items()}, tmp_path / "vae.safetensors")
    asked: list[Any] = []
    monkeypatch.setattr(comfy.sd, "load_clip", lambda paths, folder, kind: asked.append((paths, kind))
                        or text_encoder("flux"))
    clip = tmp_path / "clip.safetensors"
    model, text, vae = load(tmp_path / "model.safetensors", [clip], tmp_path / "vae.safetensors")
    assert type(model.model.model_config).__name__ == "FluxSchnell" and text is text_encoder("flux") and vae
    assert asked == [([str(clip)], comfy.sd.CLIPType.FLUX)]


def test_kinds_of_text_encoders() -> None:
    kinds = comfy.sd.CLIPType
    found = {name: clip_type_of(models(name)[0]) for name in ("sdxl", "flux-2", "chroma", "zimage")}
    assert found == {"sdxl": kinds.STABLE_DIFFUSION, "flux-2": kinds.FLUX2, "chroma": kinds.CHROMA,
                     "zimage": kinds.LUMINA2}
    assert clip_type_of(models("sdxl")[0], "sd3") is kinds.SD3
    with pytest.raises(DirectorError, match='there is no clip type "best"'):
        clip_type_of(models("sdxl")[0], "best")


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "not a model.safetensors"
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(DirectorError, match="the model cannot be loaded") as refused:
        load(path)
    assert str(tmp_path) not in str(refused.value)
