"""Region Prompt's presets, and the options behind the numbers of preset custom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ...core.regions import RegionRule
from ...core.schedule import Schedule
from ..untrusted import require_number, require_window


@dataclass(frozen=True)
class RegionOptions:
    """What a preset fixes. reencode: what a region's words are encoded with, "" for no encoding of their own."""

    rule: RegionRule
    schedule: Schedule
    reencode: Literal["", "alone", "rest"]

    def with_words(self, unbound_words: str, uncovered: str) -> RegionOptions:
        rule = replace(self.rule, everywhere=unbound_words == "everywhere", background=uncovered == "background")
        return replace(self, rule=rule)


# Chosen on the tiny world, see lab/NOTES.md: keys of others fall below the row's range by a margin, logits keep
# their order, padding is the background's, and the rule holds to the end.
STRONG = RegionOptions(
    RegionRule(cross_strength=1.0, self_strength=0.15, size_adaptation=0.0, flatten=0.0, margin=4.0, padding=True),
    Schedule(0.0, 1.0, 0.5), "rest")
PAPER = RegionOptions(RegionRule(), Schedule(0.0, 0.3, 5.0), "alone")

# Largest value of each number that preset custom reveals; a linked one passes by the widget's limits.
MOST = {"cross_strength": 2.0, "self_strength": 2.0, "size_adaptation": 1.0, "decay_power": 10.0}


def custom_options(node: str, values: Mapping[str, Any]) -> RegionOptions:
    """The numbers that preset custom reveals, as options. Raises DirectorError for one outside its range."""
    for name, most in MOST.items():
        require_number(node, name, values[name], 0, most)
    schedule = require_window(node, values["start_percent"], values["end_percent"], decay_power=values["decay_power"])
    rule = RegionRule(cross_strength=values["cross_strength"], self_strength=values["self_strength"],
                      size_adaptation=values["size_adaptation"])
    return RegionOptions(rule, schedule, "alone" if values["reencode_phrases"] else "")
