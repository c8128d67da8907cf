"""SketchGuidance in the real engine: what it changes, what it leaves, what it refuses."""

from __future__ import annotations

import pytest
import tiny
import torch
from scene import assert_differs, family, host_encode

s = pytest.importorskip("sketch_scene")
PROMPT = "a red hat and a blue dog"


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl"])
def test_it_acts_on_every_family(name: str) -> None:
    model, clip, negative = family(name)
    positive = host_encode(clip, PROMPT)
    plain = tiny.sample(model, positive, negative)
    guided = tiny.sample(s.sketch(model), positive, negative)
    assert_differs(guided, plain)
    assert torch.equal(guided, tiny.sample(s.sketch(model), positive, negative)), "queueing twice"
    assert torch.equal(plain, tiny.sample(model, positive, negative)), "the input is untouched"
