"""Put a method on a model: the one thing a node does at graph time."""

from __future__ import annotations

from typing import Any

from comfy.patcher_extension import WrappersMP

from ...core.method import Chain, Method
from ..families import family_of
from .dispatch import apply_model
from .run import CHAIN_KEY
from .wrappers import calc_cond_batch, outer_sample, predict_noise, sampler_sample

WRAPPER_KEY = "attention_director"
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
    family_of(model, methods[0].label)
    clone = model.clone()
    options = clone.model_options["transformer_options"]
    chain: Chain = options.get(CHAIN_KEY) or Chain()
    options[CHAIN_KEY] = chain.append(*methods)
    for kind, wrapper in _WRAPPERS:
        clone.remove_wrappers_with_key(kind, WRAPPER_KEY)
        clone.add_wrapper_with_key(kind, WRAPPER_KEY, wrapper)
    return clone
