"""A drawing as the predictor's target: white lines on black, fitted to the latent, encoded by the VAE."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn import functional as F

from ...core.lines import as_lines, thickened

LINE = 0.5  # the paper cuts its edge maps here
FAINT_LINE = 0.1  # where the grey of a line is its weight
SIZES_KEPT = 2


@dataclass(frozen=True)
class Encoded:
    """A drawing in the latent: encoded, blank [S or 1, C, h, w]; weight, where [S or M, 1, h, w] or None.

    weight: of each pixel in the loss. where: what may change.
    """

    drawn: torch.Tensor
    blank: torch.Tensor
    weight: torch.Tensor | None
    where: torch.Tensor | None

    def rows(self, images: list[int], like: torch.Tensor) -> Encoded:
        """Of those images of a batch, image i being drawing i mod S, on the device of ``like``."""
        def take(x: torch.Tensor | None) -> Any:
            return None if x is None else x[[i % len(x) for i in images]].to(like.device, torch.float32)

        return Encoded(take(self.drawn), take(self.blank), take(self.weight), take(self.where))


@dataclass(frozen=True, eq=False)
class Drawing:
    """A drawing before the size of the run is known.

    picture: [S, H, W] in 0..1, lines bright. kind: "edges" or "map". line_px: of the predictor's lines.
    mask: [M, H', W'] or None. vae, latent_format: the host's.
    """

    picture: torch.Tensor
    kind: str
    line_px: int
    fit: str
    mask: torch.Tensor | None
    grey_is_weight: bool
    vae: Any
    latent_format: Any
    kept: dict[tuple[int, int], Encoded] = field(default_factory=dict, repr=False)

    @property
    def empty(self) -> bool:
        """No line anywhere (or, for a map, nothing but one tone)."""
        if self.kind == "edges":
            return not bool((self.picture > (FAINT_LINE if self.grey_is_weight else LINE)).any())
        return float(self.picture.max() - self.picture.min()) < 1 / 255

    def at(self, grid: tuple[int, int]) -> Encoded:
        """Encoded for a latent of that size; the last sizes are kept, being the same for the same drawing."""
        if grid not in self.kept:
            while len(self.kept) >= SIZES_KEPT:
                del self.kept[next(iter(self.kept))]
            self.kept[grid] = self._encode(grid)
        return self.kept[grid]

    def _encode(self, grid: tuple[int, int]) -> Encoded:
        scale = int(self.vae.spacial_compression_encode())
        size = (grid[0] * scale, grid[1] * scale)
        target = self.target(size)
        both = torch.cat((target, torch.zeros_like(target[:1])))
        latents = encode_maps(self.vae, self.latent_format, both)
        if tuple(latents.shape[-2:]) != grid:
            latents = F.interpolate(latents, size=grid, mode="bilinear", align_corners=False)
        where = None if self.mask is None else _area(fitted(self.mask, size, self.fit, outside=0.0), grid)
        weight = self._line_weight(size, grid)
        if where is not None:
            weight = where if weight is None else weight * where
        return Encoded(latents[:-1], latents[-1:], weight, where)

    def target(self, size: tuple[int, int]) -> torch.Tensor:
        """The drawing at that size [S, H, W] as the predictor's maps look: float 0..1."""
        picture = fitted(self.picture, size, self.fit, lines=self.kind == "edges")
        if self.kind != "edges":
            return picture
        drawn = picture > (FAINT_LINE if self.grey_is_weight else LINE)
        return thickened(as_lines(drawn), self.line_px).float()

    def _line_weight(self, size: tuple[int, int], grid: tuple[int, int]) -> torch.Tensor | None:
        """1 where nothing is drawn, the grey of the line where one is: [S, 1, h, w]."""
        if not (self.grey_is_weight and self.kind == "edges"):
            return None
        grey = F.adaptive_max_pool2d(fitted(self.picture, size, self.fit, lines=True)[:, None], grid)
        return torch.where(grey > FAINT_LINE, grey, torch.ones_like(grey))


def _area(x: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    return F.adaptive_avg_pool2d(x[:, None], grid)


def encode_maps(vae: Any, latent_format: Any, maps: torch.Tensor) -> torch.Tensor:
    """Maps [N, H, W] in 0..1 as latents [N, C, h, w] in the model's own scale."""
    latents = vae.encode(maps[..., None].expand(-1, -1, -1, 3).contiguous())
    return latent_format.process_in(latents).float().cpu()


def read_picture(image: torch.Tensor, lines: str, kind: str) -> torch.Tensor:
    """An IMAGE [S, H, W, C] as [S, H, W] in 0..1; for edges with its lines bright.

    lines: "auto", "white on black" or "black on white". Lines are the few, so auto takes the tone of
    most pixels for the ground. A map (depth, ...) is taken as it is, unless told to be black on white.
    """
    image = image.detach().to("cpu", torch.float32).clamp(0, 1)
    grey = image[..., :3].mean(-1)
    if lines == "black on white":
        return 1 - grey
    if lines == "white on black" or kind != "edges":
        return grey
    bright = grey.flatten(1).median(1).values > 0.5
    return torch.where(bright[:, None, None], 1 - grey, grey)


def fitted(x: torch.Tensor, size: tuple[int, int], how: str, outside: float = 0.0, lines: bool = False) -> torch.Tensor:
    """Pictures [N, H, W] at another size and shape. how: "crop", "pad" or "stretch".

    lines: shrink so that thin bright lines stay.
    """
    h, w = x.shape[-2:]
    scale = (max if how == "crop" else min)(size[0] / h, size[1] / w)
    inner = size if how == "stretch" else (max(1, round(h * scale)), max(1, round(w * scale)))
    if how == "crop":
        cut_h, cut_w = min(h, round(size[0] / scale)), min(w, round(size[1] / scale))
        top, left = (h - cut_h) // 2, (w - cut_w) // 2
        x, inner = x[:, top:top + cut_h, left:left + cut_w], size
    x = _resized(x, inner, lines)
    down, right = size[0] - inner[0], size[1] - inner[1]
    return F.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2), value=outside)


def _resized(x: torch.Tensor, size: tuple[int, int], lines: bool) -> torch.Tensor:
    if tuple(x.shape[-2:]) == size:
        return x
    if lines and (x.shape[-2] > size[0] or x.shape[-1] > size[1]):
        return F.adaptive_max_pool2d(x[:, None], size)[:, 0]
    mode = "bilinear" if x.shape[-2] < size[0] or x.shape[-1] < size[1] else "area"
    return F.interpolate(x[:, None], size=size, mode=mode)[:, 0]
