"""A second sampler with less denoise on the wires of an edit: it goes on from what it is given."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from attention_director.bridge.errors import DirectorError
from attention_director.bridge.inversion.replay import replay
from attention_director.core.inversion import state_at
from pictures import kind_of_model, made_on
from replays import KEY, Seen, near, positive
from scene import assert_differs, family


@pytest.mark.parametrize("kind", ["sd15", "sd15 flow"])
@pytest.mark.parametrize("method", ["direct", "ddim"])
def test_a_second_pass_goes_on_from_the_edit(kind: str, method: str) -> None:
    """First pass from the inversion; the next sampler on the same wires, with less denoise, from what it made.

    A target row is then what the model alone makes of the edit; a held source row stays its picture.
    """
    model, clip, negative = kind_of_model(kind)
    made = made_on(kind, method)
    patched, _ = replay(made.inversion, "Test", KEY, model, 2, negative)
    edit = tiny.sample(patched, positive(clip), negative, batch=2, cfg=3.0)
    if method == "direct":
        near(edit[:1], made.samples["samples"])
    assert_differs(edit[1:], made.samples["samples"], 0.05)
    again: dict[str, Any] = dict(latent={"samples": edit}, denoise=0.5, cfg=3.0, seed=11)
    second = tiny.sample(patched, positive(clip), negative, **again)
    plain = tiny.sample(model, positive(clip), negative, **again)
    near(second[1:], plain[1:], 1e-3)
    near(second[:1], made.samples["samples"] if method == "direct" else plain[:1], 1e-3)
    assert_differs(second[1:], edit[1:], 0.05)


def test_a_second_pass_over_the_inversions_own_picture_starts_at_its_states() -> None:
    model, clip, negative = family()
    made = made_on("sd15")
    patched, _ = replay(made.inversion, "Test", KEY, model, 1, negative)
    first = tiny.sample(patched, positive(clip), negative)
    for latent in (made.samples["samples"], first, torch.zeros_like(first)):
        with Seen(model) as seen:
            tiny.sample(patched, positive(clip), negative, latent={"samples": latent}, denoise=0.5)
        sigma = float(model.get_model_object("model_sampling").sigma_max)
        levels = torch.linspace(0.03, sigma, 4000).tolist()
        off = [float((seen.x[0][:1] - state_at(made.inversion.states, made.inversion.sigmas, level)).abs().max())
               for level in levels]
        assert min(off) < 0.05 < 1 < max(off)


def test_edit_friendly_does_not_go_on_from_another_picture() -> None:
    from nodes import KSamplerAdvanced

    model, clip, negative = family()
    patched, _ = replay(made_on("sd15", "edit-friendly").inversion, "Test", KEY, model, 1, negative)
    with pytest.raises(DirectorError, match="cannot go on from another latent than its own; use the model from before"):
        KSamplerAdvanced().sample(patched, "enable", 3, 4, 5.0, "euler", "normal", positive(clip), negative,
                                  {"samples": torch.randn(1, 4, 16, 16)}, 2, 4, "disable")
