"""Is it that person? Identity Inject on the transformer: held-out people, one and two in a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from statistics import median

import torch
from world.draw import World, draw

from .cached_cases import WORKER, Cases
from .results import Row, collected, mean_row
from .storybook_identity_cases import Case, sample_case, score
from .storybook_layout import MODEL, oracle
from .storybook_layout_methods import NODE, Asked, ours, unpatched

ONE, TWO = 16, 16
STEPS = 8  # twenty take two and a half times as long
Ask = Callable[[World, Case, list[torch.Tensor]], Asked]


def words_only(world: World, case: Case, _pictures: list[torch.Tensor]) -> Asked:
    return unpatched(world, case.layout)


def boxes_only(world: World, case: Case, _pictures: list[torch.Tensor]) -> Asked:
    """Region Prompt with each person's box."""
    return ours()(world, case.layout)


def plainly(before: Ask) -> Ask:
    """The pictures as the host's reference latents, and nothing else."""
    def ask(world: World, case: Case, pictures: list[torch.Tensor]) -> Asked:
        asked = before(world, case, pictures)
        with torch.inference_mode():
            latents = [world.vae.encode(picture) for picture in pictures]
        return replace(asked, positive=[[c, {**v, "reference_latents": latents}] for c, v in asked.positive])

    return ask


def injected(before: Ask, masked: bool = False) -> Ask:
    """IdentityInject behind ``before``, from the first step on. masked: each person has their box as a mask."""
    def ask(world: World, case: Case, pictures: list[torch.Tensor]) -> Asked:
        from attention_director.bridge.identity.build import IdentityOptions, build
        from attention_director.bridge.identity.subject import make_subject

        asked = before(world, case, pictures)
        masks = list(torch.from_numpy(case.layout.masks).float()[:, None]) if masked else [None] * len(pictures)
        subjects = tuple(make_subject(NODE, word, picture, 1.0, mask)
                         for word, picture, mask in zip(case.words, pictures, masks, strict=False))
        options = IdentityOptions(start_percent=0.0, localise=1.0)
        with torch.inference_mode():
            made = build(NODE, "1", asked.model, world.clip, None, asked.positive, subjects, options, vae=world.vae)
        return Asked(made.model, made.positive)

    return ask


ALONE: dict[str, Ask] = {
    "unpatched": words_only,
    "references": plainly(words_only),
    "ours": injected(words_only),
}
TOGETHER: dict[str, Ask] = ALONE | {
    "references-boxes": plainly(boxes_only),
    "ours-boxes": injected(boxes_only),
    "ours-masks": injected(boxes_only, masked=True),
}


def measure_case(job: tuple[int, int]) -> dict[str, dict[str, list[float]]]:
    """In a worker: every way on one case (people, number), one after the other."""
    people, number = job
    case, world = sample_case(number, people), WORKER["world"]
    pictures, which = case.references(), {1: "one", 2: "two"}[people]
    out = {}
    for variant, ask in (ALONE if people == 1 else TOGETHER).items():
        asked = ask(world, case, pictures)
        drawing = draw(world, asked.model, asked.positive, [case.seed], replace(world.settings, steps=STEPS))
        found = score(oracle().look_at_bytes(drawing.pictures)[0], case)
        out[variant] = {name if name == "blending" else f"{name}_{which}": [value] for name, value in found.items()}
        out[variant][f"a_step_{which}"] = [drawing.a_step]
    return out


def run(limit: int | None = None) -> list[Row]:
    """One row a way; ``limit`` is a number of cases of each kind, for a trial."""
    jobs = [(1, n) for n in range(limit or ONE)] + [(2, n) for n in range(limit or TWO)]
    with Cases("storybook_identity", choice=MODEL) as cases:
        return rows_of(cases.each(measure_case, jobs))


def rows_of(cases: Iterable[Mapping[str, Mapping[str, list[float]]]]) -> list[Row]:
    """One row a way over all cases. step_ratio: the median step against that of plain references, with two people."""
    totals, rows = collected(cases), []
    plain = median(totals["references"]["a_step_two"])
    for variant, values in totals.items():
        row = mean_row(variant, {name: found for name, found in values.items() if not name.startswith("a_step")})
        rows.append(row | {"model": MODEL, "step_ratio": median(values["a_step_two"]) / plain,
                           "n_one": float(len(values.get("match_one", ()))), "n_two": float(len(values["match_two"]))})
    return rows
