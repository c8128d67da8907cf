"""One real server for all tests here: it takes some fifteen seconds to start."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from client import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running
