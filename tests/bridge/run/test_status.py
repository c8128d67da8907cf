"""The line a node shows after a run."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from scene import PROMPT, custom, family, host_encode, region_prompt, regions

LATENT = {"samples": torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))}


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", logger="attention_director")
    return lambda: [r.getMessage() for r in caplog.records if r.name == "attention_director"]


def test_says_in_which_steps_it_was_active(lines) -> None:
    model, clip, negative = family()
    whole = region_prompt(model, clip)
    tiny.sample(whole.model, whole.positive, negative)
    start = region_prompt(model, clip, preset=custom(end_percent=0.5))
    tiny.sample(start.model, start.positive, negative, steps=8)
    middle = region_prompt(model, clip, preset=custom(start_percent=0.3, end_percent=0.7))
    tiny.sample(middle.model, middle.positive, negative, steps=8, sampler="heun")
    assert len(lines()) == 3
    assert re.match(r"RegionPrompt: active in steps 1-4 of 4(;|$)", lines()[0])
    assert re.match(r"RegionPrompt: active in steps 1-4 of 8(;|$)", lines()[1])
    assert re.match(r"RegionPrompt: active in steps [34]-[56] of 8(;|$)", lines()[2])


def test_says_that_the_run_began_past_its_window_and_changes_nothing(lines) -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip, preset=custom(end_percent=0.3))
    options = dict(latent=LATENT, denoise=0.4, steps=4)
    picture = tiny.sample(graph.model, graph.positive, negative, **options)
    (line,) = lines()
    assert re.fullmatch(r"RegionPrompt: nothing happened: the run began at (5|6)\d%; this node's window ends at 30%",
                        line)
    assert torch.equal(picture, tiny.sample(model, host_encode(clip, PROMPT), negative, **options))


def test_says_that_the_prompt_is_not_connected(lines) -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip)
    tiny.sample(graph.model, host_encode(clip, PROMPT), negative)
    assert lines() == ["RegionPrompt: nothing happened: the sampler's positive does not come from this node"]


def test_says_that_no_step_fell_into_its_window(lines) -> None:
    model, clip, negative = family()
    graph = region_prompt(model, clip, preset=custom(start_percent=0.9, end_percent=0.91))
    tiny.sample(graph.model, graph.positive, negative)
    assert lines() == ["RegionPrompt: nothing happened: no step of the run lies between 90% and 91%"]


def test_each_node_of_a_chain_has_its_line_and_a_silent_one_none(lines) -> None:
    model, clip, negative = family()
    first = region_prompt(model, clip, parts=regions()[:1])
    silent = region_prompt(first.model, clip, first.positive, parts=regions()[1:], strength=0.0)
    second = region_prompt(silent.model, clip, silent.positive, parts=regions()[1:], preset=custom(end_percent=0.5))
    tiny.sample(second.model, second.positive, negative)
    assert len(lines()) == 2
    assert "steps 1-4 of 4" in lines()[0] and "steps 1-2 of 4" in lines()[1]


def test_an_inversion_beside_an_edit_has_a_sentence_of_its_own(lines) -> None:
    """A run that begins past the edit's windows: only the inversion is at work, and only it is called active."""
    from edit_scene import attention_edit, run
    from pictures import made_on

    model, clip, _ = family()
    graph = attention_edit(model, clip, cross_end_percent=0.3, self_end_percent=0.2,
                           inversion=made_on("sd15").inversion)
    run(graph, denoise=0.5)
    assert re.match(r"AttentionEdit: nothing happened: the run began at \d\d%; this node's window ends at 30%; "
                    r"inversion: active in steps 1-4 of 4; direct inversion", lines()[-1])
    run(graph)
    assert re.match(r"AttentionEdit: active in steps? 1.* of 4; 1 replace.*; inversion: active in steps 1-4 of 4; "
                    r"direct", lines()[-1])


class FakeServer:
    """What is read of the host's server. client_id: who queued the prompt that runs."""

    def __init__(self, client_id: str | None) -> None:
        self.client_id = client_id
        self.sent: list[tuple] = []

    def send_sync(self, *sent: Any) -> None:
        self.sent.append(sent)


@pytest.mark.parametrize("client", ["me", None])
def test_only_the_client_that_queued_is_told(client: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt queued without a client has no listener; the host would send to everybody then."""
    from attention_director.bridge.run.status import EVENT, send_status

    server = FakeServer(client)
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=server)))
    send_status("4:2/abc", "RegionPrompt", "active")
    assert server.sent == ([] if client is None else [(EVENT, {"node": "4:2", "text": "active", "warns": False}, "me")])


def test_a_line_says_whether_something_was_left_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    from attention_director.bridge.run.status import send_status

    server = FakeServer("me")
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=SimpleNamespace(instance=server)))
    send_status("4/abc", "RegionPrompt", "active in step 1 of 4")
    send_status("4/abc", "RegionPrompt", "nothing happened: the drawing is empty")
    send_status("4/abc", "RegionPrompt", "region 2 was left out; active in step 1 of 4", warns=True)
    assert [told["warns"] for _, told, _ in server.sent] == [False, True, True]
