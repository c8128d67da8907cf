"""Load the pack under one alias, as its host does; `engine.enter()` comes first."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ALIAS = "attention_director"
ROOT = Path(__file__).resolve().parent.parent


def load_pack() -> None:
    """Make `import attention_director.bridge...` work. A second call does nothing."""
    if ALIAS in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(ALIAS, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[ALIAS] = module
    spec.loader.exec_module(module)
