"""A small transformer in Flux's layout, without guidance embedding and pooled vector.

Three heads of 128 with axes 16/56/56 rather than six of 64: it is what the host assumes of every file with Flux's
names, so the host detects this one by itself, and what is measured here on heads and positions holds for Flux.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import nn

from .attention import attend, attend_and_read

PATCH = 2


@dataclass(frozen=True)
class FluxConfig:
    """axes: dimensions of a head that turn with the token's number, y and x."""

    hidden: int = 384
    double: int = 2
    single: int = 6
    axes: tuple[int, int, int] = (16, 56, 56)
    context: int = 256
    channels: int = 16
    mlp_ratio: float = 4.0
    theta: float = 10000.0
    supervised: tuple[int, ...] = (0, 1, 3, 5)  # numbers of blocks, double ones first

    @property
    def heads(self) -> int:
        return self.hidden // sum(self.axes)


@dataclass(frozen=True)
class Grid:
    """Where a picture's tokens stand. number: 0 for the one that is made; top, left: of its first token."""

    height: int
    width: int
    number: int = 0
    top: int = 0
    left: int = 0

    def places(self) -> torch.Tensor:
        """(number, y, x) of the tokens in reading order: float [height * width, 3]."""
        y, x = torch.meshgrid(torch.arange(self.height) + self.top, torch.arange(self.width) + self.left, indexing="ij")
        return torch.stack([torch.full_like(y, self.number), y, x], -1).flatten(0, 1).float()


@lru_cache(maxsize=16)
def rotary(text: int, grids: tuple[Grid, ...], config: FluxConfig, device: torch.device | None = None) -> torch.Tensor:
    """Cosines and sines of T text tokens at 0 and of the grids' tokens: float [T + N, D / 2, 2, 2]."""
    places = torch.cat([torch.zeros(text, 3), *(grid.places() for grid in grids)])
    turns = []
    for axis, size in enumerate(config.axes):
        speeds = config.theta ** -(torch.arange(0, size, 2, dtype=torch.float64) / size)
        turns.append(places[:, axis, None].double() * speeds)
    angle = torch.cat(turns, -1)
    table = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).unflatten(-1, (2, 2))
    return table.float().to(device)


def grid_of(latents: torch.Tensor) -> Grid:
    return Grid(latents.shape[-2] // PATCH, latents.shape[-1] // PATCH)


def turn(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """q or k [B, H, N, D], each pair of dimensions turned by its token's angle."""
    pairs = x.float().unflatten(-1, (-1, 1, 2))
    return (table[..., 0] * pairs[..., 0] + table[..., 1] * pairs[..., 1]).flatten(-2).to(x.dtype)


def plain_norm(x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


class RmsNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), 1e-6)


class QkNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.query_norm, self.key_norm = RmsNorm(width), RmsNorm(width)


class JointAttention(nn.Module):
    """One stream's share in the joint attention."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.norm = QkNorm(hidden // heads)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.norm.query_norm(q), self.norm.key_norm(k), v


class Modulation(nn.Module):
    def __init__(self, hidden: int, count: int) -> None:
        super().__init__()
        self.count = count
        self.lin = nn.Linear(hidden, count * hidden)
        nn.init.zeros_(self.lin.weight)

    def forward(self, vector: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.lin(F.silu(vector))[:, None].chunk(self.count, -1)


def embedder(inside: int, hidden: int) -> nn.ModuleDict:
    return nn.ModuleDict({"in_layer": nn.Linear(inside, hidden), "out_layer": nn.Linear(hidden, hidden)})


def joint(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, table: torch.Tensor,
          tokens: torch.Tensor | None, text: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Joint attention, text first; with ``tokens`` also how the picture reads each part's words."""
    q, k = turn(q, table), turn(k, table)
    if tokens is None:
        return attend(q, k, v), None
    return attend_and_read(q, k, v, tokens, skip=text)


class DoubleBlock(nn.Module):
    def __init__(self, hidden: int, heads: int, ratio: float) -> None:
        super().__init__()
        inner = int(hidden * ratio)
        for name in ("img", "txt"):
            setattr(self, f"{name}_mod", Modulation(hidden, 6))
            setattr(self, f"{name}_attn", JointAttention(hidden, heads))
            setattr(self, f"{name}_mlp", nn.Sequential(nn.Linear(hidden, inner), nn.GELU(approximate="tanh"),
                                                       nn.Linear(inner, hidden)))

    def forward(self, img: torch.Tensor, txt: torch.Tensor, vector: torch.Tensor, table: torch.Tensor,
                tokens: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        text = txt.shape[1]
        img_mod, txt_mod = self.img_mod(vector), self.txt_mod(vector)
        both = zip(self.txt_attn(plain_norm(txt) * (1 + txt_mod[1]) + txt_mod[0]),
                   self.img_attn(plain_norm(img) * (1 + img_mod[1]) + img_mod[0]), strict=True)
        q, k, v = (torch.cat(pair, 2) for pair in both)
        out, read = joint(q, k, v, table, tokens, text)
        img = img + img_mod[2] * self.img_attn.proj(out[:, text:])
        img = img + img_mod[5] * self.img_mlp(plain_norm(img) * (1 + img_mod[4]) + img_mod[3])
        txt = txt + txt_mod[2] * self.txt_attn.proj(out[:, :text])
        txt = txt + txt_mod[5] * self.txt_mlp(plain_norm(txt) * (1 + txt_mod[4]) + txt_mod[3])
        return img, txt, read


class SingleBlock(nn.Module):
    def __init__(self, hidden: int, heads: int, ratio: float) -> None:
        super().__init__()
        self.heads, self.hidden, self.inner = heads, hidden, int(hidden * ratio)
        self.linear1 = nn.Linear(hidden, 3 * hidden + self.inner)
        self.linear2 = nn.Linear(hidden + self.inner, hidden)
        self.norm = QkNorm(hidden // heads)
        self.modulation = Modulation(hidden, 3)

    def forward(self, x: torch.Tensor, vector: torch.Tensor, table: torch.Tensor, tokens: torch.Tensor | None,
                text: int) -> tuple[torch.Tensor, torch.Tensor | None]:
        shift, scale, gate = self.modulation(vector)
        qkv, mlp = self.linear1(plain_norm(x) * (1 + scale) + shift).split([3 * self.hidden, self.inner], -1)
        q, k, v = qkv.unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        out, read = joint(self.norm.query_norm(q), self.norm.key_norm(k), v, table, tokens, text)
        return x + gate * self.linear2(torch.cat([out, F.gelu(mlp, approximate="tanh")], -1)), read


class Flux(nn.Module):
    """Parameter names of the host's Flux."""

    def __init__(self, config: FluxConfig = FluxConfig()) -> None:
        super().__init__()
        self.config = config
        hidden, pixels = config.hidden, config.channels * PATCH * PATCH
        self.img_in, self.txt_in = nn.Linear(pixels, hidden), nn.Linear(config.context, hidden)
        self.time_in = embedder(256, hidden)
        self.double_blocks = nn.ModuleList(DoubleBlock(hidden, config.heads, config.mlp_ratio)
                                           for _ in range(config.double))
        self.single_blocks = nn.ModuleList(SingleBlock(hidden, config.heads, config.mlp_ratio)
                                           for _ in range(config.single))
        self.final_layer = nn.ModuleDict({"linear": nn.Linear(hidden, pixels), "adaLN_modulation": nn.Sequential(
            nn.SiLU(), nn.Linear(hidden, 2 * hidden))})
        self.reset()

    def reset(self) -> None:
        """Xavier, biases zero; what modulates and what comes out begins at zero."""
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
                if "mod" in name or name.startswith("final_layer"):
                    nn.init.zeros_(module.weight)

    def blocks(self) -> list[nn.Module]:
        return [*self.double_blocks, *self.single_blocks]

    def forward(self, x: torch.Tensor, sigma: torch.Tensor, context: torch.Tensor,
                tokens: torch.Tensor | None = None, reference: torch.Tensor | None = None,
                corner: tuple[int, int] = (0, 0)) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """x: latents [B, 16, h, w]; sigma: [B]; context: [B, T, C]; tokens: float [B, T, parts] to supervise by.
        reference: clean latents [B, 16, u, v] whose tokens come behind the picture's, as Kontext's do, the first of
        them at ``corner`` (y, x).

        Returns the velocity [B, 16, h, w] and what each supervised block's picture reads: float [B, N, parts].
        """
        text, grids, img = context.shape[1], [grid_of(x)], self.patches(x)
        own, shape = slice(text, text + img.shape[1]), (grids[0].height, grids[0].width)
        if reference is not None:
            grids.append(replace(grid_of(reference), number=1, top=corner[0], left=corner[1]))
            img = torch.cat([img, self.patches(reference)], 1)
        table = rotary(text, tuple(grids), self.config, x.device)
        txt, vector, reads = self.txt_in(context), self.time(sigma), []
        numbers = self.config.supervised if tokens is not None else ()
        for number, block in enumerate(self.double_blocks):
            img, txt, read = block(img, txt, vector, table, tokens if number in numbers else None)
            reads.append(read)
        both = torch.cat([txt, img], 1)
        for number, block in enumerate(self.single_blocks, len(self.double_blocks)):
            both, read = block(both, vector, table, tokens if number in numbers else None, text)
            reads.append(read)
        shift, scale = self.final_layer["adaLN_modulation"](vector)[:, None].chunk(2, -1)
        out = self.final_layer["linear"](plain_norm(both[:, own]) * (1 + scale) + shift)
        out = F.pixel_shuffle(out.transpose(1, 2).unflatten(2, shape), PATCH)
        return out, [read[:, :shape[0] * shape[1]] for read in reads if read is not None]

    def patches(self, latents: torch.Tensor) -> torch.Tensor:
        """[B, 16, h, w] to tokens [B, h / 2 * w / 2, hidden]."""
        return self.img_in(F.pixel_unshuffle(latents, PATCH).flatten(2).transpose(1, 2))

    def time(self, sigma: torch.Tensor) -> torch.Tensor:
        """[B] to [B, hidden]."""
        speeds = torch.exp(-math.log(10000) * torch.arange(128, device=sigma.device) / 128)
        angle = 1000 * sigma[:, None] * speeds
        waves = torch.cat([angle.cos(), angle.sin()], -1)
        return self.time_in["out_layer"](F.silu(self.time_in["in_layer"](waves)))
