"""What is trained: the fuse module, the last layers of the vision tower, and a UNet or low-rank changes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from .lowrank import exported, make_low_rank
from .tower import tower_vectors


def training_unet(model: Any) -> nn.Module:
    """The UNet of a loaded MODEL again, in float32 and with weights that take gradients."""
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    config = {k: v for k, v in model.model.model_config.unet_config.items() if k != "dtype"}
    net = UNetModel(**config, dtype=torch.float32, operations=comfy.ops.disable_weight_init)
    weights = model.model.diffusion_model.state_dict()
    net.load_state_dict({name: value.detach().clone().float() for name, value in weights.items()})
    return net.requires_grad_(True)


class Student:
    """Three networks on one device, and the trained parameters by name.

    It has ``state_dict`` and ``load_state_dict`` of the trained parameters alone, which is what a
    moving average and a saved training need.
    """

    def __init__(self, unet: nn.Module, fuse: nn.Module, tower: nn.Module, vision_layers: int, rank: int,
                 convolutions: bool, device: torch.device) -> None:
        self.unet, self.fuse, self.tower = unet.to(device), fuse.to(device), tower.to(device)
        self.shapes = {n: m.weight.shape for n, m in unet.named_modules() if isinstance(m, (nn.Linear, nn.Conv2d))}
        self.changes = make_low_rank(self.unet, rank, convolutions) if rank else {}
        self.unet.to(device)
        self.tower.requires_grad_(False)
        layers = self.tower.vision_model.encoder.layers
        for layer in list(layers)[max(0, len(layers) - vision_layers):]:
            layer.requires_grad_(True)
        self.trained = self._trained()

    def _trained(self) -> dict[str, nn.Parameter]:
        parts = {f"fuse.{n}": p for n, p in self.fuse.named_parameters()}
        parts |= {f"tower.{n}": p for n, p in self.tower.named_parameters() if p.requires_grad}
        for name, change in self.changes.items():
            parts |= {f"unet.{name}.down": change.down, f"unet.{name}.up": change.up}
        if not self.changes:
            parts |= {f"unet.{n}": p for n, p in self.unet.named_parameters()}
        return parts

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {name: p.detach() for name, p in self.trained.items()}

    @torch.no_grad()
    def load_state_dict(self, values: Mapping[str, torch.Tensor]) -> None:
        for name, p in self.trained.items():
            p.copy_(values[name])

    def fused(self, context: torch.Tensor, rows: torch.Tensor, positions: torch.Tensor,
              pixels: torch.Tensor) -> torch.Tensor:
        """Context [B, T, C] with the words at (rows, positions) fused with their pictures [n, 3, S, S]."""
        if not len(rows):
            return context
        words = context[rows, positions]
        fused = self.fuse(words, tower_vectors(self.tower, pixels))
        return context.index_put((rows, positions), fused.to(context.dtype))


def adapter_tensors(student: Student, values: Mapping[str, torch.Tensor], diffusers: Mapping[str, str]
                    ) -> dict[str, torch.Tensor]:
    """The trained ``values`` as an adapter file: the published names, in half precision.

    A whole UNet goes by ``unet.<diffusers name>``; low-rank changes by ``unet_lora.<host's LoRA name>``.
    diffusers: diffusers name -> the host's name, of every UNet weight.
    """
    def part(prefix: str) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}

    out = {f"postfuse_module.{name}": value for name, value in part("fuse.").items()}
    tower = {**student.tower.state_dict(), **part("tower.")}
    out |= {f"image_encoder.{name}": value for name, value in tower.items()}
    unet = part("unet.")
    if student.changes:
        low = exported(student.changes, unet, student.shapes)
        out |= {f"unet_lora.{name}": value for name, value in low.items()}
    else:
        out |= {f"unet.{theirs}": unet[ours] for theirs, ours in diffusers.items() if ours in unet}
    return {name: value.detach().to("cpu", torch.float16).contiguous().clone() for name, value in out.items()}


