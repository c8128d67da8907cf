"""docs/measured.md, written from lab/results: measured.md beside this file is its text, with a place for each number.

A place is a format field: {layout[ours][binding]:.0%} is the metric "binding" of the row "ours" of layout.json, and
{tables[layout]} a whole table. Rows of one variant are told apart by what else they say: "ours/add/real".
What stands between the two marks of the page stands in the README too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .results import RESULTS, Row
from .tables import KINDS, TRANSFORMER_KINDS, tables

ROOT = RESULTS.parent.parent
TEMPLATE = Path(__file__).with_suffix(".md")
PAGE, README = ROOT / "docs" / "measured.md", ROOT / "README.md"
START, END = "<!-- in short: written by lab/run.py bench tables -->\n", "<!-- end of in short -->\n"
BENCHES = ("world", "storybook", "layout", "storybook_layout", "storybook_landing", "edit", "storybook_edit", "subject",
           "storybook_subject", "sketch", "storybook_sketch", "identity", "storybook_identity", "cost")
PARTS = ("edit", "picture", "drawing", "images")  # what a row says beside its variant
ALTERNATIVES = ("unpatched", "schedule-20", "schedule-40", "sdedit-40", "sdedit-60", "sdedit-80", "flow-edit")
DRAWN_AND_REAL = [f"{kind}/{picture}" for kind in KINDS for picture in ("drawn", "real")]


def page(folder: Path = RESULTS) -> str:
    """The whole page. Raises KeyError for a number that the results lack."""
    found = {bench: named_rows(json.loads((folder / f"{bench}.json").read_text(encoding="utf-8"))["rows"])
             for bench in BENCHES}
    found["layout"] = with_time_ratios(found["layout"])
    edit, storybook = found["edit"], found["storybook_edit"]
    values: dict[str, Any] = {
        **found, "tables": tables(found), "best": best_alternatives(edit, DRAWN_AND_REAL),
        "best_of_transformer": best_alternatives(storybook, TRANSFORMER_KINDS),
        "least_db": min(edit[f"ours/{kind}/drawn"]["psnr_outside"] for kind in KINDS),
        "least_db_of_transformer": min(storybook[f"ours/{kind}"]["psnr_outside"] for kind in TRANSFORMER_KINDS)}
    return TEMPLATE.read_text(encoding="utf-8").format(**values)


def named_rows(rows: list[Row]) -> dict[str, Row]:
    """By variant and the parts that tell it apart; "all" drawings are the rule and go without saying."""
    named: dict[str, Row] = {}
    for row in rows:
        parts = [_text(row[part]) for part in PARTS if part in row and row[part] != "all"]
        named["/".join([str(row["variant"]), *parts])] = row
    return named


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def with_time_ratios(rows: Mapping[str, Row]) -> dict[str, Row]:
    """Seconds as shares of the unpatched run's, for a bench that keeps seconds alone."""
    plain = float(rows["unpatched"]["seconds"])
    return {name: row | {"time_ratio": float(row["seconds"]) / plain} for name, row in rows.items()}


def best_alternatives(rows: Mapping[str, Row], kinds: Iterable[str]) -> dict[str, float]:
    """"add/real" -> the most that any other way succeeds at it, whatever else it changes."""
    return {kind: max(float(rows[f"{way}/{kind}"]["success"]) for way in ALTERNATIVES if f"{way}/{kind}" in rows)
            for kind in kinds}


def in_short(text: str) -> str:
    """What stands between the marks. Raises ValueError where there are not two."""
    return text[text.index(START) + len(START):text.index(END)]


def write() -> None:
    """The page, and its short table into the README."""
    made = page()
    PAGE.write_text(made, encoding="utf-8")
    readme = README.read_text(encoding="utf-8")
    before, _, rest = readme.partition(START)
    README.write_text(before + START + in_short(made) + END + rest.partition(END)[2], encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)} and its short table in {README.name}", flush=True)
