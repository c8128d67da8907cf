"""Every loader, given files that are damaged or lie in any of the ways that can be drawn: read right, or refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import identity_files
import pytest
import sketch_scene
import torch
from hostile import BYTES, Container, Entry, bank_file, contained, said
from hypothesis import given
from hypothesis import strategies as st

HUGE = (0, 1, -1, -3, 7, 10**9, 10**18, 2**63, 10**400)
ODD: tuple[Any, ...] = (*HUGE, None, True, "", "x" * 100_000, 1.5, float("nan"), float("inf"), [], {}, [[]], "\ud83d",
                        "\0")
NAN = b"\0\x7e"  # in half precision


@cache
def predictor_file(family: str = "sd15") -> Container:
    from attention_director.bridge.sketch.predictor import FORMAT

    made = sketch_scene.predictor(sketch_scene.model(family))
    facts = {"taps": [[t.stage, t.block, t.channels] for t in made.taps.blocks], "patch": made.taps.patch,
             "law": made.law.name, "fingerprint": made.fingerprint, "family": made.family, "map_kind": made.map_kind,
             "line_px": made.line_px, "steps": made.steps}
    return contained(made.weights, {"attention_director": FORMAT, "predictor": json.dumps(facts)})


@cache
def adapter_file() -> Container:
    halves = {f"unet_lora.a.lora_{half}.weight": torch.ones(2, 2) for half in ("up", "down")}
    return contained(identity_files.published(unet=False) | halves, {"format": "pt"})


def load_bank(path: Path) -> Any:
    from attention_director.bridge.subject.bank import load_bank as load

    bank = load("node", path)
    assert 1 <= bank.anchors <= 8 and all(t.isfinite().all() for t in bank.tensors.values() if t.is_floating_point())
    assert bank.preview().ndim == 4 and bank.nearest(0.5, 1.0) is not None
    for name, value in bank.tensors.items():
        assert not name.startswith("in.") or len(value) == len(bank.tensors[f"subjects.{name.split('.')[1]}.1"])
    return bank


def load_predictor(path: Path) -> Any:
    from attention_director.bridge.sketch.predictor import read_predictor

    predictor = read_predictor(path)
    predictor.network()
    return predictor


def load_adapter(path: Path) -> Any:
    from attention_director.bridge.identity.adapter import load_adapter as load

    adapter, report = load("node", path)
    words = torch.ones(1, adapter.width)
    assert all(weight.isfinite().all() for weight in adapter.fuse.parameters()) and report
    assert adapter.fuse(words, words).shape == words.shape
    return adapter


LOADERS = {"bank": (bank_file, load_bank, "bank"), "predictor": (predictor_file, load_predictor, "predictor"),
           "predictor of tokens": (partial(predictor_file, "flux"), load_predictor, "predictor"),
           "adapter": (adapter_file, load_adapter, "")}


def change_facts(draw: Callable[..., Any], file: Container, key: str) -> None:
    """Put something odd in the place of one of the facts, or of a part of one."""
    facts = json.loads(file.metadata[key])
    name = draw(st.sampled_from(sorted(facts)))
    odd = draw(st.sampled_from(ODD))
    if isinstance(facts[name], list) and facts[name] and draw(st.booleans()):
        facts[name][draw(st.integers(0, len(facts[name]) - 1))] = odd
    else:
        facts[name] = odd
    if draw(st.integers(0, 4)) == 0:
        del facts[name]
    file.metadata[key] = json.dumps(facts)


def change_tensor(draw: Callable[..., Any], file: Container) -> None:
    """Another shape, kind, value, name or place of a tensor, or none; what the header says need not be so."""
    name = draw(st.sampled_from(sorted(file.entries)))
    entry = file.entries[name] = copy.copy(file.entries[name])
    match draw(st.sampled_from(("shape", "dtype", "data", "gone", "named", "lies", "offsets"))):
        case "shape":
            entry.shape = draw(st.lists(st.integers(0, 5), max_size=5))
        case "dtype":
            entry.dtype = draw(st.sampled_from(sorted(BYTES)))
        case "data":
            entry.data = NAN
        case "gone":
            del file.entries[name]
        case "named":
            names = ("x", "in.0.cond.other", "in.1.uncond.layer", "subjects.0.2", "unet.x",
                     "unet_lora.y.lora_up.weight", "image_encoder.vision_model.encoder.layers.9.x",
                     "postfuse_module.x", "last.bias")
            file.entries[draw(st.sampled_from(names))] = draw(st.sampled_from((entry, Entry("F32", []))))
        case "lies":
            shape = draw(st.lists(st.sampled_from(HUGE[:-1]), max_size=4))
            file.header[name] = {"dtype": entry.dtype, "shape": shape, "data_offsets": [0, entry.length]}
        case "offsets":
            offsets = draw(st.lists(st.sampled_from(ODD[:-6]), min_size=2, max_size=2))
            file.header[name] = {"dtype": entry.dtype, "shape": entry.shape, "data_offsets": offsets}


@st.composite
def damaged(draw: Callable[..., Any], whole: Callable[[], Container], facts: str) -> bytes:
    file = copy.copy(whole())
    file.entries, file.metadata, file.header = dict(file.entries), dict(file.metadata), {}
    for _ in range(draw(st.integers(1, 3))):
        if facts and draw(st.booleans()):
            change_facts(draw, file, facts)
        elif file.entries:
            change_tensor(draw, file)
    if draw(st.integers(0, 4)) == 0:
        key = draw(st.sampled_from(sorted(file.metadata)))
        file.metadata[key] = draw(st.sampled_from(("", "{", "[" * 60_000, "9" * 5000, "\ud83d", "null")))
    made = file.packed()
    if draw(st.integers(0, 4)) == 0:
        made = made[:draw(st.integers(0, len(made)))]
    if draw(st.integers(0, 4)) == 0 and made:
        at = draw(st.integers(0, min(len(made), 4000) - 1))
        made = made[:at] + bytes([draw(st.integers(0, 255))]) + made[at + 1:]
    return made


@pytest.mark.parametrize("kind", LOADERS)
def test_a_whole_file_loads(tmp_path: Path, kind: str) -> None:
    whole, load, _ = LOADERS[kind]
    assert not isinstance(said(lambda: load(whole().write(tmp_path / "whole.safetensors"))), str)


@pytest.mark.parametrize("kind", LOADERS)
def test_a_damaged_file_is_read_right_or_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    whole, load, facts = LOADERS[kind]
    refusals: list[str] = []

    @given(damaged(whole, facts))
    def check(made: bytes) -> None:
        path = tmp_path / "damaged.safetensors"
        path.write_bytes(made)
        found = said(lambda: load(path))
        refusals.extend([found] if isinstance(found, str) else [])

    check()
    assert len(set(refusals)) > 10, "the damage is of many kinds"


@given(st.binary(max_size=300), st.sampled_from(("x.safetensors", "x.pt")))
def test_bytes_of_any_kind_are_refused(tmp_path_factory: pytest.TempPathFactory, made: bytes, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(made)
    for _, load, _ in LOADERS.values():
        assert isinstance(said(partial(load, path)), str)
