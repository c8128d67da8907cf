"""AttnDirReadout's work: find the run, show what it left, say it in words and in one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ...core.heat import landing, resized, standing_out
from ..errors import DirectorError
from ..run.run import chain_of
from .phrases import spelled
from .recorder import recorders_of
from .recording import Heat
from .sheet import Legend, Picture, Tile, enlarged, outlined, over, photo, sheet, tile_size
from .store import STORE, RunRecord

SHOWN = ("heat maps", "landing", "edit mask", "subjects", "edges")
# What each other picture is called by the method that leaves it, and whose it is.
_LEFT = {"edit mask": ("edit_mask", "Attention Edit with blend_words"), "subjects": ("subject_masks", "Shared Subject"),
         "edges": ("edges", "Sketch Guidance")}
NO_MAP_PX = 8  # a cell of the latent is so many pixels, for tiles without an image


@dataclass(frozen=True, eq=False)
class Readout:
    """Outputs of the node. image: [1, H, W, 3]; masks: [N, h, w], image by image; score: worst region's landing."""

    image: torch.Tensor
    masks: torch.Tensor
    report: str
    score: float


@dataclass(frozen=True, eq=False)
class RegionScore:
    """One region in one image. heat: its phrase's map, [h, w] in 0..1 of its highest; region: [128, 128] in 0..1."""

    image: int
    phrase: str
    heat: torch.Tensor
    region: torch.Tensor
    score: float


@dataclass(frozen=True, eq=False)
class RegionTarget:
    """Where a phrase of one image belongs.

    column: of the phrase's maps. source: numbers of the method, its layout and the region in it, the same for all
    images that share them. region: [128, 128] in 0..1.
    """

    image: int
    phrase: str
    column: int
    source: tuple[int, int, int]
    region: torch.Tensor


def read(node: str, model: Any, samples: Any, image: torch.Tensor | None, show: str, step: int) -> Readout:
    """Everything about the run that ended in ``samples``. Raises DirectorError where there is nothing to show."""
    record, heat = find(node, model, samples)
    grid = samples.shape[-2:]
    pictures = pictures_of(node, image, samples.shape[0])
    if show in _LEFT:
        return _read_left(node, record, heat, show, pictures, grid, step)
    if heat is None:
        raise DirectorError(node, "Record Attention recorded nothing in this run; its prompt must be the sampler's "
                                  "positive, and its window must overlap the run.")
    maps = maps_of(node, heat, step)
    scores = scores_of(record, heat, maps)
    if show == "landing":
        if not scores:
            raise DirectorError(node, "this run had no regions with words; put Region Prompt on the model, or show "
                                      "heat maps.")
        return _read_landing(heat, scores, pictures, grid, step)
    return _read_heat(heat, maps, scores, pictures, grid, step)


def find(node: str, model: Any, samples: Any) -> tuple[RunRecord, Heat | None]:
    """The record of the run that gave exactly these samples, made by a recorder of this model."""
    recorders = [r.key for r in recorders_of(chain_of(model.model_options))]
    if not recorders:
        raise DirectorError(node, "the model has no Record Attention; put one before the sampler and wire its model "
                                  "here too.")
    record = STORE.of(samples, set(recorders))
    if record is None:
        raise DirectorError(node, "the record of this run is gone; change the seed, and wire the sampler's own latent "
                                  "here, unedited and not denoised_output.")
    return record, next((record.heats[key] for key in reversed(recorders) if key in record.heats), None)


def maps_of(node: str, heat: Heat, step: int) -> torch.Tensor:
    """Maps [I, C, h, w] of one step, or their mean for -1."""
    if step == -1:
        return heat.mean
    if not heat.steps:
        raise DirectorError(node, f"this run kept only the mean of its maps, because {heat.total} steps of "
                                  f"{len(heat.phrases)} phrases were too many; set step to -1 or record fewer phrases.")
    if step not in heat.steps:
        raise DirectorError(node, f"step {step} was not recorded, steps {_spans(heat.seen)} were; set step to one of "
                                  "them, or to -1 for their mean.")
    return heat.steps[step].float()


def targets_of(record: RunRecord, heat: Heat) -> list[RegionTarget]:
    """Every region that has words, in every image whose prompt has them."""
    columns = {spelled(phrase): n for n, phrase in enumerate(heat.phrases)}
    targets: list[RegionTarget] = []
    for image in range(heat.mean.shape[0]):
        for owner, (phrases, regions) in enumerate(record.left.get("regions", ())):
            layout = image % len(regions)
            for number, phrase in enumerate(phrases):
                column = columns.get(spelled(phrase))
                if column is not None and heat.has[image, column]:
                    area = regions[layout, number].float()
                    targets.append(RegionTarget(image, phrase.text, column, (owner, layout, number), area))
    return targets


def scores_of(record: RunRecord, heat: Heat, maps: torch.Tensor) -> list[RegionScore]:
    """How the maps [I, C, h, w] of this record landed in every target."""
    scores: list[RegionScore] = []
    for target in targets_of(record, heat):
        own = maps[target.image, target.column]
        score = float(landings(own[None], target)[0])
        scores.append(RegionScore(target.image, target.phrase, own / own.max().clamp(min=1e-12), target.region, score))
    return scores


def landings(maps: torch.Tensor, target: RegionTarget) -> torch.Tensor:
    """Landing scores [T] of several maps [T, h, w] of one target's phrase."""
    return landing(maps, resized(target.region[None, None], (maps.shape[-2], maps.shape[-1]))[0, 0])


def pictures_of(node: str, image: torch.Tensor | None, images: int) -> list[torch.Tensor | None]:
    """The picture of each image of the run, or None."""
    if image is None:
        return [None] * images
    if image.shape[0] not in (1, images):
        raise DirectorError(node, f"image has {image.shape[0]} pictures and the run {images}; wire the pictures "
                                  "decoded from samples.")
    return [image[i % image.shape[0]] for i in range(images)]


def _sizes(pictures: list[torch.Tensor | None], grid: Any, columns: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """(h, w) of a tile, and of a mask: the picture's, or the latent's in pixels."""
    first = pictures[0]
    full = (grid[0] * NO_MAP_PX, grid[1] * NO_MAP_PX) if first is None else (first.shape[0], first.shape[1])
    return tile_size(*full, rows=len(pictures), columns=columns), (int(full[0]), int(full[1]))


def _row_start(picture: torch.Tensor | None, number: int, size: tuple[int, int]) -> tuple[list[Tile], Picture | None]:
    if picture is None:
        return [], None
    base = photo(picture, size)
    return [Tile(base, f"image {number + 1}")], base


def _read_heat(heat: Heat, maps: torch.Tensor, scores: list[RegionScore], pictures: list[torch.Tensor | None],
               grid: Any, step: int) -> Readout:
    maps, phrases = maps[:, :heat.shown], heat.phrases[:heat.shown]
    tops = maps.amax((0, 2, 3)).clamp(min=1e-12)
    even = maps / tops[:, None, None]
    size, full = _sizes(pictures, grid, len(phrases) + 1)
    rows, lines = [], []
    for number, picture in enumerate(pictures):
        row, base = _row_start(picture, number, size)
        for column, phrase in enumerate(phrases):
            own = maps[number, column]
            here = bool(heat.has[number, column])
            note = f"up to {_percent(own.max())}" if here else "not in this prompt"
            row.append(Tile(over(base, enlarged(even[number, column], size)), phrase.text, note))
            lines.append(f'image {number + 1}, "{phrase.text}": ' + (_where(own) if here else note))
        rows.append(row)
    legend = Legend("0", "the phrase's highest", f"share of a pixel's attention; {when(heat, step)}")
    score = min((p.score for p in scores), default=0.0)
    lines += _landing_lines(scores) or ["no regions in this run; the score is 0"]
    return Readout(sheet(rows, legend), resized(even, full).flatten(0, 1).clamp(0, 1),
                   "\n".join((when(heat, step), *lines)), score)


def _read_landing(heat: Heat, scores: list[RegionScore], pictures: list[torch.Tensor | None], grid: Any,
                  step: int) -> Readout:
    size, full = _sizes(pictures, grid, 1 + max(sum(p.image == i for p in scores) for i in range(len(pictures))))
    rows = []
    for number, picture in enumerate(pictures):
        row, base = _row_start(picture, number, size)
        for own in (p for p in scores if p.image == number):
            tile = outlined(over(base, enlarged(own.heat, size)), enlarged(own.region, size) > 0.5)
            row.append(Tile(tile, own.phrase, f"{own.score:.0%} in its region"))
        rows.append(row)
    legend = Legend("0", "the phrase's highest", f"outlined: its region; {when(heat, step)}")
    score = min(p.score for p in scores)
    stands = torch.stack([(standing_out(p.heat) > 0).float() for p in scores])
    return Readout(sheet([row for row in rows if row], legend), resized(stands[:, None], full)[:, 0].clamp(0, 1),
                   "\n".join((when(heat, step), *_landing_lines(scores))), score)


def _read_left(node: str, record: RunRecord, heat: Heat | None, show: str, pictures: list[torch.Tensor | None],
               grid: Any, step: int) -> Readout:
    """A mask or a map that a method left: [B, h, w], or [B, S, h, w] of several."""
    name, owner = _LEFT[show]
    left = [value for value in record.left.get(name, ()) if torch.is_tensor(value) and value.numel()]
    if not left:
        raise DirectorError(node, f"this run recorded no {show}; put {owner} on the model, or show something else.")
    kinds = [value.float() if value.ndim == 4 else value.float()[:, None] for value in left]
    maps = [kind[:, n] for kind in kinds for n in range(kind.shape[1])]
    size, full = _sizes(pictures, grid, len(maps) + 1)
    rows, lines = [], []
    for number, picture in enumerate(pictures):
        row, base = _row_start(picture, number, size)
        for column, kind in enumerate(maps, 1):
            own = kind[number % len(kind)].clamp(0, 1)
            title = show if len(maps) == 1 else f"{show} {column}"
            note = f"{_percent(own.mean())} of the picture"
            row.append(Tile(over(base, enlarged(own, size)), title, note))
            lines.append(f"image {number + 1}, {title}: {note}")
        rows.append(row)
    scores = scores_of(record, heat, maps_of(node, heat, step)) if heat else []
    masks = torch.stack([resized(kind[number % len(kind)][None, None], full)[0, 0]
                         for number in range(len(pictures)) for kind in maps])
    return Readout(sheet(rows, Legend("0", "1", show)), masks.clamp(0, 1), "\n".join(lines),
                   min((p.score for p in scores), default=0.0))


def _landing_lines(scores: list[RegionScore]) -> list[str]:
    """Each region's landing, and the worst of several."""
    lines = [f'image {p.image + 1}, "{p.phrase}": {p.score:.0%} of the high attention is in its region' for p in scores]
    worst = min(scores, key=lambda p: p.score, default=None)
    if worst is not None and len(scores) > 1:
        lines.append(f'worst: "{worst.phrase}" in image {worst.image + 1}, {worst.score:.0%}')
    return lines


def _where(heat: torch.Tensor) -> str:
    """The highest value of a map [h, w] and where it is, in shares of the picture."""
    rows, columns = heat.shape
    peak = int(heat.argmax())
    x, y = (peak % columns + 0.5) / columns, (peak // columns + 0.5) / rows
    return f"{_percent(heat.mean())} on average, {_percent(heat.max())} at {x:.0%} from the left, {y:.0%} from the top"


def _percent(share: torch.Tensor) -> str:
    value = 100 * float(share)
    return f"{value:.0f}%" if value >= 10 else f"{value:.1f}%"


def when(heat: Heat, step: int) -> str:
    """Which steps are shown, and how many are missing."""
    shown = f"step {step} of {heat.total}" if step != -1 else f"mean of steps {_spans(heat.seen)} of {heat.total}"
    return shown + (f"; {heat.skipped} steps were skipped by a cache" if heat.skipped else "")


def _spans(numbers: tuple[int, ...]) -> str:
    """(1, 2, 3, 7) as "1-3, 7"."""
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
