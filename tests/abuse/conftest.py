"""The graph helpers of the bridge's tests by name, and how many cases a property is tried with."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "bridge")]

_SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture,
         HealthCheck.filter_too_much)
settings.register_profile("ordinary", max_examples=300, deadline=None, derandomize=True, database=None,
                          suppress_health_check=_SLOW)
settings.register_profile("thorough", max_examples=10_000, deadline=None, database=None, suppress_health_check=_SLOW)


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("thorough" if config.getoption("--thorough", False) else "ordinary")


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The host's output and models folders in a folder of the test's own."""
    import folder_paths

    kinds = ("subject_banks", "guidance_predictors", "identity_adapters")
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path / "models"))
    for kind in kinds:
        monkeypatch.delitem(folder_paths.folder_names_and_paths, kind, raising=False)
        (tmp_path / "models" / kind).mkdir(parents=True)
    yield tmp_path
    for kind in kinds:
        folder_paths.folder_names_and_paths.pop(kind, None)
