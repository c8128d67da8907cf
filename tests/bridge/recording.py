"""Record Attention as a test says it, and what it kept."""

from __future__ import annotations

from typing import Any

import torch

PHRASES = "red hat\nblue dog"


def recorded(model: Any, positive: list, phrases: str = PHRASES, **window: float) -> Any:
    from attention_director.nodes.record import AttnDirRecord

    return AttnDirRecord.execute(model, positive, phrases, **window).args[0]


def heat_of(model: Any, samples: torch.Tensor) -> Any:
    from attention_director.bridge.record.readout import find

    heat = find("AttnDirReadout", model, samples)[1]
    assert heat is not None
    return heat


def assert_maps(got: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-6)
