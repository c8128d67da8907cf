"""Make the helpers beside these tests importable by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from studios import one_of_each  # noqa: E402, F401  (a fixture)
