"""A forward of the host's network inside its wrappers: what it is given differs from family to family."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from typing import Any

import torch

from ..families.family import Inputs, inputs_of


@dataclass(frozen=True)
class NetworkCall:
    """What a DIFFUSION_MODEL wrapper gets, by the names that the network itself gives its arguments.

    executor: the host's, of the wrappers further inside. args: x [B, C, h, w] first.
    """

    executor: Any
    args: tuple[Any, ...]
    named: dict[str, Any]

    def __call__(self) -> torch.Tensor:
        return self.executor(*self.args, **self.named)

    @property
    def network(self) -> torch.nn.Module:
        return self.executor.class_obj

    @property
    def x(self) -> torch.Tensor:
        return self.args[0]

    @property
    def options(self) -> dict[str, Any]:
        return self.get("transformer_options") or {}

    @property
    def inputs(self) -> Inputs:
        """Shapes of what the network is given."""
        return inputs_of(self.x, self.get("context"), self.get("ref_latents"))

    def get(self, name: str) -> Any:
        """An argument, None where it is not given."""
        place = self._place(name)
        return self.named.get(name) if place is None else self.args[place]

    def having(self, x: torch.Tensor, **changed: Any) -> NetworkCall:
        """The same call on other latents, with other values of some arguments."""
        args, named = [x, *self.args[1:]], dict(self.named)
        for name, value in changed.items():
            place = self._place(name)
            if place is None:
                named[name] = value
            else:
                args[place] = value
        return replace(self, args=tuple(args), named=named)

    def _place(self, name: str) -> int | None:
        """Among the positional arguments; the host passes some by name, others not."""
        names = list(inspect.signature(self.executor.original).parameters)
        place = names.index(name) if name in names and name not in self.named else len(self.args)
        return place if place < len(self.args) else None
