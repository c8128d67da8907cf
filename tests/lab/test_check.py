"""The command around the check: its arguments, its files, two reports side by side."""

from __future__ import annotations

import json
from pathlib import Path

import check
import pytest
from attention_director.bridge.check import run


def test_it_leaves_a_page_and_a_small_file(tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                           monkeypatch: pytest.MonkeyPatch) -> None:
    """On the demo model, its first part."""
    monkeypatch.setattr(run, "CHECKS", run.CHECKS[:1])
    assert check.main(["--demo", "UNet", "--minutes", "1", "--size", "64", "--steps", "2", "--out",
                       str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "check.html" in said and "check.json" in said and "promises, strength 0 is nothing: works" in said
    told = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    assert told["machine"]["side"] == 64 and told["machine"]["steps"] == 2 and not told["interrupted"]
    assert str(tmp_path) not in json.dumps(told) and str(Path.home()) not in json.dumps(told)
    check.main(["--compare", str(tmp_path / "check.json"), str(tmp_path / "check.json")])
    assert "promises" in capsys.readouterr().out


def test_what_was_done_before_an_interrupt_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(studio: object, tools: object) -> None:
        raise KeyboardInterrupt

    first = run.CHECKS[0]
    monkeypatch.setattr(run, "CHECKS", (run.Check(first.name, 1.0, lambda s, t: first.cases(s, t)[:1]),
                                        run.Check("stopped", 1.0, stopped)))
    assert check.main(["--demo", "UNet", "--quick", "--size", "64", "--steps", "2", "--out", str(tmp_path)]) == 130
    told = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    assert told["interrupted"] and [row["verdict"] for row in told["rows"]] == ["works"] * 2


@pytest.mark.parametrize(("given", "said"), [
    ([], "name a model with --checkpoint"),
    (["--checkpoint", "nowhere.safetensors"], "there is no file nowhere.safetensors"),
    (["--compare", "a.json", "b.json"], '"a.json" cannot be read'),
    (["--demo", "UNet", "--sampler", "best"], 'there is no sampler "best"'),
])
def test_a_slip_is_said_in_one_sentence(given: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as ended:
        check.main(given)
    assert said in str(ended.value) and "\n" not in str(ended.value)
