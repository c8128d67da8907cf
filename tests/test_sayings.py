"""What nodes say to a person is known to the page, which translates it: web/shared/sayings.js.

The page finds a sentence by its words, so one that changes here loses its translation without a sound.
"""

from __future__ import annotations

import itertools
import json
import re

import pytest
from sentences import GIVEN, ROOT, Sentence, sentences, sentences_of

KNOWN = json.loads((ROOT / "locales/en/main.json").read_text(encoding="utf-8"))["attentionDirectorServer"]
PART = r'(?:"[^"]*"|(?!; ).)+?'


def pattern(known: str) -> re.Pattern[str]:
    """As the page reads it."""
    seen: set[str] = set()

    def part(found: re.Match[str]) -> str:
        again = found[1] in seen
        seen.add(found[1])
        return f"(?P={found[1]})" if again else f"(?P<{found[1]}>{PART})"

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


def is_known_with_parts(text: str) -> bool:
    """Whether the page knows it, where what it is given may be nothing, as a hint that there is not."""
    pieces = text.split(GIVEN)
    return any(is_known("".join(itertools.chain(*zip(pieces, (*given, ""), strict=True))))
               for given in itertools.product((GIVEN, ""), repeat=len(pieces) - 1))


@pytest.mark.parametrize("sentence", sentences(), ids=lambda sentence: sentence.where)
def test_a_sentence_is_known_to_the_page(sentence: Sentence) -> None:
    assert sentence.said, f"{sentence.where}: write the sentence in place, so that this test can read it"
    unknown = [text for text in sentence.said if not is_known_with_parts(text)]
    assert not unknown, f"{sentence.where}: add {unknown} to attentionDirectorServer in locales/*/main.json"


@pytest.mark.parametrize("line", [
    "active in steps 1-4 of 20; 2 regions; +0.3 s", "active in step 3 of 20; 1 region, 1 left out (empty mask)",
    "nothing happened: the sampler's positive does not come from this node",
    "nothing happened: the run began at 40%; this node's window ends at 30%",
    "nothing happened: no step of the run lies between 0% and 0%",
    "region 2 has no words in this prompt and was left out; active in steps 1-4 of 4; 1 region",
    "regions 2, 3 have no words in this prompt and were left out; active in steps 1-4 of 4; 1 region",
    "nothing happened: left out in all 12 layers whose pixels another node rearranged",
    "nothing happened: another node computes this model's attention in its own way; bypass that node",
    "active in steps 1-4 of 4; 2 replace; 1 refine; local blend; in 3 layers ComfyUI's own attention took the place of "
    "another node's", "active in steps 1-4 of 4; 3 steps guided; agreement 0.62",
    "direct, 30 steps; reconstruction 31.2 dB",
    "active in steps 1-4 of 4; 4 scenes, 2 anchors; in 3 of 12 picture steps nothing was shared, because the subject "
    "was not found; 2 steps were too far from the bank's", "active in steps 1-4 of 4; bank of 3.1 MB",
    "active in steps 1-4 of 4; 2 subjects; their masks do nothing while localise is 0",
    "active in steps 1-4 of 4; 1 subject; none of their pictures reached the model; wire this node's positive to the "
    "sampler as it is",
    "active in steps 1-4 of 4; 3 phrases recorded; 2 steps were skipped by a cache", "trained 20 steps; loss 0.0312",
    "nothing happened: the sampler's positive is not the prompt that is linked here", "regions: works; edits: left out",
    "nothing happened: the mask is empty",
    'subject 2 "hats" is not in the prompt; nearest: "hat". Use a word of the prompt, such as woman, not a name.',
    'reweight line 1: "cat" is not in any target prompt; nearest: "hat". Use words of the prompt.'])
def test_a_line_of_a_run_is_known_to_the_page(line: str) -> None:
    clauses = [clause for clause in line.split("; ") if not re.fullmatch(r"\+[\d.]+ s", clause)]
    assert is_known("; ".join(clauses))


def test_a_sentence_that_changed_is_seen() -> None:
    assert not is_known("active in all steps of 4") and not is_known("2 regions; something else")


@pytest.mark.parametrize(("source", "said"), [
    ('raise DirectorError(node, f"{name} is purple; paint it.")', f"{GIVEN} is purple; paint it."),
    ('raise DirectorError(node, "it is " + colour)', None),
    ('raise Unreadable(f"it has {count} stripe{\'s\' * (count > 1)}")', f"it has {GIVEN} stripes"),
    ('raise ValueError(f"{label}: {count} stripes; paint it")', f"{GIVEN} stripes; paint it."),
    ('COLOUR = "purple"\nwith reading(node, f"{name} is {COLOUR}", "paint it."): pass',
     f"{GIVEN} is purple ({GIVEN}); paint it."),
    ('def missing(who: str) -> str:\n    return f"{who} is purple; paint it."', f"{GIVEN} is purple; paint it.")])
def test_a_new_refusal_is_seen(source: str, said: str | None) -> None:
    found, = sentences_of(source, "bridge/new.py")
    assert found.said[:1] == (() if said is None else (said,)) and not any(map(is_known_with_parts, found.said))
