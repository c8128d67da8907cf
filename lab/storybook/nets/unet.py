"""A small UNet in Stable Diffusion 1.5's layout: residual blocks, a transformer after each, three grids.

Equal widths, one block more on each of the two smaller grids; three levels of the 32 x 32 latent: 32, 16 and 8.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from .attention import attend, attend_and_read, split_heads

GROUPS = 32


@dataclass(frozen=True)
class UnetConfig:
    width: int = 96
    multiples: tuple[int, ...] = (1, 1, 1)
    blocks: tuple[int, ...] = (2, 3, 3)
    heads: int = 4
    context: int = 128
    channels: int = 4

    def host(self) -> dict[str, object]:
        """The same, as the host's UNetModel takes it."""
        return {
            "image_size": 32, "in_channels": self.channels, "out_channels": self.channels,
            "model_channels": self.width, "num_res_blocks": list(self.blocks),
            "channel_mult": list(self.multiples), "transformer_depth": [1] * sum(self.blocks),
            "transformer_depth_output": [1] * (sum(self.blocks) + len(self.blocks)), "transformer_depth_middle": 1,
            "context_dim": self.context, "use_spatial_transformer": True, "use_linear_in_transformer": False,
            "use_temporal_attention": False, "adm_in_channels": None, "num_heads": self.heads,
            "num_head_channels": -1, "legacy": False}


class ResBlock(nn.Module):
    def __init__(self, channels: int, out: int, time: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(GROUPS, channels), nn.SiLU(),
                                       nn.Conv2d(channels, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(time, out))
        self.out_layers = nn.Sequential(nn.GroupNorm(GROUPS, out), nn.SiLU(), nn.Identity(),
                                        nn.Conv2d(out, out, 3, padding=1))
        self.skip_connection = nn.Identity() if channels == out else nn.Conv2d(channels, out, 1)
        nn.init.zeros_(self.out_layers[-1].weight)
        nn.init.zeros_(self.out_layers[-1].bias)

    def forward(self, x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        y = self.in_layers(x) + self.emb_layers(time)[:, :, None, None].to(x.dtype)
        return self.skip_connection(x) + self.out_layers(y)


class Attention(nn.Module):
    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(size, width, bias=False) for size in (width, context, context))
        self.to_out = nn.Sequential(nn.Linear(width, width), nn.Identity())

    def forward(self, x: torch.Tensor, context: torch.Tensor,
                tokens: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        q, k, v = (split_heads(y, self.heads) for y in (self.to_q(x), self.to_k(context), self.to_v(context)))
        out, read = (attend(q, k, v), None) if tokens is None else attend_and_read(q, k, v, tokens)
        return self.to_out(out), read


class GatedForward(nn.Module):
    def __init__(self, width: int, ratio: int = 4) -> None:
        super().__init__()
        first = nn.Module()
        first.proj = nn.Linear(width, 2 * ratio * width)
        self.net = nn.ModuleList([first, nn.Identity(), nn.Linear(ratio * width, width)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        value, gate = self.net[0].proj(x).chunk(2, -1)
        return self.net[2](value * F.gelu(gate))


class TransformerBlock(nn.Module):
    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.attn1, self.attn2 = Attention(width, width, heads), Attention(width, context, heads)
        self.ff = GatedForward(width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))

    def forward(self, x: torch.Tensor, context: torch.Tensor,
                tokens: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        y = self.norm1(x)
        x = x + self.attn1(y, y, None)[0]
        out, read = self.attn2(self.norm2(x), context, tokens)
        x = x + out
        return x + self.ff(self.norm3(x)), read


class SpatialTransformer(nn.Module):
    def __init__(self, width: int, context: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(GROUPS, width, eps=1e-6)
        self.proj_in, self.proj_out = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([TransformerBlock(width, context, heads)])
        nn.init.zeros_(self.proj_out.weight)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x: torch.Tensor, context: torch.Tensor,
                tokens: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor | None]:
        height, width = x.shape[-2:]
        y, read = self.transformer_blocks[0](self.proj_in(self.norm(x)).flatten(2).transpose(1, 2), context, tokens)
        return x + self.proj_out(y.transpose(1, 2).unflatten(2, (height, width))), read


class Downsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class Unet(nn.Module):
    """Parameter names of the host's UNetModel."""

    def __init__(self, config: UnetConfig = UnetConfig()) -> None:
        super().__init__()
        self.config = config
        time = 4 * config.width
        self.time_embed = nn.Sequential(nn.Linear(config.width, time), nn.SiLU(), nn.Linear(time, time))
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(config.channels, config.width, 3, padding=1)])])
        width, skips = config.width, [config.width]

        def pair(inside: int, outside: int) -> list[nn.Module]:
            return [ResBlock(inside, outside, time), SpatialTransformer(outside, config.context, config.heads)]

        levels = list(enumerate(zip(config.multiples, config.blocks, strict=True)))
        for level, (multiple, blocks) in levels:
            for _ in range(blocks):
                self.input_blocks.append(nn.ModuleList(pair(width, config.width * multiple)))
                width = config.width * multiple
                skips.append(width)
            if level + 1 < len(levels):
                self.input_blocks.append(nn.ModuleList([Downsample(width)]))
                skips.append(width)
        self.middle_block = nn.ModuleList([*pair(width, width), ResBlock(width, width, time)])
        self.output_blocks = nn.ModuleList()
        for level, (multiple, blocks) in reversed(levels):
            for number in range(blocks + 1):
                layers = pair(width + skips.pop(), config.width * multiple)
                width = config.width * multiple
                if level and number == blocks:
                    layers.append(Upsample(width))
                self.output_blocks.append(nn.ModuleList(layers))
        self.out = nn.Sequential(nn.GroupNorm(GROUPS, width), nn.SiLU(),
                                 nn.Conv2d(width, config.channels, 3, padding=1))
        nn.init.zeros_(self.out[-1].weight)
        nn.init.zeros_(self.out[-1].bias)

    def blocks(self) -> list[nn.Module]:
        """What is worth compiling."""
        return [module for module in self.modules() if isinstance(module, (ResBlock, SpatialTransformer))]

    def forward(self, x: torch.Tensor, step: torch.Tensor, context: torch.Tensor,
                tokens: torch.Tensor | None = None) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """x: latents [B, 4, h, w]; step: [B] in 0..999; context: [B, T, C]; tokens: float [B, T, parts].

        Returns the noise [B, 4, h, w] and what each cross-attention reads of each part: float [B, N, parts].
        """
        time, skips, reads = self.time(step), [], []

        def through(layers: nn.ModuleList, y: torch.Tensor) -> torch.Tensor:
            for layer in layers:
                if isinstance(layer, ResBlock):
                    y = layer(y, time)
                elif isinstance(layer, SpatialTransformer):
                    y, read = layer(y, context, tokens)
                    reads.append(read)
                else:
                    y = layer(y)
            return y

        for layers in self.input_blocks:
            x = through(layers, x)
            skips.append(x)
        x = through(self.middle_block, x)
        for layers in self.output_blocks:
            x = through(layers, torch.cat([x, skips.pop()], 1))
        return self.out(x), [read for read in reads if read is not None]

    def time(self, step: torch.Tensor) -> torch.Tensor:
        half = self.config.width // 2
        speeds = torch.exp(-math.log(10000) * torch.arange(half, device=step.device) / half)
        angle = step[:, None].float() * speeds
        return self.time_embed(torch.cat([angle.cos(), angle.sin()], -1))
