"""Why is the likeness what it is? The parts of Shared Subject on their own: its masks and its correspondence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np
from world.draw import Drawing, Settings, World, draw
from world.oracle import Found, look
from world.scene import CANVAS_PX, CREATURE

from .subject_cases import Story
from .subject_methods import NODE, VARIANTS

CELL_PX = 24  # of a patch on the sheet of dots

Record = Mapping[str, Any]


def recorded(world: World, story: Story, settings: Settings) -> tuple[Drawing, Record]:
    """Ours with a recorder: the pictures, and what it leaves."""
    from attention_director.bridge.record.build import build
    from attention_director.bridge.record.recorder import recorders_of
    from attention_director.bridge.record.store import STORE
    from attention_director.bridge.run.run import chain_of

    model, positive, seeds = VARIANTS["ours"](world, story)
    model = build(NODE, "2", model, positive, CREATURE, 0.0, 1.0).model
    chain = chain_of(model.model_options)
    assert chain is not None
    keys = {recorder.key for recorder in recorders_of(chain)}
    drawing = draw(world, model, positive, seeds, settings)
    found = STORE.of(drawing.latent, keys)
    assert found is not None
    return drawing, {name: values[0] for name, values in found.left.items()}


def part_scores(drawing: Drawing, record: Record) -> dict[str, list[float]]:
    """mask_iou: with the drawn creature. linked: the share of its mask's patches that draw from an anchor.

    link_error: how far from the corresponding place a linked patch draws, in radii of the creature;
    link_chance: the same for patches of the anchor's creature taken evenly, which is what no knowledge gives.
    """
    creatures = [_creature(picture) for picture in drawing.pictures]
    masks = record["subject_masks"].numpy()
    out: dict[str, list[float]] = {"mask_iou": [], "linked": [], "link_error": [], "link_chance": []}
    for mask, found in zip(masks, creatures, strict=True):
        if found is not None:
            out["mask_iou"].append(_overlap(mask, _on_grid(found, mask.shape)))
    if "subject_links" not in record:
        return out
    grid = tuple(record["subject_links_grid"])
    for image, found in enumerate(creatures):
        links = list(_links(record, image))
        out["linked"].append(len(links) / max(1, int(masks[image].sum())))
        for patch, anchor, source in links:
            there = creatures[anchor]
            if found is not None and there is not None:
                place = _relative(patch, grid, found)
                out["link_error"].append(float(np.linalg.norm(place - _relative(source, grid, there))))
                inside = np.flatnonzero(_on_grid(there, grid))
                out["link_chance"].extend(float(np.linalg.norm(place - _relative(int(p), grid, there)))
                                          for p in inside[:: max(1, len(inside) // 8)])
    return out


def dots(drawing: Drawing, record: Record, image: int) -> np.ndarray:
    """All pictures side by side; each linked patch of one as a full dot, the patch it draws from as a ring."""
    h, w = record["subject_links_grid"]
    pages = [cv2.resize(p, (w * CELL_PX, h * CELL_PX), interpolation=cv2.INTER_NEAREST) for p in drawing.pictures]
    links = list(_links(record, image))
    hues = np.array([[[round(179 * n / max(1, len(links))), 255, 255] for n in range(len(links))]], np.uint8)
    tones = cv2.cvtColor(hues, cv2.COLOR_HSV2RGB)[0].tolist() if links else []
    for (patch, anchor, source), tone in zip(links, tones, strict=True):
        for page, at, width in ((image, patch, cv2.FILLED), (anchor, source, 2)):
            middle = (at % w * CELL_PX + CELL_PX // 2, at // w * CELL_PX + CELL_PX // 2)
            cv2.circle(pages[page], middle, 6, tone, width, cv2.LINE_AA)
    return np.concatenate(pages, axis=1)


def _creature(picture: np.ndarray) -> Found | None:
    return max((o for o in look(picture).objects if o.shape == CREATURE), key=lambda o: o.area, default=None)


def _on_grid(found: Found, grid: tuple[int, ...]) -> np.ndarray:
    """The patches that a creature covers by half or more: bool [h, w]."""
    return cv2.resize(found.mask.astype(np.float32), (grid[1], grid[0]), interpolation=cv2.INTER_AREA) >= 0.5


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def _links(record: Record, image: int) -> Iterator[tuple[int, int, int]]:
    """(patch, anchor, the anchor's patch) of each open link of one picture."""
    index, gate = record["subject_links"][image], record["subject_links_open"][image]
    for patch in gate.nonzero().flatten().tolist():
        yield patch, *divmod(int(index[patch]), len(index))


def _relative(patch: int, grid: tuple[int, ...], found: Found) -> np.ndarray:
    """Where on a creature the middle of a patch lies, in radii from its middle: (x, y)."""
    h, w = grid
    x, y = (patch % w + 0.5) * CANVAS_PX / w, (patch // w + 0.5) * CANVAS_PX / h
    return np.array((x - found.x, y - found.y)) / (found.area / np.pi) ** 0.5
