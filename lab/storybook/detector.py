"""The oracle's network: a small detector without anchors, one vote a cell of 32 x 32.

A cell within a thing's middle says: here is one (objectness), which class, which colour, how far its box reaches in
each direction, and an embedding of its look in which the same sprite is near itself in any scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .atlas import Atlas
from .cast import CLASSES, COLOURS, PLACES
from .render import Rendered, SceneBatch

CELL_PX = 8
MIDDLE = 0.22  # a cell votes for a thing when its centre lies in this share of the box around the box's middle
TEMPERATURE = 16.0
BOX_SCALE_PX = 64.0


def conv(channels: int, out: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, out, size, stride, size // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(out), nn.SiLU())


class Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(conv(width, width), conv(width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


@dataclass(frozen=True, eq=False)
class Votes:
    """One row a cell, cells of 32 x 32 in reading order: N = 1024. thing: logit [B, N]; kind [B, N, classes] and colour
    [B, N, colours] logits; box: float [B, N, 4] in pixels; look: unit vectors [B, N, E]; place: logits [B, places]."""

    thing: torch.Tensor
    kind: torch.Tensor
    colour: torch.Tensor
    box: torch.Tensor
    look: torch.Tensor
    place: torch.Tensor


class Detector(nn.Module):
    """Pictures [B, 3, 256, 256] in 0..1 to votes. prototypes: [sprites, E], what each look's embedding is drawn to."""

    def __init__(self, looks: int, width: int = 64, embedding: int = 48) -> None:
        super().__init__()
        wide, deep = 2 * width, 3 * width
        self.stem = nn.Sequential(conv(3, width // 2, stride=2), conv(width // 2, width, stride=2), Residual(width))
        self.middle = nn.Sequential(conv(width, wide, stride=2), Residual(wide), Residual(wide))
        self.far = nn.Sequential(conv(wide, deep, stride=2), Residual(deep), conv(deep, deep, stride=2),
                                 Residual(deep))
        self.lift = conv(deep, wide, 1)
        self.join = nn.Sequential(conv(2 * wide, wide), Residual(wide))
        self.sizes = (1, len(CLASSES), len(COLOURS), 4, embedding)
        self.head = nn.Sequential(conv(wide, wide), nn.Conv2d(wide, sum(self.sizes), 1))
        self.place = nn.Linear(deep, len(PLACES))
        self.prototypes = nn.Parameter(F.normalize(torch.randn(looks, embedding), dim=-1))
        nn.init.constant_(self.head[-1].bias[:1], -4.0)  # most cells hold the middle of nothing

    def forward(self, pictures: torch.Tensor) -> Votes:
        near = self.middle(self.stem(pictures - 0.5))
        far = self.far(near)
        around = F.interpolate(self.lift(far), near.shape[-2:], mode="bilinear")
        out = self.head(self.join(torch.cat([near, around], 1))).float().flatten(2).transpose(1, 2)
        thing, kind, colour, reach, look = out.split(self.sizes, -1)
        centre = cell_centres(near.shape[-1], pictures.device)
        reach = F.softplus(reach) * BOX_SCALE_PX
        box = torch.cat([centre - reach[..., :2], centre + reach[..., 2:]], -1)
        place = self.place(far.float().mean((2, 3)))
        return Votes(thing[..., 0], kind, colour, box, F.normalize(look, dim=-1), place)


def cell_centres(side: int, device: torch.device) -> torch.Tensor:
    """x and y of every cell's centre in pixels: float [side * side, 2]."""
    axis = (torch.arange(side, device=device) + 0.5) * CELL_PX
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


@dataclass(frozen=True, eq=False)
class Answers:
    """What the atlas knows of each sprite. kind: int64 [sprites]; colour: int64 [sprites], -1 where unnamed."""

    kind: torch.Tensor
    colour: torch.Tensor

    @staticmethod
    def of(atlas: Atlas, device: torch.device) -> Answers:
        kind = torch.tensor([atlas.class_of(i) for i in range(len(atlas))], device=device)
        return Answers(kind, torch.tensor([atlas.colour_of(i) for i in range(len(atlas))], device=device))


def owners(boxes: torch.Tensor, sprite: torch.Tensor, side: int) -> torch.Tensor:
    """Which thing a cell votes for: int64 [B, N], -1 for none, -2 for "do not ask" (in a box, off its middle).

    boxes: [B, 4, 4]; sprite: [B, 4], -1 where there is no thing.
    """
    centre = cell_centres(side, boxes.device)[None, :, None]
    low, high = boxes[:, None, :, :2], boxes[:, None, :, 2:]
    middle, half = (low + high) / 2, (high - low) / 2
    there = (sprite >= 0)[:, None]
    away = ((centre - middle).abs() / half.clamp(min=1)).amax(-1)
    inner = torch.maximum(2 * MIDDLE * torch.ones_like(away), 0.75 * CELL_PX / half.amin(-1).clamp(min=1))
    best, which = torch.where(there, away / inner, torch.inf).min(-1)
    inside = ((away < 0.6) & there).any(-1)
    return torch.where(best < 1, which, torch.where(inside, -2, -1))


def overlap(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Intersection over union of boxes [..., 4]."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    return shared / ((a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared + 1e-6)


def losses(votes: Votes, prototypes: torch.Tensor, rendered: Rendered, scenes: SceneBatch,
           answers: Answers) -> dict[str, torch.Tensor]:
    """The detector's losses of one batch, by name; their sum is what it learns."""
    side = round(votes.thing.shape[1] ** 0.5)
    owner = owners(rendered.boxes, scenes.sprite, side)
    asked, votes_for = owner > -2, (owner >= 0).float()
    focal = (torch.sigmoid(votes.thing) - votes_for).abs().detach() ** 2
    thing = F.binary_cross_entropy_with_logits(votes.thing, votes_for, focal * asked, reduction="sum")
    b, cell = torch.nonzero(owner >= 0, as_tuple=True)
    mine = owner[b, cell]
    sprite, box = scenes.sprite[b, mine], rendered.boxes[b, mine]
    iou = overlap(votes.box[b, cell], box)
    far = ((votes.box[b, cell] - box).abs() / BOX_SCALE_PX).mean()
    look = F.cross_entropy(TEMPERATURE * votes.look[b, cell] @ F.normalize(prototypes, dim=-1).T, sprite)
    return {
        "thing": 4 * thing / max(1, len(b)),
        "kind": F.cross_entropy(votes.kind[b, cell], answers.kind[sprite], label_smoothing=0.02),
        "colour": cross_entropy_of_named(votes.colour[b, cell], answers.colour[sprite]),
        "box": 2 * (1 - iou).mean() + 4 * far,
        "look": 0.5 * look,
        "place": 0.2 * F.cross_entropy(votes.place, scenes.place),
    }


def cross_entropy_of_named(logits: torch.Tensor, colour: torch.Tensor) -> torch.Tensor:
    """Of things whose colour a caption names; zero where there are none."""
    named = (colour >= 0).float()
    each = F.cross_entropy(logits, colour.clamp(min=0), reduction="none", label_smoothing=0.02)
    return (each * named).sum() / named.sum().clamp(min=1)
