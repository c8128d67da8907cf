"""The starters for transformers: run to their end by the host's own nodes, on tiny random models."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_joint
import torch
from client import Server
from graph import missing_files, to_prompt
from starters import STARTERS
from text_encoders import WIDTH, text_encoder
from variants import FOLDER

sys.path.insert(0, str(Path(__file__).parent))
from bench import SHORT, Bench, StandIn  # noqa: E402

# Label of a starter -> names of the tiny network and of the tiny text encoder that take the place of its files.
TINY = {"Flux.1": ("flux-dev", "flux"), "Flux.2 Klein": ("flux-2", "klein"), "Z-Image Turbo": ("zimage", "zimage"),
        "Chroma": ("chroma", "chroma"), "Z-Image": ("zimage", "zimage")}
SIZES = {"klein": {"context_in_dim": 3 * WIDTH}}  # Klein reads three layers of its text encoder
starters = pytest.mark.parametrize("starter", STARTERS, ids=lambda starter: starter.name)
# Of each method: the line after a run, and what on its node makes it do nothing.
ACTS = {"Region Prompt": (r"RegionPrompt: active in steps 1-(\d) of {steps}; 2 regions",
                          ("RegionPrompt", {"strength": 0.0})),
        "Attention Edit": (r"AttentionEdit: active in steps 1-(\d) of {steps}; 2 shape; local blend",
                           ("AttentionEdit", {"targets": "", "blend_words": ""})),
        "Shared Subject": (r"SharedSubjectAttention: active in steps 1-(\d) of {steps}.*; 4 scenes, 1 anchors",
                           ("SharedSubjectAttention", {"strength": 0.0})),
        "Identity Inject": (r"IdentityInject: active in steps 1-(\d) of {steps}; 2 subjects",
                            ("IdentityInject", {"strength": 0.0}))}


def files(network: str, encoder: str) -> StandIn:
    """What the three loaders of a starter would give."""
    def stand_in(kind: str, inputs: dict[str, Any]) -> tuple[Any, ...] | None:
        if kind == "UNETLoader":
            return (tiny_joint.model(network, **SIZES.get(encoder, {})),)
        if kind in ("CLIPLoader", "DualCLIPLoader"):
            return (text_encoder(encoder),)
        return (tiny_joint.vae(network),) if kind == "VAELoader" else None

    return stand_in


@pytest.fixture(scope="module")
def info(server: Server) -> Iterator[dict[str, Any]]:
    yield server.object_info()


def graph_of(starter: Any, info: dict[str, Any]) -> dict[str, Any]:
    path = FOLDER / f"{starter.name}.json"
    return to_prompt(json.loads(path.read_text(encoding="utf-8")), info)


@starters
def test_a_starter_lacks_nothing_but_its_files(info: dict[str, Any], starter: Any) -> None:
    """Its samplers, schedulers and kinds of encoders are in the host's lists."""
    assert sorted(missing_files(graph_of(starter, info), info)) == sorted([starter.model, *starter.texts, starter.vae])


@starters
def test_a_starter_directs(info: dict[str, Any], starter: Any, caplog: pytest.LogCaptureFixture) -> None:
    graph, tiny = graph_of(starter, info), files(*TINY[starter.label])
    bench = Bench(graph, tiny)
    with caplog.at_level("INFO"):
        bench.run_all()
    assert set(bench.results) == set(graph), "no node is left over"
    steps = SHORT["KSampler"]["steps"]
    line, (node, off) = ACTS[starter.method]
    (last,) = re.findall(line.format(steps=steps), caplog.text)
    if starter.method == "Region Prompt":
        assert steps // 2 <= int(last) < steps, "three fifths of the run, which a scheduler may give more steps"
    (title, directed), = bench.pictures.items()
    assert directed.shape[1:] == (128, 128, 3) and directed.isfinite().all() and directed.std() > 0.01
    plain = Bench(graph, tiny, {node: off})
    plain.run_all()
    assert not torch.equal(directed[-1], plain.pictures[title][-1])
