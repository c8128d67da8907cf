"""What every part of the training needs, and the files that parts leave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from .atlas import Atlas, read_atlas
from .course import Clock, Log, load
from .nets.vae import Vae
from .render import Renderer
from .sizes import MODELS, Sizes

ASKED_FOR = ("warm", "publish")  # parts that "all" leaves out


@dataclass(eq=False)
class Workshop:
    """What every part needs: where files lie, on which device, how large, and how much time is left."""

    folder: Path
    model: str
    device: torch.device
    sizes: Sizes
    clock: Clock
    log: Log
    seed: int = 0
    begin: Path | None = None

    @property
    def atlas(self) -> Atlas:
        return read_atlas()

    def renderer(self) -> Renderer:
        return Renderer(self.atlas, self.device)

    def file(self, part: str) -> Path:
        """What a part leaves."""
        name = {"vae": f"vae-{self.model}.safetensors", "latents": f"latents-{self.model}.pt",
                "model": f"{self.model}.safetensors", "file": f"storybook_{self.model}.safetensors",
                "oracle": "oracle.safetensors", "measure": "measure.json", "look": f"look-{self.model}.png",
                "gate": f"gate-{self.model}.json", **{name: f"{name}-{self.model}" for name in ASKED_FOR}}[part]
        return self.folder / name

    def vae(self, model: str | None = None) -> Vae:
        net = self.sizes.new_vae(model or self.model)
        load(replace_model(self, model or self.model).file("vae"), net)
        last = torch.channels_last if self.device.type == "cuda" else torch.preserve_format
        return net.to(self.device, memory_format=last)

    def known_vaes(self) -> dict[str, Vae]:
        """The VAEs that are trained already."""
        return {model: self.vae(model) for model in MODELS if replace_model(self, model).file("vae").exists()}


def replace_model(shop: Workshop, model: str) -> Workshop:
    return replace(shop, model=model)
