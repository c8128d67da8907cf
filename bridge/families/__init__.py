"""The architectures the pack knows, in the order in which they are asked."""

from __future__ import annotations

from typing import Any

from ..errors import DirectorError
from .family import Family
from .flux import FluxFamily
from .nextdit import NextDiTFamily
from .unet import UNetFamily

FAMILIES: tuple[Family, ...] = (UNetFamily(), FluxFamily(), NextDiTFamily())


def family_of(model: Any, node: str, joint: bool = False) -> Family:
    """The family of a MODEL. Raises DirectorError, naming the model's class, where none owns it.

    joint: the node can act where text and image share one attention; others refuse such models.
    """
    network = getattr(model.model, "diffusion_model", None)
    fitting = [family for family in FAMILIES if joint or not family.joint]
    for family in fitting:
        if family.owns(network):
            return family
    *known, last = [name for family in fitting for name in family.models]
    raise DirectorError(node, f"this model is {kind_of(model)}; the node works with {', '.join(known)} and {last}.")


def kind_of(model: Any) -> str:
    """What the host calls the architecture of a MODEL."""
    return type(getattr(model.model, "model_config", model.model)).__name__


def takes_references(model: Any, node: str) -> bool:
    """True for a MODEL that reads reference pictures, False for a UNet, which has adapters instead.

    Raises DirectorError, naming models that do, for one that has neither.
    """
    network = getattr(model.model, "diffusion_model", None)
    family = next((family for family in FAMILIES if family.owns(network)), None)
    if family is not None and (not family.joint or family.takes_references(network)):
        return family.joint
    *known, last = [name for family in FAMILIES for name in family.reference_models]
    raise DirectorError(node, f"this model is {kind_of(model)}, which was not trained with reference pictures; use "
                              f"{', '.join(known)} or {last}, or Stable Diffusion 1.5 with an adapter.")


def family_of_network(network: Any) -> Family:
    """The family of a network inside a run, whose model was asked when its node ran."""
    return next(family for family in FAMILIES if family.owns(network))
