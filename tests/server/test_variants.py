"""The starters for checkpoints of one's own: their wiring, on tiny random models of the same family."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from client import Server
from graph import missing_files, to_prompt
from variants import FOLDER

sys.path.insert(0, str(Path(__file__).parent))
from bench import Bench, checkpoint  # noqa: E402

FAMILIES = {"SD1.5": "sd15", "SDXL": "sdxl"}
TWINS = sorted(path.stem for path in FOLDER.glob("*.json") if path.stem.startswith(tuple(FAMILIES)))
# What a person brings; the saved predictors are those of the starters that train one.
BROUGHT = ("your-checkpoint.safetensors", "your-control-net.safetensors", "your-pictures",
           "pytorch_model.bin", *(f"mine_{family}_00001_.safetensors" for family in FAMILIES.values()))


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The host's output folder, for nodes that save."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    return tmp_path / "output"


def wired(server: Server, name: str, changes: dict[str, dict[str, Any]] | None = None) -> Bench:
    """The variant, run to its end on tiny models."""
    info = server.object_info()
    graph = to_prompt(json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")), info)
    assert set(missing_files(graph, info)) <= set(BROUGHT)
    family = next(key for label, key in FAMILIES.items() if name.startswith(label))
    bench = Bench(graph, checkpoint(family), changes)
    bench.run_all()
    return bench


@pytest.mark.parametrize("name", TWINS)
def test_a_twin_is_wired_like_its_demo(server: Server, output: Path, name: str) -> None:
    bench = wired(server, name)
    assert bench.pictures and set(bench.results) == set(bench.graph)
    for picture in bench.pictures.values():
        assert picture.isfinite().all() and picture.std() > 0.01
    compare(name, bench)
    saved = {path.suffix for path in output.rglob("*") if path.is_file()}
    kinds = {node["class_type"] for node in bench.graph.values()}
    assert saved == ({".safetensors"} if kinds & {"AttnDirSaveBank", "AttnDirSavePredictor"} else set())


def compare(name: str, bench: Bench) -> None:
    """The nodes act: directed is not plain, a target not its source, two scenes not one."""
    plain = bench.pictures.get("Plain")
    if plain is not None:
        (directed,) = (picture for title, picture in bench.pictures.items() if title != "Plain")
        assert directed.shape == plain.shape and not torch.equal(directed, plain)
    if "Attention Edit" in name:
        source, *targets = next(iter(bench.pictures.values()))
        assert targets and not any(torch.equal(source, target) for target in targets)
    if "Shared Subject" in name:
        (rows,) = {node["inputs"]["text"] for node in bench.graph.values()
                   if node["class_type"] == "SharedSubjectAttention"} if "new scene" not in name else {""}
        assert all(len(picture) == max(1, len(rows.splitlines())) for picture in bench.pictures.values() if rows)


def test_the_control_net_is_heard_by_every_scene(server: Server) -> None:
    name = "SDXL - Shared Subject with a control net"
    (heard,), (silent,) = (wired(server, name, changes).pictures.values() for changes in (
        None, {"ControlNetApplyAdvanced": {"strength": 0.0}}))
    assert heard.shape == silent.shape and heard.shape[0] == 4
    assert all(not torch.equal(a, b) for a, b in zip(heard, silent, strict=True))
