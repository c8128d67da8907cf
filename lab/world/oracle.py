"""The oracle: which thing of which colour and shape stands where in any picture of the tiny world.

Flat areas vote for colours, edges follow the nearest flat area, and outlines are compared with the
renderer's own. A creature's coat has colours of its own, so a creature is known by its silhouette.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from .render import coverage
from .scene import BACKGROUNDS, CANVAS_PX, COLOURS, CREATURE, SHAPES, Thing

# A thing that is no shape of the world: a smear, or two things grown into one.
BLOB = "blob"

_TEMPLATE_PX = 48
_ROUNDINGS_PX = (0.0, 1.6, 3.0)  # blur of an outline of radius 17
_FLAT_LAB = 14.0  # contrast within 3 x 3 pixels of a flat area, the largest of L, a and b
_APART_LAB = 16.0  # distance from the background that makes a flat pixel foreground
_OWN_COLOUR_LAB = 30.0  # a tone further than this from every colour's name has none
_SURE_FIT, _CREATURE_FIT, _SPLIT_FIT, _POOR_FIT = 0.85, 0.80, 0.72, 0.66
_SMALLEST_PX = 100  # area on the 128-pixel canvas; the smallest thing rendered has 319
_NO_COLOUR = len(COLOURS)

Mask = np.ndarray  # bool [H, W]


@dataclass(frozen=True, eq=False)
class Found:
    """One object. ``mask``: bool [H, W]; x, y: its centre in pixels; ``fit``: IoU with the outline."""

    colour: str
    shape: str
    x: float
    y: float
    mask: Mask
    area: int
    fit: float

    @property
    def look(self) -> tuple[str, str]:
        return self.colour, self.shape


@dataclass(frozen=True, eq=False)
class Seen:
    """All that is in a picture."""

    background: str
    objects: tuple[Found, ...]


@dataclass(frozen=True, eq=False)
class _Ground:
    """A picture taken apart: where something is, and which colour's number is nearest there."""

    foreground: Mask
    colour: np.ndarray  # uint8 [H, W], index of COLOURS or _NO_COLOUR
    smallest_px: float


def look(picture: np.ndarray) -> Seen:
    """Background and objects of a picture, uint8 [H, W, 3] RGB."""
    lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    name, tone = _background(lab, picture)
    ground = _take_apart(picture.astype(np.float32), lab, tone)
    objects: list[Found] = []
    for blob in _components(_closed(ground.foreground), ground.smallest_px):
        objects.extend(_objects_in(blob, ground))
    return Seen(name, tuple(objects))


@cache
def _palette(backgrounds: bool) -> np.ndarray:
    tones = np.float32([list((BACKGROUNDS if backgrounds else COLOURS).values())]) / 255
    return cv2.cvtColor(tones, cv2.COLOR_RGB2LAB)[0]


def _distances(lab: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Lab distance of every pixel to every tone: [..., tones]."""
    return np.sqrt(np.square(lab[..., None, :] - palette).sum(-1))


def _background(lab: np.ndarray, picture: np.ndarray) -> tuple[str, np.ndarray]:
    """The background most of the border shows, and the tone it has in this picture, RGB."""
    ring = np.ones(lab.shape[:2], bool)
    ring[2:-2, 2:-2] = False
    nearest = _distances(lab[ring], _palette(True)).argmin(-1)
    winner = np.bincount(nearest, minlength=len(BACKGROUNDS)).argmax()
    return list(BACKGROUNDS)[winner], np.median(picture[ring][nearest == winner], axis=0).astype(np.float32)


def _take_apart(rgb: np.ndarray, lab: np.ndarray, tone: np.ndarray) -> _Ground:
    """Foreground and colours. An edge pixel is foreground when more than half of it is.

    A mixed pixel may look like a third colour (red on white is pink), so only flat pixels are named
    and every other pixel follows the nearest flat one that is no background.
    """
    apart = np.sqrt(np.square(rgb - tone).sum(-1))
    tone_lab = cv2.cvtColor((tone / 255).reshape(1, 1, 3), cv2.COLOR_RGB2LAB)[0]
    contrast = cv2.morphologyEx(lab, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).max(-1)
    core = (contrast < _FLAT_LAB) & (_distances(lab, tone_lab)[..., 0] > _APART_LAB)
    scale = (lab.shape[0] * lab.shape[1]) / CANVAS_PX**2
    colour = np.full(lab.shape[:2], _NO_COLOUR, np.uint8)
    if not core.any():
        return _Ground(core, colour, _SMALLEST_PX * scale)
    far, nearest = cv2.distanceTransformWithLabels((~core).astype(np.uint8), cv2.DIST_L2, 5,
                                                   labelType=cv2.DIST_LABEL_PIXEL)
    rows = np.zeros(nearest.max() + 1, np.int64)
    rows[nearest[core]] = np.flatnonzero(core)
    source = rows[nearest]
    steps = _distances(lab[core], _palette(False))
    colour[core] = np.where(steps.min(-1) < _OWN_COLOUR_LAB, steps.argmin(-1), _NO_COLOUR)
    foreground = (apart > 0.5 * apart.ravel()[source]) & (far < 8 * scale**0.5)
    return _Ground(foreground, colour.ravel()[source], _SMALLEST_PX * scale)


def _components(mask: Mask, smallest_px: float) -> Iterator[Mask]:
    """The 4-connected parts of a mask that are no specks."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    for n in range(1, count):
        if stats[n, cv2.CC_STAT_AREA] >= smallest_px:
            yield labels == n


def _closed(mask: Mask) -> Mask:
    """The mask with gaps of a pixel or two closed: the seam of two tones may look like the background."""
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0


def _filled(mask: Mask) -> Mask:
    """The mask without holes."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, -1, 1, cv2.FILLED) > 0


@cache
def _templates() -> tuple[np.ndarray, np.ndarray]:
    """Outlines cut to their boxes, sharp and rounded: float32 [n * shapes, px * px], and their aspects.

    A VAE rounds the corners of small things, which changes their box as well.
    """
    cuts = []
    for blur_px in _ROUNDINGS_PX:
        for shape in (*SHAPES, CREATURE):
            drawn = coverage(shape, 24, 24, 17, 48)
            drawn = cv2.resize(drawn, None, fx=4, fy=4, interpolation=cv2.INTER_LINEAR)
            drawn = cv2.GaussianBlur(drawn, (0, 0), 4 * blur_px) if blur_px else drawn
            x, y, w, h = cv2.boundingRect((drawn > 0.5).astype(np.uint8))
            cut = (drawn[y:y + h, x:x + w] > 0.5).astype(np.float32)
            cuts.append((cv2.resize(cut, (_TEMPLATE_PX,) * 2, interpolation=cv2.INTER_AREA).ravel(), w / h))
    return np.stack([cut for cut, _ in cuts]), np.array([aspect for _, aspect in cuts], np.float32)


def _fits(mask: Mask) -> dict[str, float]:
    """How well a mask fits each outline: IoU at the size of its box, less where the box is too long."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    crop = mask[y:y + h, x:x + w].astype(np.float32)
    way = cv2.INTER_AREA if min(w, h) > _TEMPLATE_PX else cv2.INTER_LINEAR
    own = cv2.resize(crop, (_TEMPLATE_PX,) * 2, interpolation=way).ravel()
    templates, aspects = _templates()
    shared = np.minimum(own, templates).sum(1) / np.maximum(own, templates).sum(1)
    ratio = w / h / aspects
    fits = (shared * np.minimum(ratio, 1 / ratio) ** 0.5).reshape(len(_ROUNDINGS_PX), -1).max(0)
    return dict(zip((*SHAPES, CREATURE), fits.tolist(), strict=True))


def _found(mask: Mask, colour: str, shape: str, fit: float) -> Found:
    rows, columns = np.nonzero(mask)
    return Found(colour, shape, float(columns.mean()) + 0.5, float(rows.mean()) + 0.5, mask, len(rows), fit)


def _objects_in(blob: Mask, ground: _Ground) -> list[Found]:
    """Objects of one connected piece of foreground: a creature, or one shape a colour."""
    whole = _filled(blob)
    fits = _fits(whole)
    may_be = _may_be_creature(whole, ground)
    if may_be and fits[CREATURE] >= _CREATURE_FIT and fits[CREATURE] == max(fits.values()):
        return [_found(whole, "", CREATURE, fits[CREATURE])]
    parts = [_coloured(part, ground) for part in _colour_parts(blob, ground)]
    sure = [p for p in parts if p.fit >= _SURE_FIT and p.colour and not _enclosed(p.mask, ground)]
    rest = blob.copy()
    for part in sure:
        rest &= ~part.mask
    unsure = [p for p in parts if not any(p is q for q in sure)]
    for piece in _components(rest, ground.smallest_px):
        sure.extend(_leftovers(piece, unsure, ground))
    return sure


def _may_be_creature(whole: Mask, ground: _Ground) -> bool:
    """Not of one colour with a name, as a creature never is, and no larger than half the canvas."""
    named = np.bincount(ground.colour[whole], minlength=_NO_COLOUR)[:_NO_COLOUR].max()
    return named < 0.85 * whole.sum() and whole.mean() < 0.5


def _colour_parts(blob: Mask, ground: _Ground) -> Iterator[Mask]:
    seen = blob & ground.foreground
    for number in np.unique(ground.colour[seen]):
        for part in _components(seen & (ground.colour == number), ground.smallest_px):
            yield from _split(part, ground) or [part]


def _split(part: Mask, ground: _Ground) -> list[Mask]:
    """Things grown together, apart, where every piece looks like something; else nothing."""
    if max(_fits(part).values()) >= _SURE_FIT:
        return []
    depth = cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 5)
    for share in (0.2, 0.3, 0.4, 0.5, 0.6, 0.7):
        count, seeds = cv2.connectedComponents((depth > share * depth.max()).astype(np.uint8))
        if count < 3:
            continue
        _, near = cv2.distanceTransformWithLabels((seeds == 0).astype(np.uint8), cv2.DIST_L2, 5)
        pieces = [part & (near == near[seeds == n][0]) for n in range(1, count)]
        pieces = [piece for piece in pieces if piece.sum() >= ground.smallest_px]
        if len(pieces) > 1 and min(max(_fits(piece).values()) for piece in pieces) >= _SPLIT_FIT:
            return pieces
    return []


def _coloured(part: Mask, ground: _Ground) -> Found:
    """A part of one colour as the shape it resembles most."""
    fits = _fits(part)
    shape = max(SHAPES, key=fits.__getitem__)
    number = int(np.bincount(ground.colour[part]).argmax())
    colour = "" if number == _NO_COLOUR else list(COLOURS)[number]
    return _found(part, colour, shape if fits[shape] >= _POOR_FIT else BLOB, fits[shape])


def _enclosed(part: Mask, ground: _Ground) -> bool:
    """Is most of what surrounds a part foreground too, as round a spot on a creature's coat?"""
    rim = cv2.dilate(part.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool) & ~part
    return bool(rim.any()) and float(ground.foreground[rim].mean()) > 0.5


def _leftovers(piece: Mask, parts: list[Found], ground: _Ground) -> list[Found]:
    """What no sure shape explains: a creature where the silhouette says so, else its parts as they are."""
    own = [p for p in parts if (p.mask & piece).sum() > 0.5 * p.area]
    whole = _filled(piece)
    fit = _fits(whole)[CREATURE]
    if _may_be_creature(whole, ground) and fit >= _POOR_FIT and fit > max((p.fit for p in own), default=0.0):
        return [_found(whole, "", CREATURE, fit)]
    if apart := _split(whole, ground):
        return [thing for part in apart for thing in _objects_in(part, ground)]
    nameless = _found(whole, "", BLOB, fit)
    out = own or [nameless]
    # Two things drawn close together smear into each other; the smear is no third thing.
    return [p for p in out if p.colour or p.area >= 3 * ground.smallest_px]


def overlap(a: Mask, b: Mask) -> float:
    """IoU of two masks; 0 where both are empty."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 0.0


def recovered(objects: Sequence[Found], things: Sequence[Thing], masks: np.ndarray) -> list[bool]:
    """For each thing with its mask [things, H, W]: is an object of its look found with an IoU of 0.5?"""
    return [any(o.look == (t.colour, t.shape) and overlap(o.mask, m) >= 0.5 for o in objects)
            for t, m in zip(things, masks, strict=True)]


def score_caption(objects: Sequence[Found], things: Sequence[Thing]) -> bool:
    """Is every thing of a caption in the picture? Two red circles ask for two."""
    return not Counter((t.colour, t.shape) for t in things) - Counter(o.look for o in objects)


@dataclass(frozen=True)
class LayoutScores:
    """A picture against a layout. iou, bound: one a region; missing, added: counts of objects."""

    iou: tuple[float, ...]
    bound: tuple[bool, ...]
    missing: int
    added: int


def layout_scores(objects: Sequence[Found], wanted: Sequence[tuple[str, str, Mask]]) -> LayoutScores:
    """Compare objects with (colour, shape, mask) of each region.

    iou: with the best object of the right look, 0 without one. bound: has the object that covers most
    of the region the right look? added: objects of no wanted look, blobs and doubles included.
    """
    looks = Counter((colour, shape) for colour, shape, _ in wanted)
    found = Counter(o.look for o in objects)
    iou, bound = [], []
    for colour, shape, mask in wanted:
        iou.append(max((overlap(o.mask, mask) for o in objects if o.look == (colour, shape)), default=0.0))
        top = max(objects, key=lambda o: int((o.mask & mask).sum()), default=None)
        bound.append(top is not None and bool((top.mask & mask).any()) and top.look == (colour, shape))
    return LayoutScores(tuple(iou), tuple(bound), (looks - found).total(), (found - looks).total())
