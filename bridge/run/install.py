"""Put a method on a model: the one thing a node does at graph time."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from comfy.patcher_extension import WrappersMP

from ...core.hooks import ActsInJointLayers
from ...core.method import Chain, Method
from ..families import family_of
from .dispatch import apply_model
from .run import CHAIN_KEY, WRAPPER_KEY
from .store import fingerprint
from .wrappers import calc_cond_batch, outer_sample, predict_noise, sampler_sample

_WRAPPERS = (
    (WrappersMP.OUTER_SAMPLE, outer_sample),
    (WrappersMP.SAMPLER_SAMPLE, sampler_sample),
    (WrappersMP.PREDICT_NOISE, predict_noise),
    (WrappersMP.CALC_COND_BATCH, calc_cond_batch),
    (WrappersMP.APPLY_MODEL, apply_model),
)


def install(model: Any, *methods: Method) -> Any:
    """A clone of the model with a node's methods at the end of its chain; the input is untouched.

    Raises DirectorError for a model of no known family.
    """
    joint = all(isinstance(m, ActsInJointLayers) and m.acts_in_joint_layers for m in methods)
    family_of(model, methods[0].label, joint)
    clone = model.clone()
    options = clone.model_options["transformer_options"]
    chain: Chain = options.get(CHAIN_KEY) or Chain()
    options[CHAIN_KEY] = chain.append(*methods)
    for kind, wrapper in _WRAPPERS:
        clone.remove_wrappers_with_key(kind, WRAPPER_KEY)
        clone.add_wrapper_with_key(kind, WRAPPER_KEY, wrapper)
    return clone


def key_of(unique_id: str, *parts: Any) -> str:
    """The key of a node's methods: the node's id and a digest of what it was given.

    The same inputs give the same key, so queueing twice changes nothing. Tensors, also in lists and tuples, count
    by every value, all else by its repr; a part whose repr tells an address is not fit.
    """
    digest = hashlib.sha256(repr(_with_fingerprints(parts)).encode()).hexdigest()
    return f"{unique_id}/{digest[:12]}"


def _with_fingerprints(part: Any) -> Any:
    if isinstance(part, torch.Tensor):
        return fingerprint(part)
    return [_with_fingerprints(p) for p in part] if isinstance(part, (list, tuple)) else part
