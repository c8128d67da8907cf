"""SharedSubjectAttention's work at graph time: scenes to one prompt, one latent each, everything checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...core.method import Chain
from ...core.text import Phrase, PhraseNotFound, PromptTag
from ..errors import DirectorError
from ..families.checkpoint import fingerprint
from ..run.install import install, key_of
from ..run.run import CHAIN_KEY
from ..text.prompt import Conditioning, encode, encode_lines, take_prompt, tokenise_phrase, with_key
from ..text.refusals import APPENDED, nearest_hint
from ..untrusted import require_number
from .bank import MOST_ANCHORS, SubjectBank
from .method import SharedSubject
from .options import SubjectOptions

Latent = dict[str, Any]
NOTHING_BEFORE = tuple(",.;:!?")


@dataclass(frozen=True)
class Outputs:
    """The node's outputs."""

    model: Any
    positive: Conditioning
    latent: Latent


def build(node: str, unique_id: str, model: Any, clip: Any, text: str | Conditioning, prefix: str, suffix: str,
          subjects: str, latent: Latent, bank: SubjectBank | None, options: SubjectOptions) -> Outputs:
    """One prompt of all scenes, a latent for each, and the method on the model. Raises DirectorError."""
    check_numbers(node, options)
    conditioning, tag = scenes_of(node, clip, text, prefix, suffix)
    phrases = subjects_of(node, clip, subjects, tag)
    scenes = len(tag.rows)
    if not bank and scenes < 2:
        raise DirectorError(node, "a single scene has no other to share its subject with; write a second line or "
                                  "connect a bank.")
    if not bank and options.anchors > scenes:
        raise DirectorError(node, f"{options.anchors} anchors for {scenes} scenes; use {scenes} or fewer.")
    shared = latents_for(node, latent, scenes, bank)
    if options.strength == 0.0 or not (options.sharing or options.injecting):
        return Outputs(model, conditioning, shared)
    check_model(node, model, bank, len(phrases), options)
    kept = (bank.facts(), bank.tensors.get("features")) if bank else None
    key = key_of(unique_id, [row.text for row in tag.rows], [p.text for p in phrases], options, kept)
    method = SharedSubject(key, tuple(phrases), scenes, options, bank, node)
    return Outputs(install(model, method), with_key(conditioning, tag, key), shared)


def scenes_of(node: str, clip: Any, text: str | Conditioning, prefix: str,
              suffix: str) -> tuple[Conditioning, PromptTag]:
    """The prompt of all scenes: typed lines with prefix and suffix round each, or linked rows as they are."""
    if not isinstance(text, str):
        if prefix.strip() or suffix.strip():
            raise DirectorError(node, "prefix and suffix apply only to typed scenes; empty them, or type the scenes "
                                      "here.")
        return take_prompt(clip, text, node)
    lines = [around(line.strip(), prefix.strip(), suffix.strip()) for line in text.splitlines() if line.strip()]
    if not lines:
        raise DirectorError(node, "there is no scene; write one scene per line.")
    conditioning = encode(clip, lines[0], node) if len(lines) == 1 else encode_lines(clip, lines, node)
    return take_prompt(clip, conditioning, node)


def around(line: str, prefix: str, suffix: str) -> str:
    """A scene with the words every scene shares; a suffix that begins with a comma follows without a space."""
    text = f"{prefix} {line}".strip()
    return f"{text}{'' if suffix.startswith(NOTHING_BEFORE) else ' '}{suffix}".strip()


def subjects_of(node: str, clip: Any, subjects: str, tag: PromptTag) -> list[Phrase]:
    """The subjects' phrases, each found in every scene."""
    lines = [line.strip() for line in subjects.splitlines() if line.strip()]
    if not lines:
        raise DirectorError(node, "subjects is empty; write the words that stand for the subject in every scene.")
    phrases = [tokenise_phrase(clip, line, node) for line in lines]
    for wanted in phrases:
        if wanted.empty:
            raise DirectorError(node, f'the subject "{wanted.text}" contains no word; write words of the scenes.')
        for number, row in enumerate(tag.rows, 1):
            try:
                wanted.find(row)
            except PhraseNotFound:
                nearest, more = nearest_hint(wanted, [row]), APPENDED if tag.appended else ""
                raise DirectorError(node, f'scene {number} "{row.text}" lacks the subject "{wanted.text}"{nearest}. '
                                          f"Write it there, or once in prefix.{more}") from None
    return phrases


def latents_for(node: str, latent: Latent, scenes: int, bank: SubjectBank | None) -> Latent:
    """One latent per scene: a single one is repeated, with the numbers that give each scene noise of its own.

    Behind a bank of A anchors the scenes are pictures A, A + 1, ... of the batch, so that they do not
    start from an anchor's noise at the same seed.
    """
    samples = latent["samples"]
    if samples.shape[0] not in (1, scenes):
        raise DirectorError(node, f"{samples.shape[0]} latents for {scenes} scenes; give one, or one per scene.")
    shared = dict(latent)
    if samples.shape[0] != scenes:
        shared["samples"] = samples.repeat(scenes, *[1] * (samples.ndim - 1))
    first = bank.anchors if bank else 0
    given = latent.get("batch_index") or None
    if given is not None and len(given) != scenes:
        first += given[0]
    if (given is not None and len(given) != scenes) or (bank and given is None):
        shared["batch_index"] = list(range(first, first + scenes))
    return shared


def check_numbers(node: str, options: SubjectOptions) -> None:
    """Linked numbers pass by the widgets' limits."""
    for name, most in (("strength", 2.0), ("injection", 1.0), ("variety", 0.95), ("query_blend", 1.0)):
        require_number(node, name, getattr(options, name), 0, most)
    require_number(node, "anchors", options.anchors, 1, MOST_ANCHORS)


def check_model(node: str, model: Any, bank: SubjectBank | None, subjects: int, options: SubjectOptions) -> None:
    """What the model holds already, and whether the bank is one of it."""
    chain: Chain = model.model_options["transformer_options"].get(CHAIN_KEY) or Chain()
    if any(isinstance(method, SharedSubject) for method in chain.methods):
        raise DirectorError(node, "the model already shares subjects; write all of them in one node, one per line.")
    if bank is None:
        return
    if bank.model != fingerprint(model):
        raise DirectorError(node, "the bank was made with another model; make it again with this one.")
    if options.separate and len(bank.subjects) != subjects:
        raise DirectorError(node, f"the bank has {len(bank.subjects)} subjects and the scenes {subjects}; name the "
                                  "same ones in the same order, or switch separate_subjects off.")
