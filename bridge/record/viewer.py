"""What Attention Readout hands to its viewer in the graph editor: everything the run left, within bounds.

The maps travel as bytes in one grey PNG and the pictures as small PNGs, all in the host's temporary folder;
words, scores and where each map lies go as JSON. At most 3.25 MiB of maps and 2 Mi pixels of pictures, and
about 200 kB of JSON, whatever the size, the batch and the steps: grids become coarser, steps fewer.
"""

from __future__ import annotations

from typing import Any

import torch

from ...core.heat import MAX_CELLS
from .map_atlas import MapAtlas, evenly, saved_pictures, within
from .readout import NO_MAP_PX, RegionTarget, find, landings, pictures_of, targets_of, when
from .recording import Heat
from .sheet import tidy
from .store import RunRecord

KEY = "attention_director_readout"
VERSION = 1
MOST_IMAGES = 32
MOST_STEPS = 64
MOST_TARGETS = 128
MOST_LAYERS = 8
FINE_CELLS = 128 * 128
REGION_CELLS = 64 * 64
_KIB = 1024
# Bytes of each kind of map.
HEAT, STEPS, REGIONS, EDIT, SUBJECTS, LINKS, EDGES = (n * _KIB for n in (512, 1024, 256, 256, 512, 256, 512))
MOST_BYTES = HEAT + STEPS + REGIONS + EDIT + SUBJECTS + LINKS + EDGES


def view(node: str, model: Any, samples: torch.Tensor, image: torch.Tensor | None, show: str,
         step: int) -> dict[str, Any]:
    """The viewer's data of the run that ended in ``samples``. Raises DirectorError where there is nothing to show."""
    record, heat = find(node, model, samples)
    pictures = [p for p in pictures_of(node, image, len(samples)) if p is not None]
    images = min(len(samples), MOST_IMAGES)
    height, width = pictures[0].shape[:2] if pictures else (NO_MAP_PX * n for n in samples.shape[-2:])
    atlas = MapAtlas()
    found: dict[str, Any] = {"version": VERSION, "show": show, "step": step, "images": images, "all": len(samples),
                             "size": [int(width), int(height)]}
    if heat is not None:
        found["heat"] = _heat(atlas, record, heat, images)
    for name, part in (("edit", _edit), ("subjects", _subjects), ("edges", _edges)):
        left = part(atlas, record, images)
        if left:
            found[name] = left
    found["pictures"] = saved_pictures(pictures[:1] if image is not None and len(image) == 1 else pictures[:images])
    found["atlas"] = atlas.saved()
    return found


def _heat(atlas: MapAtlas, record: RunRecord, heat: Heat, images: int) -> dict[str, Any]:
    """Maps [T, I, C, h, w], the mean first, each a share of its phrase's highest of the batch in ``tops``."""
    mean = within(heat.mean[:images], HEAT, MAX_CELLS)
    steps = evenly(sorted(heat.steps), min(MOST_STEPS, STEPS // max(1, mean.numel())))
    maps = [heat.mean[:images].float(), *(heat.steps[n][:images].float() for n in steps)]
    tops = torch.stack([own.amax((0, 2, 3)) for own in maps]).nan_to_num()
    even = [own / top.clamp(min=1e-12)[:, None, None] for own, top in zip(maps, tops, strict=True)]
    block = atlas.add(torch.stack([within(own, HEAT, MAX_CELLS) for own in even]))
    return {"maps": block, "shown": heat.shown, "phrases": [tidy(p.text) for p in heat.phrases],
            "has": heat.has[:images].int().tolist(), "tops": _numbers(tops), "steps": [-1, *steps],
            "total": heat.total, "mean": when(heat, -1), "landing": _landing(atlas, record, heat, images, maps)}


def _landing(atlas: MapAtlas, record: RunRecord, heat: Heat, images: int, maps: list[torch.Tensor]) -> dict[str, Any]:
    """Each region of each image: its phrase's column, its outline's number, and a score for each of the maps."""
    targets = [target for target in targets_of(record, heat) if target.image < images][:MOST_TARGETS]
    if not targets:
        return {}
    regions = {target.source: target.region for target in targets}
    number = {source: n for n, source in enumerate(regions)}
    areas = atlas.add(within(torch.stack(list(regions.values())), REGIONS, REGION_CELLS))

    def place(target: RegionTarget) -> dict[str, Any]:
        scores = landings(torch.stack([own[target.image, target.column] for own in maps]), target)
        return {"image": target.image, "column": target.column, "region": number[target.source],
                "scores": _numbers(scores)}

    return {"regions": areas, "places": [place(target) for target in targets]}


def _edit(atlas: MapAtlas, record: RunRecord, images: int) -> dict[str, Any]:
    masks = _layers(record, "edit_mask", images)
    return {} if masks is None else {"masks": atlas.add(within(masks, EDIT, FINE_CELLS))}


def _subjects(atlas: MapAtlas, record: RunRecord, images: int) -> dict[str, Any]:
    """masks: [L, I, h, w] at the end; levels: [T, I, h, w], at each noise level; links: who draws from where."""
    masks = _layers(record, "subject_masks", images)
    if masks is None:
        return {}
    found: dict[str, Any] = {"masks": atlas.add(within(masks, SUBJECTS // 2, FINE_CELLS))}
    history = next(iter(record.left.get("subject_masks_by_step", ())), None)
    if history is not None and len(history):
        found["levels"] = atlas.add(within(_first(history.movedim(1, 0), images).movedim(0, 1), SUBJECTS // 2,
                                          FINE_CELLS))
    links = _links(atlas, record, images)
    return {**found, "links": links} if links else found


def _links(atlas: MapAtlas, record: RunRecord, images: int) -> dict[str, Any]:
    """Maps [3, I, h, w] of every so many patches: anchor from 1 (0: draws from none), and where in it, x and y.

    xs, ys: where the patches themselves are, in shares of the picture.
    """
    names = ("subject_links", "subject_links_open", "subject_links_grid")
    index, gate, grid = (next(iter(record.left.get(name, ())), None) for name in names)
    if index is None or gate is None or grid is None:
        return {}
    height, width = (int(n) for n in grid)
    images = min(images, len(index))
    stride = 1
    while 3 * images * -(-height // stride) * -(-width // stride) > LINKS:
        stride += 1
    rows, columns = (torch.arange(stride // 2, n, stride) for n in (height, width))
    pick = (rows[:, None] * width + columns).flatten()
    index, gate = index[:images, pick].long(), gate[:images, pick]
    anchor = torch.where(gate, index // (height * width) + 1, 0) / 255
    patch = index % (height * width)
    maps = torch.stack((anchor, (patch % width + 0.5) / width, (patch // width + 0.5) / height))
    return {"maps": atlas.add(maps.unflatten(-1, (len(rows), len(columns)))),
            "xs": _numbers((columns + 0.5) / width), "ys": _numbers((rows + 0.5) / height)}


def _edges(atlas: MapAtlas, record: RunRecord, images: int) -> dict[str, Any]:
    """lines: predicted, wanted: of the drawing, both [L, I, h, w]; agreement: [L][I], 1 is all of the drawing."""
    lines = _layers(record, "edges", images)
    if lines is None:
        return {}
    found: dict[str, Any] = {"lines": atlas.add(within(lines, EDGES // 2, FINE_CELLS))}
    wanted = _layers(record, "edges_wanted", images)
    if wanted is not None:
        found["wanted"] = atlas.add(within(wanted, EDGES // 2, FINE_CELLS))
    near = [_first(value, images) for value in record.left.get("edges_agreement", ())][:MOST_LAYERS]
    return {**found, "agreement": [_numbers(value) for value in near]}


def _layers(record: RunRecord, name: str, images: int) -> torch.Tensor | None:
    """What methods left under a name, [B, h, w] or [B, S, h, w] each, as [L, I, h, w]; None where nothing is."""
    left = [value for value in record.left.get(name, ()) if torch.is_tensor(value) and value.numel()]
    kinds = [_first(value if value.ndim == 4 else value[:, None], images).float() for value in left]
    layers = [kind[:, n] for kind in kinds for n in range(kind.shape[1])]
    same = [layer for layer in layers if layer.shape == layers[0].shape]
    return torch.stack(same[:MOST_LAYERS]) if same else None


def _first(values: torch.Tensor, images: int) -> torch.Tensor:
    """The first ``images``, repeated where a method left fewer than one per image."""
    return values[[i % len(values) for i in range(images)]]


def _numbers(values: torch.Tensor) -> Any:
    """Values as JSON: four decimals, and no infinities, which JSON has not."""
    def tidied(value: Any) -> Any:
        return [tidied(v) for v in value] if isinstance(value, list) else round(value, 4)

    return tidied(values.double().nan_to_num(0.0, 1e6, -1e6).tolist())
