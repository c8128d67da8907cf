"""Predictors: as files, and as what training makes of pictures."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import sketch_scene as s
import tiny
import torch
from safetensors.torch import save_file


@pytest.fixture
def folders(tmp_path: Path) -> Any:
    """The host's models and output folders, elsewhere."""
    import folder_paths

    before = folder_paths.models_dir, folder_paths.get_output_directory()
    folder_paths.models_dir = str(tmp_path / "models")
    folder_paths.set_output_directory(str(tmp_path / "output"))
    yield tmp_path
    folder_paths.models_dir = before[0]
    folder_paths.set_output_directory(before[1])
    folder_paths.folder_names_and_paths.pop("guidance_predictors", None)
    folder_paths.filename_list_cache.pop("guidance_predictors", None)


def answer(pred: Any) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    taps = [torch.randn(2, t.channels, 4, 4, generator=generator) for t in pred.taps.blocks]
    with torch.no_grad():
        return pred.network()(taps, torch.tensor([0.1, 0.9]), (8, 8))


@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_a_saved_predictor_comes_back(folders: Path, name: str) -> None:
    from attention_director.bridge.sketch.predictor import FILES, load_predictor
    from attention_director.nodes.predictor import AttnDirSavePredictor

    pred = dataclasses.replace(s.predictor(s.model(name)), steps=7)
    for number in (1, 2):
        AttnDirSavePredictor.execute(pred, "guidance_predictors/mine")
        file = f"mine_{number:05}_.safetensors"
        assert (folders / "output" / "guidance_predictors" / file).is_file() and file in FILES.names()
    again = load_predictor("mine_00001_.safetensors")
    facts = ("taps", "fingerprint", "family", "map_kind", "line_px", "steps", "law")
    assert all(getattr(again, f) == getattr(pred, f) for f in facts)
    torch.testing.assert_close(answer(again), answer(pred), rtol=0, atol=1e-2)
    statistics = [value for key, value in again.weights.items() if "running_var" in key or key == "sizes"]
    assert statistics and all(value.dtype == torch.float32 for value in statistics)


def test_paths_stay_in_the_folders(folders: Path) -> None:
    from attention_director.bridge.sketch.predictor import load_predictor, save_numbered

    (folders / "secret.safetensors").write_bytes(b"x")
    for name in ("../secret.safetensors", str(folders / "secret.safetensors"), "none.safetensors", "a.pt"):
        with pytest.raises(ValueError, match="is not in models/guidance_predictors"):
            load_predictor(name)
    with pytest.raises(ValueError, match="out of the output folder"):
        save_numbered(s.predictor(s.model()), "../../else/where")


def test_a_file_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    from attention_director.bridge.sketch.predictor import read_predictor, save_predictor

    good = save_predictor(s.predictor(s.model()), tmp_path / "good.safetensors")
    from safetensors import safe_open

    with safe_open(str(good), "pt") as file:
        metadata = file.metadata()
        tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    facts = json.loads(metadata["predictor"])
    wrong = {
        "other": (tensors, {"format": "pt"}),
        "taps": (tensors, metadata | {"predictor": json.dumps(facts | {"taps": facts["taps"][:3]})}),
        "kind": (tensors, metadata | {"predictor": json.dumps(facts | {"map_kind": "poems"})}),
        "facts": (tensors, metadata | {"predictor": "{"}),
        "weights": ({k: v for k, v in tensors.items() if k != "layers.1.weight"}, metadata),
    }
    for name, (held, facts) in wrong.items():
        path = tmp_path / f"{name}.safetensors"
        save_file(held, str(path), facts)
        with pytest.raises(ValueError, match=f"AttnDirLoadPredictor: {name}.safetensors is not a guidance predictor"):
            read_predictor(path)
    (tmp_path / "torn.safetensors").write_bytes(good.read_bytes()[:500])
    with pytest.raises(ValueError, match="torn.safetensors is not a guidance predictor"):
        read_predictor(tmp_path / "torn.safetensors")


@pytest.mark.parametrize("name, kind", [("demo_edges.safetensors", "edges"), ("demo_depth.safetensors", "map")])
def test_the_bundled_predictors_are_for_the_demo_model_and_small(name: str, kind: str) -> None:
    from attention_director.bridge.demo.model import load_demo_model
    from attention_director.bridge.files import ASSETS
    from attention_director.bridge.sketch.predictor import load_predictor, require_match

    pred = load_predictor(name)
    assert pred.map_kind == kind and (ASSETS / name).stat().st_size < 2e6
    with torch.inference_mode():
        model, _, _ = load_demo_model()
    require_match(pred, model, "test")
    with pytest.raises(ValueError, match="Train one for it"):
        require_match(pred, s.model("sdxl"), "test")


def pictures(count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Discs and their outlines: IMAGE [N, 64, 64, 3] twice."""
    axis = torch.arange(64) + 0.5
    discs, rings = [], []
    for n in range(count):
        distance = ((axis[:, None] - 20 - 5 * n) ** 2 + (axis[None] - 32) ** 2).sqrt()
        discs.append((distance < 15).float())
        rings.append(((distance - 15).abs() < 1.5).float())
    return tuple(torch.stack(x)[..., None].repeat(1, 1, 1, 3) for x in (discs, rings))  # type: ignore[return-value]


def train(steps: int = 3, **changes: Any) -> tuple:
    """The node as the host calls it: every input a list."""
    from attention_director.nodes.train_predictor import AttnDirTrainPredictor

    images, rings = pictures()
    given = dict(model=s.model(), clip=tiny.clip(), vae=s.Vae(), images=images, texts="a disc", steps=steps,
                 batch_size=4, learning_rate=1e-2, seed=3, maps=rings)
    given |= changes
    lists = {k: v if isinstance(v, list) else [v] for k, v in given.items() if v is not None}
    with torch.inference_mode():
        return AttnDirTrainPredictor.execute(**lists).args


@pytest.mark.parametrize("name", ["sd15", "sdxl"])
def test_training_lowers_the_loss_and_guides(name: str) -> None:
    from attention_director.bridge.families.unet_taps import taps_of

    pred, losses, preview = train(20, model=s.model(name), clip=tiny.clip(name))
    assert set(losses) == {"loss"} and len(losses["loss"]) == 20 and all(isinstance(v, float) for v in losses["loss"])
    assert sum(losses["loss"][-5:]) < 0.5 * sum(losses["loss"][:5])
    assert pred.taps == taps_of(s.model(name).model.diffusion_model) and pred.steps == 20 and pred.map_kind == "edges"
    assert preview.shape == (1, 4 * 64, 3 * 64, 3)
    assert s.sketch(s.model(name), pred=pred) is not s.model(name)


def test_the_same_seed_trains_the_same_and_the_model_stays_as_it_was() -> None:
    network = s.model().model.diffusion_model
    before = {k: v.clone() for k, v in network.state_dict().items()}
    (a, _, _), (b, _, _), (c, _, _) = train(), train(), train(seed=4)
    assert all(torch.equal(a.weights[k], b.weights[k]) for k in a.weights)
    assert any(not torch.equal(a.weights[k], c.weights[k]) for k in a.weights)
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert not any(m._forward_hooks for m in network.modules())


def test_going_on_begins_where_it_ended() -> None:
    pred, losses, _ = train(15)
    kept = {k: v.clone() for k, v in pred.weights.items()}
    more, further, _ = train(2, predictor=pred)
    assert more.steps == 17 and further["loss"][0] < losses["loss"][0]
    assert all(torch.equal(v, kept[k]) for k, v in pred.weights.items()), "the one given is not changed"


def test_an_interrupt_keeps_what_is_there() -> None:
    import comfy.model_management as management

    network = s.model().model.diffusion_model
    calls: list[int] = []

    def stop(*_: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            management.interrupt_current_processing(True)

    hook = network.register_forward_pre_hook(stop)
    try:
        pred, losses, _ = train(50)
    finally:
        hook.remove()
        management.interrupt_current_processing(False)
    assert len(losses["loss"]) == pred.steps == 2, "the step it fell into is dropped"
    management.interrupt_current_processing(True)
    with pytest.raises(management.InterruptProcessingException):
        train(5)


def test_edges_are_made_where_no_maps_are_given() -> None:
    from attention_director.bridge.sketch.edges import edges_of

    images, rings = pictures(2)
    found = edges_of(images, 0.1, 2, "test")
    assert found.shape == (2, 64, 64) and set(found.unique().tolist()) == {0.0, 1.0}
    near = torch.nn.functional.max_pool2d(rings[..., 0][:, None], 5, 1, 2)[:, 0]
    assert bool((found <= near).all()) and float(found.sum()) > 0.5 * float(rings[..., 0].sum())
    pred, _, _ = train(2, maps=None, edge_thickness=3)
    assert pred.line_px == 3 and pred.map_kind == "edges"


def test_maps_of_other_kinds_and_lists_of_images() -> None:
    """Smooth maps and areas are taken as they are; images and texts may come one by one, of several sizes."""
    images, rings = pictures()
    ramp = torch.linspace(0, 1, 64)[None, :, None, None].expand(6, 64, 64, 3)
    assert train(2, maps=ramp)[0].map_kind == "map"
    assert train(2, maps=1 - rings)[0].map_kind == "edges"
    assert 0 < images[..., 0].mean() < 0.25
    assert train(2, maps=images)[0].map_kind == train(2, maps=1 - images)[0].map_kind == "map"
    assert train(2, maps=images, maps_are="lines")[0].map_kind == "edges"
    one_by_one = [x[None] for x in images[:4]] + [images[4:, :48, :32]]
    texts = ["a disc"] * 5 + ["another disc " + "and more " * 60]
    pred, losses, _ = train(4, images=one_by_one, maps=None, texts=texts)
    assert len(losses["loss"]) == 4 and pred.steps == 4


def test_what_cannot_be_trained_is_refused_first() -> None:
    images, rings = pictures()
    for changes, message in (
            (dict(texts=["a", "b"]), "2 texts for 6 images; give one, or one per image"),
            (dict(maps=rings[:2]), "2 maps for 6 images"),
            (dict(predictor=s.predictor(s.model("sdxl"))), r"trained on SDXL .* this model is SD1.5"),
            (dict(learning_rate=1e30), "the loss is no longer a number; use a lower learning_rate"),
    ):
        with pytest.raises(ValueError, match=f"AttnDirTrainPredictor: .*{message}"):
            train(6, **changes)
    with pytest.raises(ValueError, match="sampled as a flow, unlike the one the predictor was trained on"):
        from comfy_extras.nodes_model_advanced import ModelSamplingSD3

        train(model=ModelSamplingSD3().patch(s.model(), 3.0)[0], predictor=s.predictor(s.model()))


def test_a_model_whose_timesteps_are_logarithms_can_be_trained_on() -> None:
    """CosXL's kind: its timesteps are no numbers from 0 to 999."""
    from comfy_extras.nodes_model_advanced import ModelSamplingContinuousEDM

    model = ModelSamplingContinuousEDM().patch(s.model(), "v_prediction", 120.0, 0.002)[0]
    pred, losses, _ = train(3, model=model)
    assert pred.steps == 3 and all(0 < loss < 1e6 for loss in losses["loss"])


def test_opencv_is_asked_for_only_where_edges_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cv2", None)
    train(1)
    with pytest.raises(ValueError, match="needs OpenCV, which is not installed"):
        train(1, maps=None)


def test_a_network_of_its_own_for_every_run() -> None:
    pred = s.predictor(s.model())
    with torch.inference_mode():
        held = dataclasses.replace(pred, weights={k: v.clone() for k, v in pred.weights.items()})
        a, b = held.network(), held.network()
    assert not any(p.is_inference() or p.requires_grad for p in a.parameters())
    assert not {p.data_ptr() for p in a.parameters()} & {p.data_ptr() for p in b.parameters()}
    assert not a.training


@pytest.mark.parametrize("go_on", [False, True])
def test_what_is_trained_elsewhere_can_be_trained(go_on: bool) -> None:
    """On a GPU the network is moved; in the host's inference mode that must not make it one of inference tensors."""
    from attention_director.bridge.sketch.train import _network

    model = s.model().clone()
    model.load_device = torch.device("meta")  # as far from the CPU as a GPU is
    pred = s.predictor(model)
    with torch.inference_mode():
        network = _network(pred.taps, model, 0, pred if go_on else None)
    for tensor in (*network.parameters(), *network.buffers()):
        assert tensor.device.type == "meta" and not tensor.is_inference()
    assert all(p.requires_grad for p in network.parameters())
