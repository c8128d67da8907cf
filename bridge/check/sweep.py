"""A small search for the settings of Region Prompt that land best on a model, told as text to paste into the node.

Not the cases that the check counts: the things change their places, and the seed is another one. One number at a time,
from preset strong, each kept where it is clearly better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

import torch

from ..families import family_of
from ..regions.presets import STRONG, pasted_options
from .case import Case
from .directing import REGIONS, placed
from .looking import look
from .report import Row
from .scenes import Layout
from .studio import Studio

NAME = "sweep of RegionPrompt"
SEED = 31
LAYOUTS = 3
# Preset strong as it is, then each number with what is tried in its place.
GRID: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("end_percent", (0.3, 0.5, 0.8)), ("margin", (2.0, 4.0, 8.0, 12.0)), ("self_strength", (0.0, 0.15, 0.3)),
    ("text_strength", (0.0, 0.5, 1.0)), ("cross_strength", (0.7, 1.0)))
CLEARLY = 0.01
STRANGER = 1.25  # of pictures that the model finds so much stranger than its own, none is better


@dataclass(eq=False)
class Search:
    """The best so far. values: numbers in place of strong's. tried: (values, landing, strangeness) of each."""

    values: dict[str, float] = field(default_factory=dict)
    landing: float = -1.0
    plain: tuple[float, float] = (0.0, 0.0)
    tried: list[tuple[dict[str, float], float, float]] = field(default_factory=list)


def cases(studio: Studio, tools: Any) -> Sequence[Case]:
    """Every setting of the grid, of which the later ones start from the best of the earlier."""
    search = Search()
    layouts = [mirrored(layout) for layout in tools.scenes.layouts[:LAYOUTS]]
    found = [Case("strong", 2.0 * len(layouts), lambda: begun(studio, layouts, search))]
    for name, values in grid_for(studio):
        found += [Case(f"{name} {value:g}", float(len(layouts)), lambda name=name, value=value: tried(
            studio, layouts, search, {name: value})) for value in values]
    return found


def grid_for(studio: Studio) -> list[tuple[str, list[float]]]:
    """What of the grid counts on this kind of model, without what strong has already."""
    acting = STRONG.joint if family_of(studio.model, REGIONS, joint=True).joint else STRONG
    own = {**vars(acting.rule), "start_percent": acting.schedule.start, "end_percent": acting.schedule.end}
    return [(name, [value for value in values if value != own[name]]) for name, values in GRID if name in own]


def mirrored(layout: Layout) -> Layout:
    """The same things, left and right changed."""
    return replace(layout, things=tuple(replace(thing, box=(1 - thing.box[2], thing.box[1], 1 - thing.box[0],
                                                            thing.box[3])) for thing in layout.things))


def begun(studio: Studio, layouts: Sequence[Layout], search: Search) -> Row:
    """How plain pictures land, and how strange the model finds them; then strong."""
    search.plain = _mean([seen(studio, layout, None) for layout in layouts])
    return tried(studio, layouts, search, {})


def tried(studio: Studio, layouts: Sequence[Layout], search: Search, change: Mapping[str, float]) -> Row:
    """One setting; it becomes the best where it lands clearly better and its pictures are no stranger."""
    values = {**search.values, **change}
    name = ", ".join(f"{key} {value:g}" for key, value in change.items()) or "strong"
    landing, strange = _mean([seen(studio, layout, values) for layout in layouts])
    search.tried.append((values, landing, strange))
    fair = strange <= STRANGER * search.plain[1]
    if not change or (fair and landing > search.landing + CLEARLY):
        search.values, search.landing = values, landing
    says = f"{landing:.0%} in their regions" + ("." if fair else ", but the model finds the pictures strange.")
    return Row(NAME, name, "told", says, {"landing": landing, "strangeness": strange / max(1e-9, search.plain[1])},
               paste=as_text(search) if search.values else "")


def seen(studio: Studio, layout: Layout, values: Mapping[str, float] | None) -> tuple[float, float]:
    """(landing, strangeness) of one picture. values: None for a plain one."""
    prompt = studio.encode(layout.text)
    model, positive = studio.model, prompt
    if values is not None:
        lines = "\n".join(f"{name}: {value:g}" for name, value in values.items())
        directed = placed(studio, layout, options=pasted_options(REGIONS, lines) if lines else STRONG)
        model, positive = directed.model, directed.positive
    drawn = studio.draw(model, positive, SEED)
    found = look(studio, drawn.samples, prompt, [thing.phrase for thing in layout.things])
    return float(found.landings(torch.stack([t.mask for t in layout.things])).mean()), found.strangeness


def _mean(found: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return fmean(a for a, _ in found), fmean(b for _, b in found)


def as_text(search: Search) -> str:
    """For the field ``settings`` of preset pasted."""
    strong = search.tried[0][1]
    return "\n".join([f"# landed best on this model: {search.landing:.0%}, strong {strong:.0%}",
                      *(f"{name}: {value:g}" for name, value in search.values.items())])


def sum_up(name: str, rows: Sequence[Row]) -> Row:
    """The text of the last row is that of the best."""
    best, strong = max(row.numbers["landing"] for row in rows), rows[0].numbers["landing"]
    paste = rows[-1].paste
    if not paste:
        return Row(name, "", "told", f"nothing of {len(rows)} settings landed clearly better than strong, "
                                     f"{strong:.0%}; keep it.", {"landing": strong, "n": float(len(rows))})
    return Row(name, "", "told", f"of {len(rows)} settings these land best; strong {strong:.0%}. Choose preset pasted "
                                 "in Region Prompt and paste the lines.", {"landing": best, "n": float(len(rows))},
               paste=paste)
