"""Sketch Guidance: do the lines of a drawing come out? With a predictor of this model, given, found, or trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ..errors import DirectorError
from ..record.build import build as record
from ..record.recorder import recorders_of
from ..record.store import RecordStore
from ..run.run import chain_of
from ..sketch.build import SketchOptions, build
from ..sketch.edges import edges_of
from ..sketch.predictor import FILES, Predictor, load_predictor, require_match
from ..sketch.train import check_model
from ..sketch.train_node import Request, run
from .case import Case
from .directing import SKETCH
from .regions import cost_of
from .report import Row, shot_of
from .studio import NODE, SEED, Drawing, Studio, costs

OTHER_SEED = 19  # of the picture whose lines are the drawing
HARDLY = 1e-6  # a strength that changes nothing and still looks
LEAST = 0.02
STEP_COST = 2.0  # of a training step, in plain steps of a picture
MOST_TRAINING, PICTURES = 3000, 6


def cases(studio: Studio, tools: Any) -> Sequence[Case]:
    extra = 60.0 * tools.train_minutes / max(1e-9, studio.plain_step * studio.sampling.steps * 3.0)
    return [Case("drawing", 6.0 + (extra if tools.train_minutes else 0.0), lambda: compared(studio, tools))]


def compared(studio: Studio, tools: Any) -> Row:
    """The lines of one picture, asked of another seed; plain and guided."""
    predictor = tools.predictor or found(studio) or trained(studio, tools)
    if predictor is None:
        return Row(SKETCH, "", "left out", "there is no predictor for this model; Train Guidance Predictor makes "
                                                  "one, or the check does with train.")
    text = tools.scenes.layouts[0].text
    prompt = studio.encode(text)
    drawing = edges_of(studio.pictures(studio.draw(studio.model, prompt, OTHER_SEED).samples), 0.1,
                       predictor.line_px, SKETCH)
    sheet = drawing[..., None].expand(-1, -1, -1, 3)
    (plain, before), (ours, after) = (guided(studio, predictor, sheet, prompt, strength)
                                      for strength in (HARDLY, SketchOptions.strength))
    undirected = studio.draw(studio.model, prompt)
    numbers = {"agreement": after, "plain_agreement": before, **costs([undirected], [ours])}
    says = f"agreement with the drawing {after:.2f}, plain {before:.2f}; {cost_of(numbers)}."
    shots = (shot_of("the drawing", sheet[0]), shot_of(f"{text}: plain", studio.pictures(plain.samples)[0]),
             shot_of(f"{text}: guided", studio.pictures(ours.samples)[0]))
    return Row(SKETCH, "", "works" if after >= before + LEAST else "fails", says, numbers, shots)


def guided(studio: Studio, predictor: Predictor, sheet: torch.Tensor, prompt: Any,
           strength: float) -> tuple[Drawing, float]:
    """A run that follows the drawing, and how near its lines came, by the predictor."""
    store = RecordStore(1)
    model = build(SKETCH, "", studio.model, studio.vae, predictor, sheet, None,
                  SketchOptions(strength=strength)).model
    model = record(NODE, "", model, prompt, "", 0.0, 1.0, store).model
    drawn = studio.draw(model, prompt, SEED)
    left = store.of(drawn.samples, {r.key for r in recorders_of(chain_of(model.model_options))})
    near = left.left.get("edges_agreement", ()) if left else ()
    if not near:
        raise RuntimeError("no step of the run was guided")
    return drawn, float(near[0].mean())


def found(studio: Studio) -> Predictor | None:
    """One of the person's own files that fits this model, the first by name. Raises DirectorError where none can."""
    check_model(SKETCH, studio.model)
    for name in FILES.names():
        try:
            predictor = load_predictor(name, SKETCH)
            require_match(predictor, studio.model, SKETCH)
        except DirectorError:
            continue
        if predictor.map_kind == "edges":
            return predictor
    return None


def trained(studio: Studio, tools: Any) -> Predictor | None:
    """A small one, on plain pictures of the model's own; None where no time was given for it."""
    if not tools.train_minutes:
        return None
    for layout in tools.scenes.layouts[len(tools.drawn):PICTURES]:
        tools.keep(layout.text, studio.pictures(studio.draw(studio.model, studio.encode(layout.text)).samples)[0])
    shown = list(tools.drawn.items())
    steps = int(60.0 * tools.train_minutes / max(1e-3, STEP_COST * studio.plain_step))
    request = Request(studio.model, studio.clip, studio.vae, (torch.stack([picture for _, picture in shown]),),
                      tuple(text for text, _ in shown), steps=max(20, min(MOST_TRAINING, steps)), batch_size=2)
    return run("AttnDirTrainPredictor", "", request)[0].predictor
