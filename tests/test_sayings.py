"""What nodes say to a person is known to the page, which translates it: web/shared/sayings.js.

The page finds a sentence by its words, so one that changes here loses its translation without a sound.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
KNOWN = json.loads((ROOT / "locales/en/main.json").read_text(encoding="utf-8"))["attentionDirectorServer"]
# Whose refusals are whole. Those of other rooms are known in part: files that break, and inversion's many kinds.
ROOMS = ("regions", "record", "edit", "text", "run")
GIVEN = "\N{BULLET}"  # stands for what a sentence is given


def pattern(known: str) -> re.Pattern[str]:
    """As the page reads it."""
    seen: set[str] = set()

    def part(found: re.Match[str]) -> str:
        again = found[1] in seen
        seen.add(found[1])
        return f"(?P={found[1]})" if again else f"(?P<{found[1]}>.+?)"

    pieces = re.split(r"(\{\w+\})", known)
    return re.compile("".join(re.sub(r"\{(\w+)\}", part, piece) if i % 2 else re.escape(piece)
                              for i, piece in enumerate(pieces)))


PATTERNS = [pattern(known) for known in KNOWN]


def is_known(line: str) -> bool:
    """The page finds each clause, alone or with its neighbours."""
    clauses = line.split("; ")
    return any(p.fullmatch(line) for p in PATTERNS) or (
        len(clauses) > 1 and any(is_known("; ".join(clauses[:n])) and is_known("; ".join(clauses[n:]))
                                 for n in range(1, len(clauses))))


def readings(node: ast.expr) -> Iterator[str]:
    """What a sentence in the source may become: what it is given may be nothing, as a plural's s."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        yield from ("s", "")
    elif isinstance(node, ast.JoinedStr):
        parts = [list(readings(part)) for part in node.values]
        yield from map("".join, itertools.product(*parts))
    elif isinstance(node, ast.FormattedValue):
        yield from readings(node.value) if isinstance(node.value, ast.BinOp) else (GIVEN, "")


def refusals() -> dict[str, ast.expr]:
    """Where a sentence is written -> the sentence, of each refusal that has it in place."""
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / "bridge" / room).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "DirectorError":
                    sentence = node.args[1]
                    if re.search(r"\w{3}", next(readings(sentence), "")):  # else core said it, or a list
                        found[f"{path.name}:{node.lineno}"] = sentence
    return found


@pytest.mark.parametrize(("where", "sentence"), refusals().items(), 
                         ids=lambda value: value if isinstance(value, str) else "")
def test_a_refusal_is_known_to_the_page(where: str, sentence: ast.expr) -> None:
    said = list(readings(sentence))
    assert any(map(is_known, said)), f"{where}: add {said[0]!r} to attentionDirectorServer in locales/*/main.json"


@pytest.mark.parametrize("line", [
    "active in steps 1-4 of 20; 2 regions; +0.3 s", "active in step 3 of 20; 1 region, 1 left out (empty mask)",
    "nothing happened: the sampler's positive does not come from this node",
    "nothing happened: the run began at 40%; this node's window ends at 30%",
    "nothing happened: no step of the run lies between 0% and 0%",
    "region 2 has no words in this prompt and was left out; active in steps 1-4 of 4; 1 region",
    "regions 2, 3 have no words in this prompt and were left out; active in steps 1-4 of 4; 1 region",
    "nothing happened: left out in all 12 layers whose pixels another node rearranged",
    "nothing happened: another node computes this model's attention in its own way; bypass that node",
    "active in steps 1-4 of 4; 2 replace, local blend; in 3 layers ComfyUI's own attention took the place of another "
    "node's", "active in steps 1-4 of 4; 3 steps guided; agreement 0.62", "direct, 30 steps; reconstruction 31.2 dB",
    "active in steps 1-4 of 4; 4 scenes, 2 anchors; in 3 of 12 picture steps nothing was shared, because the subject "
    "was not found; 2 steps were too far from the bank's", "active in steps 1-4 of 4; bank of 3.1 MB",
    "active in steps 1-4 of 4; 2 subjects; their masks do nothing while localise is 0",
    "active in steps 1-4 of 4; 1 subject; none of their pictures reached the model; wire this node's positive to the "
    "sampler as it is",
    "active in steps 1-4 of 4; 3 phrases recorded; 2 steps were skipped by a cache", "trained 20 steps; loss 0.0312",
    "nothing happened: the mask is empty"])
def test_a_line_of_a_run_is_known_to_the_page(line: str) -> None:
    clauses = [clause for clause in line.split("; ") if not re.fullmatch(r"\+[\d.]+ s|loss [\d.]+", clause)]
    assert is_known("; ".join(clauses))


def test_a_sentence_that_changed_is_seen() -> None:
    assert not is_known("active in all steps of 4") and not is_known("2 regions; something else")
