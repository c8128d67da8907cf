"""What a person at the editor gets, through the real server: HTTP for graphs, the websocket for events."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from client import ROOT, Graph, Outcome, Refused, Server
from graph import missing_files, to_prompt
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from graphs import canvas, directed, plain  # noqa: E402

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"), key=lambda path: path.stem)
# The starters for models of one's own are run in test_variants.py and test_starters.py.
SHIPPED = [path for path in WORKFLOWS if "AttnDirLoadDemoModel" in path.read_text(encoding="utf-8")]


def pixels(server: Server, outcome: Outcome) -> np.ndarray:
    """The saved picture of a run that went well, [H, W, 3]."""
    assert not outcome.error and not outcome.interrupted, outcome.error
    saved = [p for p in server.images(outcome.prompt_id) if p.kind == "output"]
    assert len(saved) == 1
    return np.asarray(Image.open(io.BytesIO(saved[0].data)))


def drawn(server: Server, graph: Graph) -> np.ndarray:
    """As ``pixels``, of a graph whose sampler must really run."""
    outcome = server.queue(graph)
    assert outcome.sampled, "the host answered from its cache"
    return pixels(server, outcome)


def test_every_node_is_listed_with_its_display_name(server: Server) -> None:
    from attention_director.nodes import NODES

    for node in NODES:
        schema = node.GET_SCHEMA()
        info = server.object_info(schema.node_id)
        assert info[schema.node_id]["display_name"] == schema.display_name
        assert info[schema.node_id]["category"].startswith("Attention Director")


def test_web_files_help_and_locales_are_served(server: Server) -> None:
    extensions = server.get("/extensions")
    assert any(path.startswith("/extensions/attention-director/") for path in extensions)
    assert server.fetch("/extensions/attention-director/docs/RegionPrompt.md").strip()
    translated = server.get("/i18n")
    assert all("RegionPrompt" in translated.get(language, {}).get("nodeDefs", {}) for language in ("en", "zh", "ja"))
    assert sorted(server.get("/workflow_templates")["attention-director"]) == [path.stem for path in WORKFLOWS]


def test_a_graph_that_lacks_an_input_is_refused_before_it_runs(server: Server) -> None:
    graph = directed()
    del graph["2"]["inputs"]["clip"]
    with pytest.raises(Refused) as refused:
        server.submit(graph)
    errors = refused.value.answer["node_errors"]["2"]["errors"]
    assert [e["type"] for e in errors] == ["required_input_missing"]


SLIPS = {
    "phrase missing": (
        {"text": "a red coat and a blue square",
         "canvas": canvas({"red hat": (0.5, 0, 1, 1)})},
        'RegionPrompt: region 1 "red hat" is not in the prompt; nearest: "red coat". '
        "Add it to the prompt or choose other words."),
    "plain conditioning": (
        {"text": ["3", 0]},
        "RegionPrompt: the linked prompt was not made by an Attention Director node, so its words are unknown; type it "
        "here or use Encode Prompt."),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_is_answered_in_one_sentence(server: Server, slip: str) -> None:
    changes, sentence = SLIPS[slip]
    outcome = server.queue(directed(**changes))
    assert outcome.error == sentence


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_an_example_workflow_runs_as_shipped(server: Server, path: Path) -> None:
    info = server.object_info()
    graph = to_prompt(json.loads(path.read_text(encoding="utf-8")), info)
    assert not missing_files(graph, info)
    outcome = server.queue(graph)
    assert not outcome.error
    assert server.images(outcome.prompt_id)


def test_the_websocket_tells_steps_and_what_each_node_did(server: Server) -> None:
    outcome = server.queue(directed(steps=5, variant=1))
    assert not outcome.error
    steps = [e.data["value"] for e in outcome.events if e.kind == "progress" and e.data["node"] == "6"]
    assert steps == sorted(steps) and steps[-1] == 5  # the host leaves out steps that follow too fast
    assert list(outcome.statuses) == ["2"]
    assert outcome.statuses["2"].startswith("active in steps 1-") and " of 5" in outcome.statuses["2"]


def test_a_window_that_never_opened_says_so(server: Server) -> None:
    graph = directed(variant=2, preset="paper")
    graph["6"]["inputs"]["denoise"] = 0.1
    assert server.queue(graph).statuses["2"].startswith("nothing happened: the run began at")


def test_queueing_twice_draws_the_same_picture(server: Server) -> None:
    first = drawn(server, directed(variant=3))
    np.testing.assert_array_equal(first, drawn(server, directed(variant=4)))
    assert np.abs(first.astype(int) - drawn(server, plain(variant=3))).max() > 0


def test_strength_zero_is_the_plain_picture(server: Server) -> None:
    np.testing.assert_array_equal(drawn(server, directed(variant=5, strength=0.0)), drawn(server, plain(variant=5)))


def test_an_interrupted_run_leaves_nothing_behind(server: Server) -> None:
    before = drawn(server, plain(variant=6))
    prompt_id = server.submit(directed(steps=1000, variant=6))
    server.wait_for_step(prompt_id, 3)
    server.interrupt()
    outcome = server.wait(prompt_id)
    assert outcome.interrupted and not outcome.error
    np.testing.assert_array_equal(before, drawn(server, plain(variant=7)))
