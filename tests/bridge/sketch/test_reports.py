"""What SketchGuidance says and leaves after a run."""

from __future__ import annotations

import re
from typing import Any

import pytest
import sketch_scene as s
import tiny
import torch
from scene import PROMPT, family, host_encode

FEW: dict[str, Any] = dict(steps=2)


def scene(name: str = "sd15") -> tuple[Any, list, list]:
    model, clip, negative = family(name)
    return model, host_encode(clip, PROMPT), negative


def test_the_line_says_how_many_steps_were_guided(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="attention_director")
    model, positive, negative = scene()
    tiny.sample(s.sketch(model, end=0.5), positive, negative, steps=4)
    tiny.sample(s.sketch(model, every_second_step=True), positive, negative, steps=4)
    s.sketch(model, torch.zeros(1, 8, 8, 3))
    lines = [r.getMessage() for r in caplog.records if r.name == "attention_director"]
    number = r"-?\d+\.\d\d"
    assert re.match(rf"SketchGuidance: active in steps 1-2 of 4; 2 steps guided; agreement {number}", lines[0])
    assert re.match(rf"SketchGuidance: active in steps 1-4 of 4; 2 steps guided; agreement {number}", lines[1])
    assert lines[2] == "SketchGuidance: nothing happened: the drawing is empty"


def test_it_leaves_its_lines_for_a_readout_and_a_preview() -> None:
    import comfy.utils

    model, positive, negative = scene()
    patched = s.sketch(model, preview=True)
    shown: list[Any] = []
    comfy.utils.set_progress_bar_global_hook(lambda value, total, preview, node_id: shown.append((value, preview)))
    try:
        kept = s.scratch_of_a_run(patched, positive, negative, batch=2, **FEW)
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
    from attention_director.core.call import Scratch

    left = s.method_of(patched).records(Scratch(True, kept))
    for lines in (left["edges"], left["edges_wanted"]):
        assert lines.shape == (2, 16, 16) and 0 <= float(lines.min()) <= float(lines.max()) <= 1
    assert not torch.equal(left["edges"], left["edges_wanted"])
    assert left["edges_agreement"].shape == (2,) and left["edges_agreement"].isfinite().all()
    pictures = [p for _, p in shown if p is not None]
    assert len(pictures) == 2 and pictures[0][0] == "JPEG" and pictures[0][1].size == (512, 512)
    assert s.method_of(patched).records(Scratch()) == {}
