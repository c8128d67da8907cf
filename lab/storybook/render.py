"""Render storybook scenes in torch: hundreds a second on a GPU, the same code on a CPU.

All chance lies in the scene. A picture depends on its own scene alone: every operation works picture by picture,
so that a scene looks the same in any batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from .atlas import Atlas
from .cast import PLACES
from .scene import CANVAS_PX, DICE, MOST_THINGS, Scene, arrays

GRID = 32  # cells a side: those of a latent
EDGE_PX = 1.5  # softness of horizons and of sun and moon
INK = 0.5  # alpha from which a pixel belongs to a thing

# Colours of sky (top, horizon) and ground (horizon, bottom), and of sun or moon, in the order of PLACES.
SKY_TOP = ((.35, .68, .95), (.45, .75, .98), (.78, .86, .95), (.04, .05, .16), (.98, .62, .36), (.97, .97, .97))
SKY_LOW = ((.75, .90, .98), (.85, .94, .99), (.93, .96, .99), (.16, .16, .36), (.99, .86, .60), (.97, .97, .97))
LAND_TOP = ((.96, .87, .66), (.52, .78, .35), (.96, .97, .99), (.10, .14, .20), (.93, .76, .47), (.97, .97, .97))
LAND_LOW = ((.88, .75, .52), (.30, .60, .24), (.82, .88, .95), (.05, .08, .12), (.82, .60, .34), (.97, .97, .97))
DISC = ((1.0, .95, .60), (1.0, .95, .60), (1.0, 1.0, .90), (.98, .98, .90), (1.0, .85, .40), (1.0, 1.0, 1.0))
SEA = (.20, .60, .80)
SEA_SHARE = 0.12
NAMES = list(PLACES)


@dataclass(frozen=True, eq=False)
class SceneBatch:
    """Scenes as tensors. sprite: int64 [B, 4], -1 where there is none; pose: float [B, 4, 5] of x, y, size (pixels),
    flip (1 or -1), turn; place: int64 [B]; dice: float [B, DICE]."""

    sprite: torch.Tensor
    pose: torch.Tensor
    place: torch.Tensor
    dice: torch.Tensor

    def __len__(self) -> int:
        return len(self.sprite)

    def to(self, device: torch.device) -> SceneBatch:
        return SceneBatch(*(value.to(device, non_blocking=True) for value in vars(self).values()))

    def __getitem__(self, part: slice) -> SceneBatch:
        return SceneBatch(*(value[part] for value in vars(self).values()))


def stack(scenes: Sequence[Scene]) -> SceneBatch:
    """Scenes side by side."""
    return SceneBatch(**{name: torch.from_numpy(value) for name, value in arrays(scenes).items()})


@dataclass(frozen=True, eq=False)
class Rendered:
    """pictures: float [B, 3, 256, 256] in 0..1. cover: float [B, 4, 32, 32], the visible share of each thing in a
    latent cell. boxes: float [B, 4, 4], left, top, right, bottom in pixels, zeros where there is no thing."""

    pictures: torch.Tensor
    cover: torch.Tensor
    boxes: torch.Tensor


class Renderer:
    """The atlas on one device, ready to render."""

    def __init__(self, atlas: Atlas, device: torch.device) -> None:
        self.device = device
        self.sprites = torch.from_numpy(atlas.pixels).to(device).permute(0, 3, 1, 2).float() / 255
        self.small = F.avg_pool2d(self.sprites, 2)  # what a sprite shown at half its size is read from
        self.tones = torch.tensor((SKY_TOP, SKY_LOW, LAND_TOP, LAND_LOW, DISC), device=device)
        self.sea = torch.tensor(SEA, device=device).view(1, 3, 1, 1)
        axis = (torch.arange(CANVAS_PX, device=device) + 0.5) / CANVAS_PX
        self.x, self.y = axis[None, None, :], axis[None, :, None]

    @torch.no_grad()
    def __call__(self, scenes: Sequence[Scene] | SceneBatch) -> Rendered:
        batch = (scenes if isinstance(scenes, SceneBatch) else stack(scenes)).to(self.device)
        picture = self.backdrop(batch.place, batch.dice)
        cover = picture.new_zeros(len(batch), MOST_THINGS, GRID, GRID)
        boxes = picture.new_zeros(len(batch), MOST_THINGS, 4)
        for i in range(MOST_THINGS):
            layer = self.layer(batch.sprite[:, i], batch.pose[:, i])
            alpha = layer[:, 3:]
            picture = picture * (1 - alpha) + layer[:, :3]
            share = F.avg_pool2d(alpha, CANVAS_PX // GRID)
            cover = cover * (1 - share)
            cover[:, i] = share[:, 0]
            boxes[:, i] = boxes_of(alpha[:, 0] > INK)
        return Rendered(picture.clamp(0, 1), cover, boxes)

    def layer(self, sprite: torch.Tensor, pose: torch.Tensor) -> torch.Tensor:
        """One thing of each scene alone, RGB times alpha and alpha: [B, 4, 256, 256]."""
        x, y, size, flip, turn = (value.view(-1, 1, 1) for value in pose.unbind(-1))
        across, down = self.x * CANVAS_PX - x, self.y * CANVAS_PX - y
        cos, sin = turn.cos(), turn.sin()
        grid = torch.stack([flip * (cos * across + sin * down), cos * down - sin * across], -1) * (2 / size)[..., None]
        number = sprite.clamp(min=0)
        large, small = (F.grid_sample(level[number], grid, align_corners=False)
                        for level in (self.sprites, self.small))
        share = ((pose[:, 2] - 64) / 48).clamp(0, 1).view(-1, 1, 1, 1)
        return (large * share + small * (1 - share)) * (sprite >= 0).float().view(-1, 1, 1, 1)

    def backdrop(self, place: torch.Tensor, dice: torch.Tensor) -> torch.Tensor:
        """The scene without things: [B, 3, 256, 256]."""
        d = [dice[:, i].view(-1, 1, 1) for i in range(DICE)]
        is_at = [(place == i).float().view(-1, 1, 1) for i in range(len(NAMES))]
        shade = 1 + 0.06 * (dice[:, 7:10] - 0.5) * (place != NAMES.index("white")).float()[:, None]
        sky_top, sky_low, land_top, land_low, disc_tone = (tone[:, :, None, None] for tone in self.tones[:, place])
        horizon = 0.38 + 0.22 * d[0]
        hilly = is_at[NAMES.index("meadow")] + is_at[NAMES.index("snow")] + is_at[NAMES.index("desert")]
        hill = horizon + hilly * 0.035 * torch.sin(2 * torch.pi * (self.x * (0.6 + 1.2 * d[1]) + d[2]))
        up = (self.y / horizon).clamp(0, 1)[:, None]
        low = ((self.y - hill) / (1 - hill)).clamp(0, 1)[:, None]
        land = soft(self.y - hill)[:, None]
        out = (sky_top * (1 - up) + sky_low * up) * (1 - land) + (land_top * (1 - low) + land_low * low) * land
        out = out * shade[:, :, None, None]
        sea = (soft(self.y - horizon) * soft(horizon + SEA_SHARE - self.y) * is_at[NAMES.index("beach")])[:, None]
        out = out * (1 - sea) + self.sea * sea
        away = ((self.x - 0.1 - 0.8 * d[3]) ** 2 + (self.y - 0.06 - 0.18 * d[4]) ** 2).sqrt()
        disc = (soft(0.035 + 0.03 * d[5] - away) * (1 - is_at[NAMES.index("white")]))[:, None]
        return (out * (1 - disc) + disc_tone * disc).clamp(0, 1)


def soft(distance: torch.Tensor) -> torch.Tensor:
    """0 to 1 across zero, within EDGE_PX. distance: in canvases."""
    return torch.sigmoid(distance * (CANVAS_PX / EDGE_PX))


def boxes_of(masks: torch.Tensor) -> torch.Tensor:
    """Left, top, right, bottom of masks bool [B, H, W], zeros for an empty one: float [B, 4]."""
    out = []
    for seen in (masks.any(1), masks.any(2)):
        size = seen.shape[1]
        places = torch.arange(size, device=masks.device)
        first = torch.where(seen, places, size).amin(1)
        last = torch.where(seen, places + 1, 0).amax(1)
        out.append((torch.where(last > 0, first, 0), last))
    (left, right), (top, bottom) = out
    return torch.stack([left, top, right, bottom], -1).float()


def to_bytes(pictures: torch.Tensor) -> np.ndarray:
    """Pictures [B, 3, H, W] in 0..1 as uint8 [B, H, W, 3]."""
    return (pictures.clamp(0, 1) * 255).round().to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
