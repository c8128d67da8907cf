"""What Identity Inject is asked for, whichever way it goes: by words fused with pictures, or by reference pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...core.text import Phrase, PromptTag
from ..convert import stack_masks
from ..errors import DirectorError
from ..run.install import key_of
from ..text.prompt import Conditioning, is_from
from .method import FUSED, PHASE_KEY, TEXT
from .subject import Subject, SubjectList


@dataclass(frozen=True)
class IdentityOptions:
    """The node's numbers. start_percent: the paper's 1 - alpha.

    published: count text-only steps as the code published with the paper does (the node's published_step_rule).
    """

    strength: float = 1.0
    start_percent: float = 0.3
    strength_model: float = 1.0
    localise: float = 0.0
    published: bool = False


@dataclass(frozen=True)
class Outputs:
    """IdentityInject's outputs."""

    model: Any
    positive: Conditioning


@dataclass(frozen=True, eq=False)
class Asked:
    """A prompt and its subjects, whose phrases were found in it."""

    node: str
    unique_id: str
    conditioning: Conditioning
    tag: PromptTag
    subjects: SubjectList
    phrases: tuple[Phrase, ...]
    options: IdentityOptions

    @property
    def strengths(self) -> list[float]:
        return [self.options.strength * subject.strength for subject in self.subjects]

    def key(self, pictures: Any) -> str:
        """The key of the node's methods. pictures: tensors that the subjects' pictures became."""
        said = [(subject.phrase, subject.strength, subject.mask) for subject in self.subjects]
        return key_of(self.unique_id, [row.text for row in self.tag.rows], said, pictures, self.options)

    @property
    def masked(self) -> torch.Tensor:
        """Which subjects have a mask: bool [S]."""
        return torch.tensor([subject.mask is not None for subject in self.subjects])

    def masks(self) -> torch.Tensor:
        """bool [I, S, H, W], of ones where a subject has none. Raises DirectorError for batches that do not fit."""
        return stack_masks(self.node, list(map(_mask_of, self.subjects)))


def _mask_of(subject: Subject) -> torch.Tensor:
    return torch.ones(1, 8, 8) if subject.mask is None else subject.mask


def staged(node: str, text: Conditioning, given: Conditioning, tag: PromptTag, key: str,
           options: IdentityOptions) -> Conditioning:
    """Text-only entries until start_percent, those with the subjects after; entries of another prompt as they are.

    An entry's own range is kept: both halves lie inside it. Under the published rule the ranges say
    "text only", and the run itself counts its steps.
    """
    out: Conditioning = []
    start = options.start_percent
    for (plain, values), (subjects, theirs) in zip(text, given, strict=True):
        if not is_from(values, tag):
            out.append([plain, values])
        elif options.published:
            if "start_percent" in values or "end_percent" in values:
                raise DirectorError(node, "published_step_rule counts the steps of the whole run, but this prompt has "
                                          "its own time range; switch the rule off or remove the range.")
            out.append([plain, {**values, PHASE_KEY: (key, TEXT, ())}])
            out.append([subjects, {**theirs, "start_percent": 1.0, "end_percent": 1.0,
                                     PHASE_KEY: (key, FUSED, ("timestep_start", "timestep_end"))}])
        else:
            first, last = values.get("start_percent", 0.0), values.get("end_percent", 1.0)
            if first < start:
                out.append([plain, {**values, "start_percent": first, "end_percent": min(last, start)}])
            if last > start:
                later = {} if start <= first else {"start_percent": start, "end_percent": last}
                out.append([subjects, {**theirs, **later}])
    return out
