"""The pair of nodes in the real server: its files, its lines, the interrupt."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from client import STATUS, Graph, Server

sys.path.insert(0, str(Path(__file__).parent))
from graphs import plain  # noqa: E402


def check(minutes: float, **changes: Any) -> Graph:
    """The demo model's, of few steps of small pictures."""
    given = {"minutes": minutes, "sweep": "off", "train_minutes": 0.0, "size": 64, "steps": 2, "cfg": 0.0,
             "sampler_name": "auto", "scheduler": "auto", **changes}
    return {
        "1": {"class_type": "AttnDirLoadDemoModel", "inputs": {}},
        "2": {"class_type": "AttnDirSelfCheck",
              "inputs": {"model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2], **given}},
        "3": {"class_type": "AttnDirSaveSelfCheck",
              "inputs": {"check": ["2", 0], "filename_prefix": "self_checks/check"}},
    }


def test_a_check_leaves_a_page_and_a_small_file_in_the_output_folder(server: Server) -> None:
    outcome = server.queue(check(0.25))
    assert not outcome.error
    (names,) = outcome.outputs["3"]["text"]
    folder = server.base / "output" / "self_checks"
    (shown,), (told,) = folder.glob("*.html"), folder.glob("*.json")
    assert shown.name in names and told.name in names
    found = json.loads(told.read_text(encoding="utf-8"))
    assert {row["check"] for row in found["rows"]} >= {"promises", "RegionPrompt", "SketchGuidance"}
    assert not [row for row in found["rows"] if row["verdict"] == "broke"]
    assert str(server.base) not in told.read_text(encoding="utf-8") + shown.read_text(encoding="utf-8")
    (text,) = outcome.outputs["2"]["text"]
    assert text.startswith("promises: ") and outcome.statuses["2"].startswith("promises: ")
    assert server.images(outcome.prompt_id), "the node shows what was drawn"


def test_a_check_can_be_interrupted(server: Server) -> None:
    prompt_id = server.submit(check(5.0, size=128, steps=16))
    assert server.listener.wait(lambda e: e.kind == STATUS and e.data.get("node") == "2" and
                                "strength 0" in e.data["text"], 200)
    server.interrupt()
    assert server.wait(prompt_id).interrupted
    assert not server.queue(plain(steps=2, variant=5)).error
