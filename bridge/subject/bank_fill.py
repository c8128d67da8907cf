"""From a finished run to a bank, and to the node that saves it."""

from __future__ import annotations

import hashlib
from typing import Any

import comfy.model_management
import torch
import torch.nn.functional as F

from ...core.correspondence import match_features
from ...core.subject_masks import masks_from_maps
from ..errors import DirectorError
from ..families.checkpoint import fingerprint
from .bank import SubjectBank, recall, remember
from .bank_use import BankKeeper
from .sampling_pass import SubjectPass

PREVIEW_SCALE = 8


def fill_features(keep: BankKeeper, found: SubjectPass, maps: torch.Tensor) -> None:
    """Put the anchors' features at their subject's patches into a bank, and note which patches these are."""
    assert found.state.features is not None
    masks = masks_from_maps(maps, found.layers.link_grid, found.options.separate)[:keep.anchors]
    patches = match_features(found.state.features[:keep.anchors])
    keep.link_positions = [mask.any(0).nonzero().flatten() for mask in masks]
    pairs = list(zip(patches, masks, keep.link_positions, strict=True))
    keep.tensors["features"] = torch.cat([patch[at] for patch, _, at in pairs]).to("cpu", torch.float16)
    keep.tensors["feature_subjects"] = torch.cat([mask[:, at].T for _, mask, at in pairs]).cpu()


def make_bank(patcher: Any, keep: BankKeeper, samples: torch.Tensor, scenes: tuple[str, ...],
              subjects: tuple[str, ...], seed: int, photographs: bool = False) -> SubjectBank:
    """The bank of a finished run. samples: [B, C, h, w] in the model's own scale, the first being the anchors."""
    keep.flush()
    keep.tensors["preview"] = latent_preview(patcher.model, samples[:keep.anchors])
    return SubjectBank(fingerprint(patcher), keep.anchors, scenes[:keep.anchors], subjects, seed,
                       tuple(level.progress for level in keep.levels), photographs, dict(keep.tensors))


def remember_bank(patcher: Any, bank: SubjectBank, samples: torch.Tensor) -> None:
    """Keep a bank until it is saved, under the digest of its run's samples as the host will hand them on."""
    delivered = patcher.model.process_latent_out(samples.to(torch.float32))
    for made in (delivered, delivered.to(comfy.model_management.intermediate_dtype())):
        remember(digest(made), bank)


def digest(samples: torch.Tensor) -> str:
    """Names a run by its result: a hash of shape, precision and every value."""
    plain = samples.detach().cpu().contiguous()
    return hashlib.sha256(f"{tuple(plain.shape)} {plain.dtype} ".encode()
                          + plain.flatten().view(torch.uint8).numpy().tobytes()).hexdigest()


def latent_preview(model: Any, samples: torch.Tensor) -> torch.Tensor:
    """Rough pictures of latents [A, C, h, w] in the model's scale, by the host's colour factors: [A, 3, H, W]."""
    factors = getattr(model.latent_format, "latent_rgb_factors", None)
    plain = samples.detach().to("cpu", torch.float32)
    if factors is None or len(factors) != plain.shape[1]:
        rgb = plain[:, :1].repeat(1, 3, 1, 1)
    else:
        rgb = torch.einsum("achw,cr->arhw", plain, torch.tensor(factors))
    rgb = F.interpolate((rgb + 1) / 2, scale_factor=PREVIEW_SCALE, mode="bilinear")
    return rgb.clamp(0, 1).to(torch.float16)


def bank_of_samples(node: str, patcher: Any, latent: dict[str, Any] | None) -> SubjectBank:
    """The bank that the run with this result, a LATENT, kept. Raises DirectorError."""
    if latent is None:
        raise DirectorError(node, "neither samples nor a bank is wired; wire the sampler's result or a bank.")
    bank = recall(digest(latent["samples"]))
    if bank is None:
        raise DirectorError(node, "no anchors are left of the run that made these samples; switch keep_bank on in "
                                  "Shared Subject and queue again (with another seed where nothing else changed).")
    if bank.model != fingerprint(patcher):
        raise DirectorError(node, "the samples were drawn with another model; wire the one that drew them.")
    return bank
