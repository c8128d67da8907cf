"""What a bench leaves: lab/results/<name>.json, pictures in docs/, a table on the terminal."""

from __future__ import annotations

import json
import os
import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

RESULTS = Path(__file__).resolve().parent.parent / "results"
TRIAL = Path(__file__).resolve().parent.parent / "runs" / "trial"
PICTURES = Path(__file__).resolve().parents[2] / "docs"  # published, beside the page that shows them
Row = dict[str, str | float]


def machine() -> dict[str, str | int]:
    """What the seconds depend on."""
    import torch

    name = platform.processor()
    if (path := Path("/proc/cpuinfo")).exists():
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    facts: dict[str, str | int] = {"python": platform.python_version(), "torch": torch.__version__,
                                   "cores": os.cpu_count() or 0, "cpu": name}
    return facts | ({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {})


def collected(cases: Iterable[Mapping[str, Mapping[str, Sequence[float]]]]) -> dict[str, dict[str, list[float]]]:
    """Values of many cases side by side: each case, and the whole, is variant -> metric -> values."""
    totals: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for case in cases:
        for variant, values in case.items():
            for name, found in values.items():
                totals[variant][name].extend(found)
    return totals


def mean_row(variant: str, values: Mapping[str, Sequence[float]]) -> Row:
    """One row of means, left at full precision: tables round, files do not."""
    return {"variant": variant, **{name: fmean(found) for name, found in values.items() if found}}


def table(rows: Sequence[Row]) -> list[list[str]]:
    """Header and cells as text; a metric that a row lacks is an empty cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [names, *([_cell(row.get(name, "")) for name in names] for row in rows)]


def _cell(value: str | float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def grid(cells: Sequence[Sequence[str]]) -> str:
    """Cells as a Markdown table; the first row is the header, the first column stands left."""
    rule = ["---", *["---:"] * (len(cells[0]) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (cells[0], rule, *cells[1:]))


def plain(rows: Sequence[Row]) -> str:
    """The table for the terminal, columns aligned."""
    cells = table(rows)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w)
                               for i, (cell, w) in enumerate(zip(line, widths, strict=True))) for line in cells)


def publish(name: str, rows: Sequence[Row], folder: Path = RESULTS) -> Path:
    """Write the file and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    text = json.dumps({"bench": name, "machine": machine(), "rows": list(rows)}, indent=1)
    path.write_text(text + "\n", encoding="utf-8")
    print(f"\n{plain(rows)}\n\nwrote {path.name}", flush=True)
    return path
