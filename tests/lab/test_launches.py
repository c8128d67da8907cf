"""What a step of each method asks of a GPU, counted on a CPU: operations launched, beside the plain step's."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from benches.launches import as_on_a_gpu, launches

SIDE = 16
# What was found, rounded up; the kernel of rules and biases counts as the one launch that it is.
MOST = {"region-strong": 1.05, "edit-replace": 1.2, "edit-refine": 1.3, "edit-blend": 1.25, "record": 1.15,
        "idle-everywhere": 1.0, "identity-localise": 1.25, "shared-subject-one-pass": 1.6}


def test_an_operation_is_one_launch_whatever_it_is_made_of() -> None:
    x, linear = torch.randn(2, 3, 8, 8), torch.nn.Linear(8, 8)
    with torch.inference_mode():
        for count, work in ((1, lambda: x @ x), (1, lambda: linear(x)), (0, lambda: x[:, 1:].transpose(1, 2)[None]),
                            (1, lambda: x.mean(1)), (1, lambda: torch.softmax(x, -1)), (2, lambda: (x + 1) * x)):
            assert launches(work) == (count, 0)
        assert launches(lambda: float(x.sum())) == (1, 1)


@pytest.fixture(scope="module")
def launched() -> Iterator[Callable[[str], tuple[int, int]]]:
    """(launches, numbers read back) of one step beyond the first; "plain" for the model without a node."""
    from attention_director.bridge.text.prompt import encode
    from benches import cost
    from benches.cost_device import Case, Runner, cases, more_of
    from benches.cost_models import random_model

    model, clip = random_model("sd15", toy=True)
    plain, negative = encode(clip, cost.PROMPT, cost.NODE), encode(clip, "", cost.NODE)
    ways = {"plain": Case(lambda _model, _clip: (model, plain)), **cases("sd15", SIDE)}
    known: dict[str, tuple[int, int]] = {}

    @torch.inference_mode()
    def count(way: str) -> tuple[int, int]:
        if way not in known:
            work = Runner(*ways[way].make(model, clip), negative, ways[way], SIDE, 1)
            work()
            with as_on_a_gpu():
                known[way] = more_of(work)
        return known[way]

    yield count


@pytest.mark.skipif(torch.cuda.is_available(), reason="a processor's own operations are counted")
@pytest.mark.parametrize("way", MOST)
def test_a_step_asks_little_more_of_a_gpu(way: str, launched: Callable[[str], tuple[int, int]]) -> None:
    (plain, reads), (ours, more) = launched("plain"), launched(way)
    assert ours <= MOST[way] * plain, f"{ours / plain:.3f} of the plain step's"
    assert more <= reads, "no number is read back in a layer"
