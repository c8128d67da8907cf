"""The page and the small file: what is in them, what is not, and files of others."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from attention_director.bridge.check.compare import compare, read
from attention_director.bridge.check.files import write, write_numbered
from attention_director.bridge.check.page import page
from attention_director.bridge.check.report import MOST_CHARACTERS, Report, Row, from_json, shareable, shot_of, to_json
from attention_director.bridge.check.sheet import sheet_of
from attention_director.bridge.errors import DirectorError

NASTY = '<script>alert(1)</script> & "quoted" <img src=x onerror=alert(2)>'
MACHINE: dict[str, str | float] = {"model": "SDXL", "card": "cuda:0 NVIDIA GeForce RTX 3060", "steps": 25}


def report(**more: Any) -> Report:
    shot = shot_of("a cat: plain", torch.rand(96, 64, 3), ((0.1, 0.2, 0.5, 0.9),))
    rows = (Row("RegionPrompt", "layout 1", "told", "it landed.", {"landing": 0.51239}, (shot,)),
            Row("RegionPrompt", "", "works", "all in all.", {"landing": 0.5, "n": 1.0}))
    return replace(Report(MACHINE, rows, 61.5), **more)


def test_the_small_file_says_what_the_report_says() -> None:
    again = from_json(to_json(report()))
    assert again.machine == MACHINE and again.seconds == 61.5 and not again.interrupted
    assert [(row.check, row.case, row.verdict, row.says) for row in again.rows] == [
        (row.check, row.case, row.verdict, row.says) for row in report().rows]
    assert again.rows[0].numbers == {"landing": 0.5124}


@pytest.mark.parametrize(("text", "kept"), [
    ("FileNotFoundError: No such file: '/srv/ComfyUI/models/x.bin'", "FileNotFoundError: No such file: a file"),
    (r"cannot open C:\Users\Some Body\mine.safetensors here", "cannot open ... ... file here"),
    ("in /srv/My models/x of hers", "in ... ... of hers"),
    ('the file "My secret model.safetensors" is broken', "the file a file is broken"),
    ("RuntimeError: mat1 and mat2 shapes cannot be multiplied (154x16 and 32x64)",
     "RuntimeError: mat1 and mat2 shapes cannot be multiplied (154x16 and 32x64)"),
])
def test_no_path_and_no_file_is_told(text: str, kept: str) -> None:
    assert shareable(text) == kept
    told = json.loads(to_json(report(rows=(Row("x", "", "broke", text),))))
    assert told["rows"][0]["says"] == kept


def test_the_small_file_is_small_and_plain() -> None:
    rows = tuple(Row("x" * 500, "y", "told", "z" * 9000, {"nan": float("nan")}) for _ in range(2000))
    text = to_json(report(rows=rows))
    assert len(text) < MOST_CHARACTERS and text.isascii()
    from_json(text)


class Elements(HTMLParser):
    """Every element of a page with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_is_one_file_and_runs_nothing() -> None:
    shot = shot_of(NASTY, torch.rand(32, 32, 3))
    rows = (Row(NASTY, NASTY, "told", NASTY, {}, (shot,), paste=NASTY), Row(NASTY, "", "broke", NASTY))
    found = Elements(page(Report({NASTY: NASTY}, rows))).found
    assert {tag for tag, _ in found} <= {"html", "meta", "title", "style", "h1", "h2", "p", "b", "span", "table", "tr",
                                         "td", "small", "pre", "div", "figure", "figcaption", "img"}
    pictures = [values for tag, values in found if tag == "img"]
    assert len(pictures) == 1 and str(pictures[0]["src"]).startswith("data:image/jpeg;base64,")
    assert pictures[0]["alt"] == NASTY
    named = {name for _, values in found for name in values}
    assert not {name for name in named if name.startswith("on") or name == "href"}


def test_a_picture_is_kept_no_larger_than_a_page_wants() -> None:
    kept = shot_of("a cat", torch.full((1024, 512, 3), 0.5)).picture
    assert kept.shape == (384, 192, 3) and kept.dtype is torch.uint8 and set(kept.unique().tolist()) == {128}
    assert shot_of("a cat", torch.rand(64, 96, 3)).picture.shape == (64, 96, 3)


def test_the_page_tells_verdicts_numbers_and_the_machine() -> None:
    text = page(report(interrupted=True))
    assert "works here" in text and "NVIDIA GeForce RTX 3060" in text and "interrupted" in text


def test_a_sheet_shows_what_was_drawn() -> None:
    assert sheet_of(report()).shape[-1] == 3 and sheet_of(report(rows=())).ndim == 4


def test_both_files_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, told = write(report(), tmp_path / "new")
    assert shown.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert read(told).verdicts["RegionPrompt"].verdict == "works"
    import folder_paths

    monkeypatch.setattr(folder_paths, "get_output_directory", lambda: str(tmp_path))
    names = [[path.relative_to(tmp_path).as_posix() for path in write_numbered(report(), "self_checks/check")]
             for _ in range(2)]
    assert names == [[f"self_checks/check_0000{n}_.html", f"self_checks/check_0000{n}_.json"] for n in (1, 2)]
    with pytest.raises(DirectorError, match="leads out of the output folder"):
        write_numbered(report(), "../check")


def test_two_are_shown_side_by_side() -> None:
    other = report(machine={**MACHINE, "card": "cuda:0 NVIDIA GeForce RTX 4090"}, rows=report().rows[:1])
    lines = compare(report(), other).splitlines()
    assert re.match(r"card \*\s+cuda:0 NVIDIA GeForce RTX 3060\s+cuda:0 NVIDIA GeForce RTX 4090$",
                    next(line for line in lines if line.startswith("card")))
    assert next(line for line in lines if line.startswith("RegionPrompt")).split() == ["RegionPrompt", "works", "-"]
    assert next(line for line in lines if line.startswith("  landing")).split() == ["landing", "0.5", "-"]


WHOLE = json.loads(to_json(report()))
HOSTILE: dict[str, Any] = {
    "not JSON": b"{", "a list": b"[]", "another file": b'{"nodes": []}', "no text": b"\xff\xfe",
    "nested": b"[" * 90_000, "too long": b" " * (MOST_CHARACTERS + 1),
    "a verdict of its own": {"rows": [{**WHOLE["rows"][0], "verdict": "<b>"}]},
    "words where numbers are": {"rows": [{**WHOLE["rows"][0], "numbers": {"a": "b"}}]},
    "endless numbers": {"seconds": "1e999"}, "rows that are none": {"rows": [1]}, "rows by thousands": {
        "rows": [WHOLE["rows"][0]] * 1000}, "a machine in a machine": {"machine": {"card": {"a": 1}}},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_none_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    made = HOSTILE[name]
    path = tmp_path / "theirs.json"
    path.write_bytes(made if isinstance(made, bytes) else json.dumps({**WHOLE, **made}).encode())
    with pytest.raises(DirectorError, match=r'^check: "theirs.json" cannot be read \(.*\); give the .json file'):
        read(path)


def test_words_of_a_strange_file_are_short_and_plain(tmp_path: Path) -> None:
    row = {**WHOLE["rows"][1], "check": "a\x1b[31m" + "b" * 10_000}
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps({**WHOLE, "rows": [row]}), encoding="utf-8")
    text = compare(read(path), report())
    assert "\x1b" not in text and max(map(len, text.splitlines())) < 120
