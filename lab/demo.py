"""Every example workflow through the real server, and a page with what came out: python3 lab/run.py demo."""

from __future__ import annotations

import argparse
import html
import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from client import ROOT, Graph, Refused, Server
from graph import CannotConvert, inputs_of, missing_files, to_prompt

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
section { border-top: 1px solid #8884; padding: 1rem 0; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; } img { height: 192px; image-rendering: auto; display: block; }
figcaption, dt { color: #777; font-size: 0.85rem; } dd { margin: 0 0 0.5rem; white-space: pre-wrap; }
.error { color: #c22; }
"""


@dataclass
class Exhibit:
    """One workflow of the page. note: why it was not run, or what failed."""

    name: str
    seconds: float = 0.0
    note: str = ""
    failed: bool = False
    brought: bool = False  # it needs files that a person brings
    pictures: list[tuple[str, str]] = field(default_factory=list)  # (file name, title of its node)
    lines: list[tuple[str, str]] = field(default_factory=list)     # (title of a node, what it said)
    prompts: list[tuple[str, str]] = field(default_factory=list)   # (title and input, text)


def title(graph: Graph, node: str) -> str:
    return graph.get(node, {}).get("_meta", {}).get("title", node)


def prompt_texts(graph: Graph, info: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a person typed: every text field that is not empty and no JSON of a drawing."""
    for key, node in graph.items():
        for name, (kind, _) in inputs_of(info[node["class_type"]]).items():
            value = node["inputs"].get(name)
            typed = str(kind).split(",")[0] == "STRING" and name != "filename_prefix"
            if typed and isinstance(value, str) and value.strip() and not value.lstrip().startswith(("{", "[")):
                yield f"{title(graph, key)} · {name}", value


def show(server: Server, path: Path, info: dict[str, Any], folder: Path) -> Exhibit:
    """Run one workflow; a failure is a part of the page, not the end of it."""
    exhibit = Exhibit(path.stem)
    try:
        graph = to_prompt(json.loads(path.read_text(encoding="utf-8")), info)
        exhibit.prompts = list(prompt_texts(graph, info))
        missing = missing_files(graph, info)
        if missing:
            exhibit.brought = True
            exhibit.note = f"not run: it needs {', '.join(missing)}, which the demo does not have"
            return exhibit
        outcome = server.queue(graph)
    except (CannotConvert, Refused) as error:
        exhibit.note, exhibit.failed = str(error), True
        return exhibit
    exhibit.seconds, exhibit.note, exhibit.failed = outcome.seconds, outcome.error, bool(outcome.error)
    exhibit.lines = [(title(graph, node), line) for node, line in outcome.statuses.items()]
    exhibit.lines += [(title(graph, node), str(text)) for node, output in outcome.outputs.items()
                      for text in output.get("text", ())]
    for number, picture in enumerate(server.images(outcome.prompt_id), 1):
        name = f"{path.stem} {number}.png"
        (folder / name).write_bytes(picture.data)
        exhibit.pictures.append((name, title(graph, picture.node)))
    return exhibit


def section(exhibit: Exhibit) -> str:
    """HTML of one workflow; everything that comes from a file is escaped."""
    text = html.escape
    pictures = "".join(f'<figure><img src="{text(name)}" alt=""><figcaption>{text(node)}</figcaption></figure>'
                       for name, node in exhibit.pictures)
    facts = "".join(f"<dt>{text(node)}</dt><dd>{text(line)}</dd>" for node, line in exhibit.lines + exhibit.prompts)
    note = f'<p class="{"error" if exhibit.failed else "note"}">{text(exhibit.note)}</p>' if exhibit.note else ""
    seconds = f"<p>{exhibit.seconds:.1f} s</p>" if exhibit.seconds else ""
    return (f"<section><h2>{text(exhibit.name)}</h2>{note}<div class=\"pictures\">{pictures}</div>"
            f"{seconds}<dl>{facts}</dl></section>")


def page(exhibits: list[Exhibit], seconds: float) -> str:
    shown = [exhibit for exhibit in exhibits if not exhibit.brought]
    others = "; ".join(html.escape(exhibit.name) for exhibit in exhibits if exhibit.brought)
    return ("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Attention Director: demo</title>"
            f"<style>{STYLE}</style><h1>Attention Director</h1><p>{len(shown)} example workflows, drawn by the "
            f"demo model through the real server in {seconds:.0f} s.</p>{''.join(map(section, shown))}"
            f"<section><h2>For a checkpoint of your own</h2><p>Not run here: {others or 'none'}.</p></section>"
            "</html>\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 lab/run.py demo", description=__doc__)
    parser.add_argument("--workflows", type=Path, default=ROOT / "workflows", help="folder of workflows to run")
    parser.add_argument("--out", type=Path, default=ROOT / "lab" / "runs" / "demo", help="folder of the page")
    own, arguments = parser.parse_known_args()
    started = time.monotonic()
    shutil.rmtree(own.out, ignore_errors=True)
    own.out.mkdir(parents=True)
    exhibits = []
    print("starting the server", flush=True)
    with Server(arguments=tuple(arguments)) as server:
        info = server.object_info()
        for path in sorted(own.workflows.glob("*.json"), key=lambda path: path.stem):
            exhibit = show(server, path, info, own.out)
            exhibits.append(exhibit)
            print(f"{exhibit.name}: {exhibit.note or f'{exhibit.seconds:.1f} s'}", flush=True)
    gallery = own.out / "index.html"
    gallery.write_text(page(exhibits, time.monotonic() - started), encoding="utf-8")
    print(f"gallery: {gallery}")
    return int(any(exhibit.failed for exhibit in exhibits))


if __name__ == "__main__":
    sys.exit(main())
