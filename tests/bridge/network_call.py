"""One forward of a network, called as the host calls it."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import tiny
import torch
from attention_director.bridge.families import family_of_network
from attention_director.bridge.families.family import Family, Inputs
from families import Entry


@dataclass(frozen=True, eq=False)
class NetworkCall:
    """A network and what it is given. args: x first; named: without the options."""

    network: torch.nn.Module
    args: tuple
    named: dict[str, Any]
    options: dict[str, Any]

    @property
    def x(self) -> torch.Tensor:
        return self.args[0]

    @property
    def family(self) -> Family:
        return family_of_network(self.network)

    @property
    def inputs(self) -> Inputs:
        references = tuple((r.shape[-2], r.shape[-1]) for r in self.named.get("ref_latents") or ())
        return Inputs((self.x.shape[-2], self.x.shape[-1]), self.named["context"].shape[1], references)

    def random(self, seed: int) -> torch.Tensor:
        draw = torch.Generator().manual_seed(seed)
        return torch.randn(self.x.shape, dtype=torch.float64, generator=draw)

    def __call__(self, x: torch.Tensor, options: dict[str, Any] | None = None) -> torch.Tensor:
        options = self.options if options is None else options
        return self.network(x, *self.args[1:], **self.named, transformer_options=dict(options))


def call_of(entry: Entry, model: Any, positive: list, size: tuple[int, int], batch: int = 1,
            precise: bool = True) -> NetworkCall:
    """The first one of a run at cfg 1. precise: in float64, which the host's fast kernels do not know."""
    seen: list[tuple[tuple, dict]] = []
    hook = model.model.diffusion_model.register_forward_pre_hook(
        lambda _module, args, named: seen.append((args, named)), with_kwargs=True)
    latent = {"samples": torch.zeros(batch, model.model.latent_format.latent_channels, *size)}
    try:
        tiny.sample(model, positive, entry.plain(""), latent=latent, steps=1, cfg=1.0)
    finally:
        hook.remove()
    args, named = seen[0]
    options = named["transformer_options"]
    network, dtype = model.model.diffusion_model, torch.float64 if precise else torch.float32
    with torch.inference_mode(False):
        named = {name: _of_type(value, dtype) for name, value in named.items() if name != "transformer_options"}
        return NetworkCall(entry.in_float64(network) if precise else copy.deepcopy(network),
                           tuple(_of_type(value, dtype) for value in args), named, options)


def _of_type(value: Any, dtype: torch.dtype) -> Any:
    """Floating-point tensors, and those in a list, as normal ones of a type."""
    if isinstance(value, list):
        return [_of_type(held, dtype) for held in value]
    return value.to(dtype, copy=True) if isinstance(value, torch.Tensor) and value.is_floating_point() else value
