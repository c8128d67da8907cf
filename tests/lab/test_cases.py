"""What a bench measured is kept, and only what belongs to the same weights and code is counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from benches import cached_cases as each
from benches.cached_cases import Cases, digest

ASKED: list[Any] = []


def measured(job: Any) -> Any:
    ASKED.append(job)
    if job == "broken":
        raise KeyboardInterrupt
    return None if job == "none" else {"values": (job, 0.5)}


class InThisProcess:
    """Stands in for the pool."""

    map = staticmethod(map)

    def shutdown(self, **_: Any) -> None: ...


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ASKED.clear()
    monkeypatch.setattr(each, "ProcessPoolExecutor", lambda *_: InThisProcess())


def test_a_cut_bench_goes_on_where_it_was(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    with Cases("any", kept) as cases, pytest.raises(KeyboardInterrupt):
        cases.each(measured, [1, "none", "broken", 2])
    with kept.open("a", encoding="utf-8") as file:
        file.write('[["measured", 3], {"va')  # a line that was being written when the power went
    with Cases("any", kept) as cases:
        assert cases.each(measured, [2, "none", 1]) == [{"values": [2, 0.5]}, None, {"values": [1, 0.5]}]
    assert ASKED == [1, "none", "broken", 2]
    with Cases("any", kept) as cases:
        assert cases.each(measured, [2]) == [{"values": [2, 0.5]}]
    assert ASKED == [1, "none", "broken", 2], "the line after the cut one was lost"


def test_other_weights_or_other_code_are_another_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(each, "ROOT", tmp_path)
    for number, name in enumerate(("assets/tiny_world.safetensors", "core/a.py", "bridge/b/c.py", "lab/world/draw.py",
                                   "lab/world/training.py", "lab/benches/edit_cases.py", "lab/benches/layout.py")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"a = {number}")
    before = digest("edit")
    for name, same in (("lab/benches/layout.py", True), ("lab/world/training.py", True), ("core/a.py", False),
                       ("assets/tiny_world.safetensors", False), ("lab/benches/edit_cases.py", False)):
        (tmp_path / name).write_text("a = 'other'")
        assert (digest("edit") == before) is same, name
        before = digest("edit")


def test_a_move_or_other_words_keep_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(each, "ROOT", tmp_path)
    for name in ("core/a.py", "bridge/room/b.py"):
        (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / "core/a.py").write_text("from .b import c\n\ndef f(x):\n    'Words.'\n    return c(x)\n\nD = 1\n")
    before = digest("edit")
    (tmp_path / "core/a.py").write_text("D = 1  # why\n")
    (tmp_path / "bridge/room/b.py").write_text("from ..b import c\ndef f(x):\n    'Other words.'\n    return c(x)\n")
    assert digest("edit") == before
    (tmp_path / "core/a.py").write_text("D = 2\n")
    assert digest("edit") != before
