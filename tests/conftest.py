"""Load the pack under one alias, and the real host where a test asks for it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported, by whomever: its own functions are made by it

ROOT = Path(__file__).resolve().parent.parent
ALIAS = "attention_director"
sys.path.insert(0, str(ROOT / "lab"))
sys.path.insert(0, str(ROOT / "tests"))


def _load_pack() -> None:
    spec = importlib.util.spec_from_file_location(ALIAS, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[ALIAS] = module
    spec.loader.exec_module(module)


_load_pack()

if os.environ.get("COMFYUI_PATH"):
    import engine

    engine.enter(os.environ.get("ATTENTION_BACKEND", "sub_quad"))


if os.environ.get("PYTEST_XDIST_WORKER"):
    torch.set_num_threads(1)  # each worker has a core; threads that wait for each other cost more than they give


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--thorough", action="store_true", help="ten thousand cases for each property in tests/abuse, and "
                                                             "forty interrupts of every node")


# Files that import the bridge at the top cannot even be collected where there is no host.
collect_ignore_glob = [] if os.environ.get("COMFYUI_PATH") else ["bridge/*", "abuse/*"]
ONE_SERVER = ("server", "browser")  # folders whose tests share one running server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares a fixture. Without a host only tests/core can run; say so once for each."""
    for item in items:
        folder = item.path.parent.name
        item.add_marker(pytest.mark.xdist_group(folder if folder in ONE_SERVER else str(item.path)))
        if "core" not in item.path.parts and not os.environ.get("COMFYUI_PATH"):
            item.add_marker(pytest.mark.skip(reason="COMFYUI_PATH is not set; start the tests with lab/run.py test"))
