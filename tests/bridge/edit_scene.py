"""AttentionEdit on tiny models, as short as a test can say it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import tiny
import torch
from scene import encode

SOURCE, SWAP, ADD = "a red cat on the grass", "a red dog on the grass", "a red cat on the wet green grass"
SETTINGS: dict[str, Any] = {"edit": "auto", "reweight": "", "cross_end_percent": 0.8, "self_end_percent": 0.4,
                            "blend_words": ""}
OFF = {"cross_end_percent": 0.0, "self_end_percent": 0.0}


class Graph(NamedTuple):
    model: Any
    positive: list
    negative: list
    latent: dict[str, Any]


def attention_edit(model: Any, clip: Any, text: Any = SOURCE, targets: str = SWAP, *, batch: int = 1,
                   size: tuple[int, int] = (16, 16), latent: dict[str, Any] | None = None, **changes: Any) -> Graph:
    """AttentionEdit.execute as the host calls it."""
    from attention_director.nodes.attention_edit import AttentionEdit

    latent = latent or {"samples": torch.zeros(batch, 4, *size)}
    return Graph(*AttentionEdit.execute(model, clip, text, targets, latent, **(SETTINGS | changes)).args)


def run(graph: Graph, **options: Any) -> torch.Tensor:
    return tiny.sample(graph.model, graph.positive, graph.negative, **({"latent": graph.latent} | options))


def without_edit(graph: Graph, model: Any, clip: Any, *lines: str) -> Graph:
    """The same prompts on the model without the node; start noise is shared by batch_index alone."""
    texts = lines or (SOURCE, SWAP)
    return graph._replace(model=model, positive=encode(clip, "\n".join(texts), lines=len(texts) > 1))


@contextmanager
def refused(sentence: str, model: Any) -> Iterator[None]:
    """A run in the block is refused with this sentence, before the first step."""
    steps: list[int] = []
    hook = model.model.diffusion_model.register_forward_pre_hook(lambda *_: steps.append(1))
    try:
        with pytest.raises(ValueError) as caught:
            yield
    finally:
        hook.remove()
    assert str(caught.value) == sentence and not steps
