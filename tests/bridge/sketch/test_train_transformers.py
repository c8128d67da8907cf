"""Predictors of tokens, as training on transformers makes them."""

from __future__ import annotations

from typing import Any

import pytest
import sketch_scene as s
import torch
from scene import assert_differs
from sketch_scene import sample_joint as sample
from text_encoders import text_encoder

MODELS = {"flux-dev": "flux", "chroma": "chroma", "lumina": "lumina", "zimage": "zimage"}


def train(name: str, steps: int = 12, **changes: Any) -> tuple:
    """The node's execute on rings under texts of unequal length."""
    from attention_director.nodes.train_predictor import AttnDirTrainPredictor

    rings = torch.cat([s.circle((64, 64), at=(0.3 + 0.1 * i, 0.5), radius=0.2) for i in range(4)])
    texts = ["a ring", "a ring " + "in the rain " * 40, "a ring", "two rings"]
    given = dict(model=s.model(name), clip=text_encoder(MODELS[name]), vae=s.Vae(16), images=1 - rings, maps=rings,
                 steps=steps, batch_size=3, learning_rate=1e-2, seed=3) | changes
    with torch.inference_mode():
        return AttnDirTrainPredictor.execute(texts=texts, **{key: [value] for key, value in given.items()}).args


@pytest.mark.parametrize("name", MODELS)
def test_training_lowers_the_loss_and_guides(name: str) -> None:
    pred, losses, preview = train(name)
    assert sum(losses["loss"][-4:]) < 0.7 * sum(losses["loss"][:4])
    assert pred.steps == 12 and pred.law.name == "flow" and pred.taps.patch == 2 and int(pred.weights["batches"]) == 12
    assert preview.shape == (1, 4 * 64, 3 * 64, 3)
    model = s.model(name)
    assert_differs(sample(s.sketch(model, pred=pred), name), sample(model, name), least=0.02)
    more, further, _ = train(name, 2, predictor=pred)
    assert more.steps == 14 and further["loss"][0] < losses["loss"][0]


def test_a_batch_of_unequal_texts_is_read_as_each_text_alone() -> None:
    from attention_director.bridge.sketch.examples import encode_examples
    from attention_director.bridge.sketch.train import features_of, running

    model, clip = s.model("zimage"), text_encoder("zimage")
    pictures = [torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    texts = ["a ring", "a ring " + "in the rain " * 40, "a dog"]
    examples = encode_examples("node", model, clip, s.Vae(16), pictures, texts, [p[..., 0] for p in pictures])
    taps, sigma = s.predictor(model).taps, torch.tensor([0.2, 0.5, 0.8])
    x = torch.randn(3, 16, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode(), running(model):
        together = features_of("node", model, x, sigma, examples, [2, 1, 0], taps)
        for row, number in enumerate((2, 1, 0)):
            alone = features_of("node", model, x[row:row + 1], sigma[row:row + 1], examples, [number], taps)
            for found, own in zip(together, alone, strict=True):
                torch.testing.assert_close(found[row:row + 1], own, rtol=0, atol=1e-4)
