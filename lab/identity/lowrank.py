"""Low-rank changes of a network's weights (LoRA, arXiv 2106.09685), in weight space.

W + up down / 1, so a forward costs what the plain network costs; exported by the names that the
host's LoRA loader reads.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """W to W + (up @ down), shaped as W. up starts at zero, so training starts at the plain network."""

    def __init__(self, weight: torch.Tensor, rank: int) -> None:
        super().__init__()
        inputs = weight[0].numel()
        self.down = nn.Parameter(torch.randn(rank, inputs, device=weight.device) * inputs ** -0.5)
        self.up = nn.Parameter(torch.zeros(weight.shape[0], rank, device=weight.device))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def make_low_rank(unet: nn.Module, rank: int, convolutions: bool) -> dict[str, LowRank]:
    """Freeze a UNet and give its transformers' linear layers low-rank changes; by weight name.

    ``convolutions``: also the 3 x 3 convolutions of the residual blocks, with half the rank.
    """
    unet.requires_grad_(False)
    made: dict[str, LowRank] = {}
    for name, module in list(unet.named_modules()):
        wide = isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) and "_layers." in name
        if (isinstance(module, nn.Linear) and "transformer_blocks" in name) or (convolutions and wide):
            change = LowRank(module.weight, rank // 2 if wide else rank)
            parametrize.register_parametrization(module, "weight", change)
            made[name] = change
    return made


def exported(changes: dict[str, LowRank], values: dict[str, torch.Tensor], shapes: dict[str, torch.Size]
             ) -> dict[str, torch.Tensor]:
    """``diffusion_model.<layer>.lora_up.weight`` and ``.lora_down.weight`` for every layer.

    values: "<layer>.up" and "<layer>.down"; shapes: of the layers' weights.
    """
    out: dict[str, torch.Tensor] = {}
    for name in changes:
        up, down, shape = values[f"{name}.up"], values[f"{name}.down"], shapes[name]
        kernel = tuple(shape[2:])
        out[f"diffusion_model.{name}.lora_up.weight"] = up.reshape(*up.shape, *(1 for _ in kernel))
        out[f"diffusion_model.{name}.lora_down.weight"] = down.reshape(down.shape[0], *shape[1:])
    return out
