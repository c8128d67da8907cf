"""Where image tokens stand, and turning their keys: against the host, which ropes them anew."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_joint
import torch
from joint_scene import Watcher, sample, tagged, watched

ELSEWHERE: dict[str, float] = {"shift_t": 2.0, "shift_y": 7.0, "shift_x": -3.5, "scale_y": 1.5, "scale_x": 0.75}


def first_call(name: str, tokens: int = 12, elsewhere: dict[str, float] | None = None) -> Any:
    """The first layer's of a network without refiners: its keys are the picture's own, before it has read anything."""
    sizes = {"n_refiner_layers": 0} if name in ("lumina", "zimage") else {}
    model = tiny_joint.model(name, **sizes).clone()
    if elsewhere:
        model.model_options["transformer_options"]["rope_options"] = elsewhere
    watcher = Watcher()
    sample(watched(watcher, model), tagged(tokens), steps=1, cfg=1.0)
    return watcher.seen[0]


@pytest.mark.parametrize("name", tiny_joint.CONFIGS)
@pytest.mark.parametrize("there", [dict(elsewhere=ELSEWHERE), dict(tokens=40)], ids=["stretched", "longer text"])
def test_turning_is_roping_anew(name: str, there: dict) -> None:
    from attention_director.core.rotary import cells_of

    here, other = first_call(name), first_call(name, **there)
    (a,), (b,) = here.keys.of("image"), other.keys.of("image")
    cells = cells_of(here.grid, here.k.device)
    delta = other.rotary.positions(cells) - here.rotary.positions(cells)
    turned = here.rotary.turn(here.k[:, :, a.slice], delta[None])
    torch.testing.assert_close(turned, other.k[:, :, b.slice], rtol=0, atol=1e-4)
    moves = bool(delta.any())
    assert moves == (name in ("lumina", "zimage") or ("elsewhere" in there and name != "chroma"))
    if moves:
        assert float((here.k[:, :, a.slice] - other.k[:, :, b.slice]).abs().max()) > 0.1, "positions show"
