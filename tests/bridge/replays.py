"""Runs that replay an inversion, as a test says and watches them."""

from __future__ import annotations

from typing import Any

import torch
from attention_director.bridge.run.noise_law import noise_law
from attention_director.bridge.text.prompt import encode, with_key
from pictures import CAPTION

KEY = "7/abc"


def positive(clip: Any, text: str = CAPTION, key: str = KEY) -> list:
    made = encode(clip, text, "Test")
    return with_key(made, made[0][1]["attention_director"], key)


def near(a: torch.Tensor, b: torch.Tensor, atol: float = 2e-4) -> None:
    torch.testing.assert_close(a, b.expand_as(a), rtol=0, atol=atol)


class Seen:
    """x and the context of every forward of a model, in the run's own scale."""

    def __init__(self, model: Any) -> None:
        self.model, self.x, self.context = model, [], []

    def __enter__(self) -> Seen:
        def note(_module: Any, args: tuple, kwargs: dict) -> None:
            sigma = kwargs["transformer_options"]["sigmas"][0]
            law = noise_law(self.model.get_model_object("model_sampling"))
            self.x.append(args[0].clone() * law.power(sigma) ** 0.5)
            self.context.append(kwargs["context"].clone())
        self.hook = self.model.model.diffusion_model.register_forward_pre_hook(note, with_kwargs=True)
        return self

    def __exit__(self, *_: Any) -> None:
        self.hook.remove()
