"""Identity Inject on tiny transformers that read reference pictures, with subjects of a prompt and their pictures."""

from __future__ import annotations

from typing import Any

import tiny
import tiny_joint
import torch
from identity_files import picture, subjects
from scene import PROMPT, host_encode
from text_encoders import text_encoder

MODELS = {"flux-dev": ("flux", {}), "flux-2": ("klein", {"context_in_dim": 48})}
LATENT, GRID = (12, 16), (6, 8)


def model_of(name: str) -> Any:
    return tiny_joint.model(name, **MODELS[name][1])


def clip_of(name: str) -> Any:
    return text_encoder(MODELS[name][0])


def people(*parts: tuple) -> tuple:
    """Subjects of (phrase, picture[, strength[, mask]]); pictures of 32 by 48 pixels."""
    return subjects(*(parts or (("hat", face(1)), ("dog", face(2)))))


def face(seed: int, count: int = 1) -> torch.Tensor:
    return torch.cat([picture(seed + n, 32, 48) for n in range(count)])


def identity(name: str, text: Any = PROMPT, parts: tuple | None = None, model: Any = None, **changes: Any) -> tuple:
    """IdentityInject.execute without an adapter: (model, positive)."""
    from attention_director.nodes.identity_inject import IdentityInject

    settings = {"strength": 1.0, "start_percent": 0.0, "strength_model": 1.0, "localise": 1.0,
                "vae": tiny_joint.vae(name)} | changes
    with torch.inference_mode():
        return IdentityInject.execute(model or model_of(name), clip_of(name), text,
                                      people() if parts is None else parts, **settings).args


def sample(name: str, model: Any, positive: list, negative: list | None = None, batch: int = 1, cfg: float = 3.0,
           steps: int = 3) -> torch.Tensor:
    latent = {"samples": torch.zeros(batch, model.model.latent_format.latent_channels, *size_of(name))}
    negative = host_encode(clip_of(name), "") if negative is None else negative
    return tiny.sample(model, positive, negative, latent=latent, scheduler="simple", cfg=cfg, steps=steps)


def size_of(name: str) -> tuple[int, int]:
    return GRID if name == "flux-2" else LATENT


def with_latents(conditioning: list, latents: list) -> list:
    from node_helpers import conditioning_set_values

    return conditioning_set_values(conditioning, {"reference_latents": latents}, append=True)


def latents_of(name: str, *pictures: torch.Tensor) -> list:
    with torch.inference_mode():
        return [tiny_joint.vae(name).encode(own[None]) for images in pictures for own in images]
