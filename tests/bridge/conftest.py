"""Make the helpers beside these tests importable by name; fixtures that several files use."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty store of records."""
    from attention_director.bridge.record import readout
    from attention_director.bridge.record import store as records

    fresh = records.RecordStore()
    monkeypatch.setattr(records, "STORE", fresh)
    monkeypatch.setattr(readout, "STORE", fresh)
    return fresh
