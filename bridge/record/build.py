"""AttnDirRecord's work at graph time: find the phrases in the prompt, put a recorder on the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...core.text import Phrase, TextLayout
from ..errors import DirectorError
from ..run.install import install, key_of
from ..text.prompt import TAG_KEY, Conditioning, appended_to
from ..text.refusals import missing
from ..text.words import phrase_without_clip
from ..untrusted import require_window
from .phrases import every_word, is_in
from .recorder import MOST_PHRASES, Recorder
from .store import RecordStore

Prompts = tuple[tuple[TextLayout, ...], ...]
WRITE = "write words of the prompt, one phrase per line."


@dataclass(frozen=True)
class Outputs:
    """AttnDirRecord's output."""

    model: Any


def build(node: str, unique_id: str, model: Any, positive: Conditioning, phrases: str, start: float, end: float,
          into: RecordStore | None = None) -> Outputs:
    """The model with a recorder, or the model itself where the window is empty. Raises DirectorError.

    into: where the record goes; None: where readouts look for it.
    """
    prompts = prompts_of(node, positive)
    lines = [line.strip() for line in phrases.splitlines() if line.strip()]
    chosen = tuple(_found(node, line, prompts, positive) for line in lines)
    if len(chosen) > MOST_PHRASES:
        raise DirectorError(node, f"phrases has {len(chosen)} lines; use {MOST_PHRASES} or fewer.")
    if not every_word(prompts, 1):
        raise DirectorError(node, "the linked prompt contains no words to record; type a prompt.")
    schedule = require_window(node, start, end)
    if schedule.empty:
        return Outputs(model)
    key = key_of(unique_id, [[row.text for row in rows] for rows in prompts], lines, start, end)
    return Outputs(install(model, Recorder(key, prompts, chosen, schedule, label=node, into=into)))


def prompts_of(node: str, positive: Conditioning) -> Prompts:
    """The words of every entry of a conditioning, each prompt once."""
    found = [values[TAG_KEY].rows for _, values in positive if TAG_KEY in values]
    if not found:
        raise DirectorError(node, "the linked prompt was not made by an Attention Director node, so its words are "
                                  "unknown; use Encode Prompt in place of CLIP Text Encode.")
    return tuple(dict.fromkeys(found))


def _found(node: str, line: str, prompts: Prompts, positive: Conditioning) -> Phrase:
    """The phrase of a line. Raises DirectorError, naming the nearest words, where no prompt holds it."""
    phrase = phrase_without_clip(line)
    if phrase.empty:
        raise DirectorError(node, f'"{line}" contains no words; {WRITE}')
    if not is_in(phrase, prompts):
        layouts = [layout for rows in prompts for layout in rows]
        appended = sum(appended_to(positive, values[TAG_KEY]) for _, values in positive if TAG_KEY in values)
        raise DirectorError(node, missing(f'"{line}"', phrase, layouts, f"W{WRITE[1:]}", appended))
    return phrase

