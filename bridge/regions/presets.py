"""Region Prompt's presets, and the options behind the numbers of preset custom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from ...core.joint_regions import JointRule, Share
from ...core.regions import RegionRule
from ...core.schedule import Schedule
from ..errors import DirectorError
from ..untrusted import Unreadable, finite, reading, require_number, require_window

Reencode = Literal["", "alone", "rest"]
Rule = TypeVar("Rule", RegionRule, JointRule)


@dataclass(frozen=True)
class JointOptions:
    """What a preset fixes where text and image share one attention."""

    rule: JointRule
    schedule: Schedule
    reencode: Reencode = ""


@dataclass(frozen=True)
class RegionOptions:
    """What a preset fixes. reencode: what a region's words are encoded with, "" for no encoding of their own.

    joint: the same for models whose text and image share one attention.
    """

    rule: RegionRule
    schedule: Schedule
    reencode: Reencode
    joint: JointOptions

    def with_choices(self, unbound_words: str, uncovered: str, text_share: Share = "keep") -> RegionOptions:
        """What the node asks beside a preset, by its names there."""
        words = {"everywhere": unbound_words == "everywhere", "background": uncovered == "background"}
        joint = replace(self.joint.rule, **words, share=text_share)
        return replace(self, rule=replace(self.rule, **words), joint=replace(self.joint, rule=joint))


# Chosen on the tiny world, see lab/NOTES.md: keys of others fall below the row's range by a margin, logits keep
# their order, padding is the background's, and the rule holds to the end. In joint layers, chosen on the storybook
# world, image to image makes tiles, and three fifths of the run are enough, also where that is three steps.
STRONG = RegionOptions(
    RegionRule(cross_strength=1.0, self_strength=0.15, size_adaptation=0.0, flatten=0.0, margin=4.0, padding=True),
    Schedule(0.0, 1.0, 0.5), "rest",
    JointOptions(JointRule(text_strength=0.0, margin=8.0, padding=True), Schedule(0.0, 0.6)))
# In joint layers: the paper's softmax in each block. Its levelling loses things there, so custom does without.
PAPER = RegionOptions(
    RegionRule(), Schedule(0.0, 0.3, 5.0), "alone",
    JointOptions(JointRule(self_strength=0.3, size_adaptation=1.0, flatten=1.0, margin=0.0, text_strength=0.0),
                 Schedule(0.0, 0.3, 5.0)))

# Largest value of each number that preset custom reveals; a linked one passes by the widget's limits.
MOST = {"cross_strength": 2.0, "self_strength": 2.0, "size_adaptation": 1.0, "decay_power": 10.0}


def custom_options(node: str, values: Mapping[str, Any]) -> RegionOptions:
    """The numbers that preset custom reveals, as options. Raises DirectorError for one outside its range."""
    for name, most in MOST.items():
        require_number(node, name, values[name], 0, most)
    schedule = require_window(node, values["start_percent"], values["end_percent"], decay_power=values["decay_power"])
    numbers = {name: values[name] for name in ("cross_strength", "self_strength", "size_adaptation")}
    return RegionOptions(RegionRule(**numbers), schedule, "alone" if values["reencode_phrases"] else "",
                         JointOptions(replace(STRONG.joint.rule, **numbers), schedule))


# What preset pasted reads, and the largest value of each.
PASTED = {**MOST, "text_strength": 2.0, "margin": 64.0, "start_percent": 1.0, "end_percent": 1.0}


def pasted_options(node: str, text: str) -> RegionOptions:
    """Preset strong, but for the numbers in a text: one ``name: number`` a line, as a self check prints them.

    They count on models of both kinds. Raises DirectorError for a line that is none.
    """
    values = dict(_line(node, number, line) for number, line in enumerate(text.splitlines(), 1)
                  if line.strip() and not line.lstrip().startswith("#"))
    if not values:
        raise DirectorError(node, "settings is empty; paste what a self check printed, or choose another preset.")
    return replace(STRONG, rule=_with(STRONG.rule, values), schedule=_window(node, STRONG.schedule, values),
                   joint=replace(STRONG.joint, rule=_with(STRONG.joint.rule, values),
                                 schedule=_window(node, STRONG.joint.schedule, values)))


def _line(node: str, number: int, line: str) -> tuple[str, float]:
    name, colon, value = (part.strip() for part in line.partition(":"))
    with reading(node, f'settings line {number} "{line.strip()}" is no setting', "write a line such as margin: 8."):
        if not colon or name not in PASTED:
            raise Unreadable(f"the settings are {', '.join(PASTED)}")
        found = finite(value)
    require_number(node, name, found, 0, PASTED[name])
    return name, found


def _with(rule: Rule, values: Mapping[str, float]) -> Rule:
    """The numbers that this kind of rule has."""
    return replace(rule, **{name: value for name, value in values.items() if hasattr(rule, name)})


def _window(node: str, schedule: Schedule, values: Mapping[str, float]) -> Schedule:
    return require_window(node, values.get("start_percent", schedule.start), values.get("end_percent", schedule.end),
                          decay_power=values.get("decay_power", schedule.decay_power))
