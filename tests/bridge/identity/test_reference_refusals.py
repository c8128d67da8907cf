"""What Identity Inject says where a transformer cannot read the subjects' pictures, or is not given them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tiny
import tiny_joint
from attention_director.bridge.errors import DirectorError
from reference_scene import clip_of, face, identity, latents_of, people, with_latents
from scene import PROMPT, encode
from text_encoders import text_encoder


def refused(call: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(DirectorError, match=sentence):
        call()


@pytest.mark.parametrize("name", ["chroma", "lumina", "zimage"])
def test_models_without_references_are_refused(name: str) -> None:
    from attention_director.nodes.identity_inject import IdentityInject

    model, clip, vae = tiny_joint.model(name), text_encoder("flux"), tiny_joint.vae(name)
    refused(lambda: IdentityInject.execute(model, clip, PROMPT, people(), 1.0, 0.0, 1.0, 0.0, vae=vae),
            r"IdentityInject: this model is \w+, which was not trained with reference pictures; use Flux.1 Kontext, "
            r"Flux.2 or Flux.2 Klein, or Stable Diffusion 1.5 with an adapter\.")


def test_what_is_missing_or_of_another_model_is_named() -> None:
    fill = tiny_joint.model("flux-dev", in_channels=96)
    refused(lambda: identity("flux-dev", model=fill), "this model is Flux, which was not trained with reference")
    refused(lambda: identity("flux-dev", vae=None), "the vae input is empty.*wire the VAE of the model")
    refused(lambda: identity("flux-dev", vae=tiny_joint.vae("flux-2")),
            "the vae gives latents of 128 channels and this model reads 16; wire the VAE of the model")
    parts = encode(clip_of("flux-dev"), PROMPT)
    mixed = [*parts, *with_latents(parts, latents_of("flux-dev", face(1)))]
    refused(lambda: identity("flux-dev", mixed), "the parts of this prompt have 0 and 1 reference latents")
    refused(lambda: identity("flux-dev", parts=people(("Anna", face(1)))), 'subject 1 "Anna" is not in the prompt')


def test_a_unet_still_needs_its_adapter() -> None:
    from attention_director.nodes.identity_inject import IdentityInject

    refused(lambda: IdentityInject.execute(tiny.model(), tiny.clip(), PROMPT, people(), 1.0, 0.0, 1.0, 0.0),
            "the adapter input is empty, and this model needs one; wire Load Identity Adapter")
