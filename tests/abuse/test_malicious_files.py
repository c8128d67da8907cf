"""Files that were made to run code, to eat memory or time, or that change under a loader's hands."""

from __future__ import annotations

import json
import os
import pickle
import time
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import identity_files
import pytest
import torch
from hostile import WAYS, Container, Entry, Marker, bank_file, framed, little_memory, refused
from scene import PROMPT, family
from test_loaders import LOADERS, adapter_file, load_adapter, load_bank, load_predictor, predictor_file

FUSE, TOWER = "postfuse_module.", "image_encoder.vision_model."


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("zipped", [True, False])
def test_no_pickle_runs_anything(tmp_path: Path, way: str, zipped: bool) -> None:
    """The same file without weights_only leaves its mark, so the mark is a real one."""
    mark, path = tmp_path / "mark", tmp_path / "evil.pt"
    torch.save({**identity_files.published(unet=False), "x": Marker(way, mark)}, path,
               _use_new_zipfile_serialization=zipped)
    assert "could run code, so it was not opened" in refused(lambda: load_adapter(path)) and not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()


def test_a_bare_pickle_runs_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    for suffix in ("bin", "pt", "pth", "ckpt", "safetensors"):
        path = tmp_path / f"evil.{suffix}"
        path.write_bytes(pickle.dumps(Marker("os", mark)))
        refused(lambda path=path: load_adapter(path))
        assert not mark.exists()


def endless(name: str, shape: list[int], dtype: str = "F32", data: bytes = b"\0") -> Container:
    """A whole adapter but for one tensor."""
    return Container({**adapter_file().entries, name: Entry(dtype, shape, data)})


MANY_LAYERS = {f"{TOWER}encoder.layers.{n}.x": Entry("F32", [0]) for n in range(15_000)}
GREEDY = {
    "wide norm": endless(FUSE + "layer_norm.weight", [40_000]),
    "norm of no bytes": endless(FUSE + "layer_norm.weight", [10**9, 0]),
    "fc1": endless(TOWER + "encoder.layers.0.mlp.fc1.weight", [10**9, 0]),
    "class": endless(TOWER + "embeddings.class_embedding", [10**9, 0]),
    "places": endless(TOWER + "embeddings.position_embedding.weight", [10**9, 0]),
    "no places": endless(TOWER + "embeddings.position_embedding.weight", [0, 64]),
    "odd places": endless(TOWER + "embeddings.position_embedding.weight", [12, 64]),
    "patch": endless(TOWER + "embeddings.patch_embedding.weight", [64, 3, 0, 0]),
    "patch of 1-D": endless(TOWER + "embeddings.patch_embedding.weight", [64]),
    "a number": endless(FUSE + "layer_norm.weight", []),
    "projection": endless("image_encoder.visual_projection.weight", []),
    "layers": Container({**adapter_file().entries, **MANY_LAYERS}),
    "layer x": endless(TOWER + "encoder.layers.x.y", [1]),
    "half a change": endless("unet_lora.b.lora_up.weight", [2, 2]),
    "a change of no rank": Container({**adapter_file().entries, "unet_lora.b.lora_up.weight": Entry("F32", [2, 0]),
                                      "unet_lora.b.lora_down.weight": Entry("F32", [0, 2])}),
    "not a number": endless("unet.x", [4], data=b"\0\0\xc0\x7f"),
    "endless number": endless(FUSE + "layer_norm.bias", [32], data=b"\0\0\x80\x7f"),
    "whole numbers": endless("unet.x", [4], "I64"),
}


@pytest.mark.parametrize("name", GREEDY)
def test_an_adapter_gets_no_memory_before_its_shapes_are_known(tmp_path: Path, name: str) -> None:
    path = GREEDY[name].write(tmp_path / "greedy.safetensors")
    begun = time.monotonic()
    with little_memory():
        refused(lambda: load_adapter(path))
    assert time.monotonic() - begun < 5


def spread(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.zeros(1).expand(shape)


STRANGE: dict[str, Callable[[], Any]] = {
    "one value spread": partial(spread, (10**9,)), "spread further": partial(spread, (10**5, 10**5)),
    "sparse": lambda: torch.sparse_coo_tensor(torch.zeros(1, 1).long(), torch.ones(1), (10**10,)),
    "meta": lambda: torch.empty(10**10, device="meta"),
    "quantised": lambda: torch.quantize_per_tensor(torch.ones(4), 1.0, 0, torch.qint8),
    "shared": lambda: torch.zeros(2000), "not a number": lambda: torch.full((4,), float("nan")),
}


def test_a_number_that_single_precision_cannot_say_is_refused(tmp_path: Path) -> None:
    weights = identity_files.published(unet=False)
    weights["postfuse_module.layer_norm.bias"] = torch.full_like(weights["postfuse_module.layer_norm.bias"], 1e300,
                                                                 dtype=torch.float64)
    path = identity_files.save(tmp_path / "double.safetensors", weights)
    assert '"postfuse_module.layer_norm.bias" has values that are not numbers' in refused(lambda: load_adapter(path))


def test_an_adapter_of_weights_beyond_all_measure_is_refused_by_what_uses_it(tmp_path: Path) -> None:
    """Each number of it is finite, and a picture would be black without a word."""
    weights = {name: torch.full_like(value, 3e38) if name.startswith("postfuse_module.mlp1.fc") else value
               for name, value in identity_files.published(unet=False).items()}
    adapter = identity_files.adapter(tmp_path / "huge.safetensors", weights)
    model, clip, _ = family()
    sentence = refused(lambda: identity_files.identity(model, clip, adapter, PROMPT))
    assert sentence == ('IdentityInject: "huge.safetensors" makes numbers without end of the words; it may be damaged, '
                        "get it again.")



@pytest.mark.parametrize("name", STRANGE)
def test_a_pickle_of_strange_tensors_is_refused(tmp_path: Path, name: str) -> None:
    from attention_director.bridge.identity.adapter import save_converted

    value = STRANGE[name]()
    # "shared": one storage under 3,000 names, which would be 3,000 of them once written out.
    more = {f"unet.{n}": value for n in range(3000 if name == "shared" else 1)}
    torch.save(identity_files.published(unet=False) | more, tmp_path / "strange.pt")
    with little_memory():
        refused(lambda: load_adapter(tmp_path / "strange.pt"))
        refused(lambda: save_converted("node", tmp_path / "strange.pt", tmp_path / "out.safetensors"))
    assert os.listdir(tmp_path) == ["strange.pt"]


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    torch.save({"unet.x": torch.zeros(100_000_000 // 4)}, tmp_path / "plain.pt")
    with zipfile.ZipFile(tmp_path / "plain.pt") as plain, \
            zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as bomb:
        for part in plain.infolist():
            bomb.writestr(part.filename, plain.read(part))
    assert (tmp_path / "bomb.pt").stat().st_size < 1_000_000
    with little_memory(50_000_000):
        assert "compressed" in refused(lambda: load_adapter(tmp_path / "bomb.pt"))


BANKS = {
    "10^9 anchors": {"anchors": 10**9}, "-3 anchors": {"anchors": -3}, "7 anchors": {"anchors": 7},
    "no anchors": {"anchors": 0}, "true anchors": {"anchors": True}, "endless seed": {"seed": float("inf")},
    "long progress": {"progress": [0.0, 10**400]}, "no level": {"progress": []},
    "NaN": {"progress": [float("nan"), 0.5]},
    "no subject": {"subjects": []}, "two subjects": {"subjects": ["cat", "dog"]},
}
NESTED = '{"anchors": ' + "[" * 50_000 + "]" * 50_000 + "}"


@pytest.mark.parametrize("name", BANKS)
def test_a_bank_whose_facts_lie_is_refused(tmp_path: Path, name: str) -> None:
    file = bank_file()
    file.metadata["bank"] = json.dumps(json.loads(file.metadata["bank"]) | BANKS[name])
    assert "cannot be read (" in refused(lambda: load_bank(file.write(tmp_path / "bank.safetensors")))


def test_a_bank_of_nested_or_endless_facts_is_refused(tmp_path: Path) -> None:
    file = bank_file()
    for text in (NESTED, " " * 2_000_000, "9" * 10_000):
        file.metadata["bank"] = text
        refused(lambda: load_bank(file.write(tmp_path / "bank.safetensors")))


@pytest.mark.parametrize(("name", "shape"), [
    ("preview", [2, 3, 8]), ("preview", [3, 3, 8, 8]), ("preview", [2, 1, 8, 8]), ("preview", [2, 40, 8, 8]),
    ("preview", [2, 3, 0, 8]), ("in.0.cond.layer", [5, 4]), ("in.0.uncond.layer", [3, 7]), ("out.1.layer", [1, 4]),
    ("features", [9, 4]), ("feature_subjects", [3, 2]), ("subjects.0.1", [3, 0])])
def test_a_bank_of_other_shapes_is_refused(tmp_path: Path, name: str, shape: list[int]) -> None:
    file = bank_file()
    file.entries[name] = Entry(file.entries[name].dtype, shape)
    refused(lambda: load_bank(file.write(tmp_path / "bank.safetensors")))


def entry(dtype: str = "F32", shape: tuple[int, ...] = (1,), offsets: tuple[int, int] = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


LIES = (b"", b"[]", b"null", b"[" * 100_000, *(json.dumps(header).encode() for header in (
    {"__metadata__": 3}, {"x": 3}, {"x": entry(shape=(2,))}, {"x": entry(shape=(-1,), offsets=(0, -4))},
    {"x": entry("C64", (), (0, 8))}, {"x": entry(), "y": entry()}, {"x" * 300: entry(shape=(0,), offsets=(0, 0))},
    {"x": entry(shape=(0,) * 10, offsets=(0, 0))})))


@pytest.mark.parametrize("header", LIES, ids=range(len(LIES)))
def test_a_header_that_lies_is_refused(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "lie.safetensors").write_bytes(framed(header, b"\0" * 4))
    for _, load, _ in LOADERS.values():
        refused(lambda load=load: load(tmp_path / "lie.safetensors"))
    (tmp_path / "long.safetensors").write_bytes(b"\xff" * 8 + header)
    assert "no safetensors file" in refused(lambda: load_bank(tmp_path / "long.safetensors"))


@pytest.mark.parametrize("choice", ["UNet", "transformer"])
def test_a_demo_model_that_was_cut_off_or_never_fetched_is_refused(tmp_path: Path, choice: str) -> None:
    """As a broken download leaves it, or a clone without large files."""
    from attention_director.bridge.demo.file import path_of, read

    whole = path_of(choice).read_bytes()
    for held in (b"", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", whole[:len(whole) // 2],
                 framed(b"{}", b"")):
        (tmp_path / "demo.safetensors").write_bytes(held)
        assert "install the pack again" in refused(lambda: read(str(tmp_path / "demo.safetensors")))


@pytest.mark.parametrize("kind", ["bank", "predictor", "adapter", "pickle"])
def test_what_was_loaded_does_not_change_with_its_file(tmp_path: Path, kind: str) -> None:
    """Overwritten in place by other bytes, then cut to nothing: a mapped file would now end the process."""
    path = tmp_path / f"file.{'pt' if kind == 'pickle' else 'safetensors'}"
    if kind == "pickle":
        torch.save(identity_files.published(unet=False) | {"unet.x": torch.randn(1000)}, path)
    else:
        LOADERS[kind][0]().write(path)
    kept = {"bank": load_bank, "predictor": load_predictor}.get(kind, load_adapter)(path)
    tensors = {"bank": lambda: kept.tensors, "predictor": lambda: kept.weights}.get(
        kind, lambda: {**kept.unet, **kept.low_rank, **kept.fuse.state_dict(), **kept.tower.model.state_dict()})()
    before = {name: value.clone() for name, value in tensors.items()}
    size = path.stat().st_size
    with open(path, "r+b") as file:
        file.write(b"\x11" * size)
        file.flush()
        assert all(torch.equal(value, tensors[name]) for name, value in before.items())
        file.truncate(0)
    assert all(torch.equal(value, tensors[name]) for name, value in before.items())


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    from attention_director.bridge.tensor_files import opened
    from attention_director.bridge.untrusted import Unreadable

    whole = predictor_file().packed()
    for change, why in ((lambda f: f.truncate(len(whole) // 2), "cut off"), (lambda f: f.write(b"\x11"), "changed")):
        path = tmp_path / "moving.safetensors"
        path.write_bytes(whole)
        os.utime(path, (1, 1))
        with pytest.raises(Unreadable, match=why), opened(path) as file, open(path, "r+b") as other:
            change(other)
            other.flush()
            file.read()


@pytest.mark.parametrize(("kind", "folder"), [("bank", "subject_banks"), ("predictor", "guidance_predictors"),
                                              ("adapter", "identity_adapters")])
def test_a_loader_notices_that_its_file_changed(folders: Path, kind: str, folder: str) -> None:
    from attention_director.nodes.banks import AttnDirLoadBank
    from attention_director.nodes.load_adapter import AttnDirLoadAdapter
    from attention_director.nodes.predictor import AttnDirLoadPredictor

    node = {"bank": AttnDirLoadBank, "predictor": AttnDirLoadPredictor, "adapter": AttnDirLoadAdapter}[kind]
    path = folders / "models" / folder / "mine.safetensors"
    seen = []
    for size in (100, 100, 200):  # the second is moved over the first, with its time; the third written into it
        fresh = path.with_name("fresh")
        fresh.write_bytes(b"\0" * size)
        os.utime(fresh, (1, 1))
        os.replace(fresh, path) if size == 100 else path.write_bytes(b"\0" * size)
        os.utime(path, (1, 1))
        seen.append(node.fingerprint_inputs(path.name))
        assert node.fingerprint_inputs(path.name) == seen[-1]
    assert len(set(map(str, seen))) == 3
