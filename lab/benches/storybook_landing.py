"""Is a region that the canvas shows in red one whose thing did not land? Its score against the oracle's verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from world.draw import TRANSFORMER, World, draw

from .cached_cases import WORKER, Cases
from .results import Row
from .storybook_layout import MODEL, Layout, oracle, sample_layout, score
from .storybook_layout_methods import NODE, VARIANTS

FIRST, LAYOUTS = 800, 16  # layouts that no other bench counts and nothing was chosen on
STEPS = (4, 8)
RED = 0.5  # below it: LEAST of web/regions/landing.js
Verdict = tuple[float, bool]  # the score, and whether the right thing covers most of the region


def verdicts(world: World, layout: Layout, seed: int, steps: int) -> list[Verdict]:
    """Of each region of one picture, in the order of the layout."""
    from attention_director.bridge.record.build import build as record
    from attention_director.bridge.record.readout import scores_of
    from attention_director.bridge.record.recorder import recorders_of
    from attention_director.bridge.record.store import RecordStore
    from attention_director.bridge.run.run import chain_of

    store, asked = RecordStore(1), VARIANTS["ours"](world, layout)
    model = record(NODE, "", asked.model, asked.positive, "", 0.0, 1.0, store).model
    drawing = draw(world, model, asked.positive, [seed], replace(TRANSFORMER, steps=steps))
    recorder, = recorders_of(chain_of(model.model_options))
    found = store.of(drawing.latent, {recorder.key})
    assert found is not None
    heat = found.heats[recorder.key]
    scores = {of.phrase: of.score for of in scores_of(found, heat, heat.steps[max(heat.steps)].float())}
    seen, = oracle().look_at_bytes(drawing.pictures)
    bound = score(seen, layout.phrases, layout.boxes).bound
    return [(scores[phrase], landed) for phrase, landed in zip(layout.phrases, bound, strict=True)]


def measure_landing(job: Sequence[int]) -> list[Verdict]:
    """job: number of the layout, which is its seed too, and steps."""
    number, steps = job
    return verdicts(WORKER["world"], sample_layout(number), number, steps)


def run(limit: int | None = None) -> list[Row]:
    """One row a number of steps; ``limit`` is a number of layouts."""
    numbers = range(FIRST, FIRST + (limit or LAYOUTS))
    with Cases("storybook_landing", choice=MODEL) as cases:
        return [row_of(f"{steps} steps", cases.each(measure_landing, [[number, steps] for number in numbers]))
                for steps in STEPS]


def row_of(name: str, pictures: Iterable[Iterable[Sequence[float]]]) -> Row:
    """agree: share of regions with the oracle's verdict. found: of those that missed, the share in red, and right: of
    those in red, the share that missed; neither where there are none. missed, n: numbers of regions."""
    regions = [(value < RED, not landed) for picture in pictures for value, landed in picture]
    red, missed = sum(r for r, _ in regions), sum(m for _, m in regions)
    both = float(sum(r and m for r, m in regions))
    return {"variant": name, "model": MODEL, "agree": sum(r == m for r, m in regions) / len(regions),
            **({"found": both / missed} if missed else {}), **({"right": both / red} if red else {}),
            "missed": float(missed), "red": float(red), "n": float(len(regions))}
