"""The sentences that the source has for people, read without running it."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GIVEN = "\N{BULLET}"  # stands for what a sentence is given
# No page shows what these say: they are the self check's command line.
COMMAND_LINE = ("bridge/check/compare.py", "bridge/check/loading.py", "bridge/check/report.py")
# Functions that make a sentence, and sentences that were made, and are found, elsewhere.
MAKERS = ("missing", "claimed", "_claimed", "_why_lost")
MADE = {"number_them": f"write {GIVEN}#1 and {GIVEN}#2"}
ELSEWHERE = ("str(error)", "next(iter(lost.values()))")
# Which argument is the sentence.
RAISED = {"DirectorError": 1, "Unreadable": 0, "ValueError": 0}
SAVED = f'"{GIVEN}" could not be saved: '  # bridge/files.py


@dataclass(frozen=True)
class Sentence:
    """Where something is said, and what: every text it may become, with GIVEN in the place of what it is given.

    said: empty where the source does not show it.
    """

    where: str
    said: tuple[str, ...]


def sentences() -> list[Sentence]:
    """All refusals with the reasons in them; of plain ValueErrors those that say what to do."""
    paths = [path for room in ("bridge", "nodes", "core") for path in sorted((ROOT / room).rglob("*.py"))]
    return [found for path in paths if path.relative_to(ROOT).as_posix() not in COMMAND_LINE
            for found in sentences_of(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())]


def sentences_of(source: str, name: str) -> Iterator[Sentence]:
    """Those of one file."""
    tree = ast.parse(source)
    texts = _constants(tree)
    for node in ast.walk(tree):
        for said in _spoken(node, texts):
            if not any(map(_is_given, said)):
                yield Sentence(f"{name}:{node.lineno}", said)  # type: ignore[attr-defined]
    if name == "bridge/files.py":
        reasons = [node.value for line in tree.body for node in ast.walk(line) if isinstance(line, ast.Assign)
                   and isinstance(node, ast.Constant) and isinstance(node.value, str) and "; " in node.value]
        yield from (Sentence(name, (f"{SAVED}{reason}.",)) for reason in reasons)


def _spoken(node: ast.AST, texts: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
    if isinstance(node, ast.Call) and called == "reading":
        what, remedy = (tuple(readings(part, texts)) for part in node.args[1:3])
        yield tuple(f"{w} ({GIVEN}); {r}" for w in what for r in remedy)
    elif isinstance(node, ast.Call) and called in RAISED and len(node.args) > RAISED[called]:
        sentence = node.args[RAISED[called]]
        said = tuple(readings(sentence, texts))
        if called == "ValueError":  # a run puts the node before it and a full stop behind it
            yield from ((f"{text.removeprefix(GIVEN + ': ').removesuffix('.')}.",) for text in said if "; " in text)
        elif ast.unparse(sentence).partition("(")[0] not in MAKERS and ast.unparse(sentence) not in ELSEWHERE:
            yield said
    elif isinstance(node, ast.FunctionDef) and node.name in MAKERS and ast.unparse(node.returns or node) == "str":
        returned = (inner.value for inner in ast.walk(node) if isinstance(inner, ast.Return) and inner.value)
        yield from (said for value in returned if (said := tuple(readings(value, texts))))


def _is_given(text: str) -> bool:
    return not re.search(r"\w{3}", text)


def _constants(tree: ast.Module) -> dict[str, str]:
    """Texts that a module names, also several in one line."""
    found: dict[str, str] = {}
    for line in tree.body:
        if not isinstance(line, ast.Assign):
            continue
        target, value = line.targets[0], line.value
        both = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
        pairs = zip(target.elts, value.elts, strict=True) if both else [(target, value)]  # type: ignore[attr-defined]
        found |= {name.id: text.value for name, text in pairs if isinstance(name, ast.Name)
                  and isinstance(text, ast.Constant) and isinstance(text.value, str)}
    return found


def readings(node: ast.expr, texts: Mapping[str, str]) -> Iterator[str]:
    """What a text in the source may become: a plural's s may be missing, a choice has two. Nothing where unknown."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Name) and node.id in texts:
        yield texts[node.id]
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in MADE:
        yield MADE[ast.unparse(node.func)]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        yield from ("s", "")
    elif isinstance(node, ast.IfExp):
        yield from (*readings(node.body, texts), *readings(node.orelse, texts))
    elif isinstance(node, ast.FormattedValue):
        yield from readings(node.value, texts)
    elif isinstance(node, ast.JoinedStr):
        yield from map("".join, itertools.product(*(tuple(readings(part, texts)) or (GIVEN,) for part in node.values)))
