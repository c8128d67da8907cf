"""How a model is sampled where nobody said otherwise: as ComfyUI's own template of its kind does it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import comfy.samplers

from ...core.noise import FLOW
from ..errors import DirectorError
from ..run.noise_law import noise_law
from ..text.known_words import known_words_of
from ..untrusted import require_number

SAMPLERS, SCHEDULERS = list(comfy.samplers.SAMPLER_NAMES), list(comfy.samplers.SCHEDULER_NAMES)
LATENT_PX = 8  # of the host's empty latent; it is fitted to the model's own
# Of a person's wishes: by the name they have on the node, from and to.
BOUNDS = {"side": ("size", 64, 4096), "steps": ("steps", 1, 200), "cfg": ("cfg", 0, 30)}


@dataclass(frozen=True)
class Sampling:
    """Steps, guidance and size of a check's pictures. side: of a square picture, in pixels."""

    side: int
    steps: int
    cfg: float
    sampler: str
    scheduler: str

    def changed(self, node: str, **wishes: Any) -> Sampling:
        """With what a person asked for; 0 and "" ask for nothing. Raises DirectorError for what is no choice."""
        made = replace(self, **{name: value for name, value in wishes.items() if value})
        for name, (called, least, most) in BOUNDS.items():
            require_number(node, called, getattr(made, name), least, most)
        for name, choices in (("sampler", SAMPLERS), ("scheduler", SCHEDULERS)):
            if getattr(made, name) not in choices:
                raise DirectorError(node, f'there is no {name} "{getattr(made, name)}"; take one of KSampler\'s list.')
        return replace(made, side=int(made.side) // LATENT_PX * LATENT_PX)

    def facts(self) -> dict[str, Any]:
        """By name, for the report."""
        return {own.name: getattr(self, own.name) for own in fields(self)}


# By the name of the host's class of the model; templates of ComfyUI 0.30.0. Distilled models of one class with others
# want fewer steps and cfg 1, which only their user knows.
TEMPLATES = {
    "SD15": Sampling(512, 25, 7.0, "dpmpp_2m", "karras"),
    "SD20": Sampling(768, 25, 7.0, "dpmpp_2m", "karras"),
    "SDXL": Sampling(1024, 25, 6.0, "dpmpp_2m", "karras"),
    "FluxSchnell": Sampling(1024, 4, 1.0, "euler", "simple"),
    "Flux": Sampling(1024, 20, 1.0, "euler", "simple"),
    "Flux2": Sampling(1024, 20, 5.0, "euler", "simple"),
    "Chroma": Sampling(1024, 26, 3.5, "euler", "beta"),
    "ZImage": Sampling(1024, 8, 1.0, "res_multistep", "simple"),
    "Lumina2": Sampling(1024, 25, 4.0, "res_multistep", "simple"),
}
# The models that ship with the pack.
DEMOS = {"DemoUnet": Sampling(128, 16, 5.0, "dpmpp_2m", "karras"),
         "FluxSchnell": Sampling(256, 20, 4.0, "euler", "simple")}
OF_A_FLOW, OF_NOISE = Sampling(1024, 20, 4.0, "euler", "simple"), Sampling(512, 25, 6.0, "dpmpp_2m", "karras")


def sampling_of(model: Any, clip: Any) -> Sampling:
    """The template's of the model's class, or of the next one that it is made from."""
    kinds = [kind.__name__ for kind in type(model.model.model_config).__mro__]
    tables = ({**TEMPLATES, **DEMOS} if known_words_of(clip) else TEMPLATES)
    fallback = OF_A_FLOW if noise_law(model.get_model_object("model_sampling")) is FLOW else OF_NOISE
    return next((tables[kind] for kind in kinds if kind in tables), fallback)
