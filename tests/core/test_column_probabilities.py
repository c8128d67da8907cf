"""Probabilities of a few columns against the whole softmax."""

from __future__ import annotations

import attention_director.core.attention as attention
import pytest
import torch
from attention_director.core.attention import column_probabilities
from attention_director.core.call import LowRankBias


def random(*shape: int, seed: int, spread: float = 1.0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread


Q, K = random(2, 3, 30, 40, seed=1, spread=3.0), random(2, 3, 50, 40, seed=2)
LEFT, RIGHT = random(2, 3, 30, 4, seed=3, spread=2.0), random(1, 1, 50, 4, seed=4)


def naive(q: torch.Tensor, k: torch.Tensor, bias: torch.Tensor | float = 0.0) -> torch.Tensor:
    return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + bias, -1)


def test_the_wanted_columns_of_the_softmax() -> None:
    got = column_probabilities(Q, K, torch.tensor([7, 0, 49, 7]))
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, naive(Q, K)[..., [7, 0, 49, 7]], rtol=0, atol=1e-13)


def test_rows_may_want_different_columns() -> None:
    columns = torch.tensor([[1, 2, 3], [40, 3, 0]])
    got = column_probabilities(Q, K, columns)
    for row, wanted in enumerate(columns.tolist()):
        torch.testing.assert_close(got[row], naive(Q, K)[row][..., wanted], rtol=0, atol=1e-13)


def test_the_bias_of_the_call_counts() -> None:
    dense = naive(Q, K, LEFT @ RIGHT.transpose(-1, -2))[..., [3, 9]]
    torch.testing.assert_close(column_probabilities(Q, K, torch.tensor([3, 9]), LowRankBias(LEFT, RIGHT)), dense,
                               rtol=0, atol=1e-13)


@pytest.mark.parametrize("at_once", [1, 300, 7 * 300])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    whole = column_probabilities(Q, K, torch.tensor([3, 9]), LowRankBias(LEFT, RIGHT))
    monkeypatch.setattr(attention, "_SCORES_AT_ONCE", at_once)
    chunked = column_probabilities(Q, K, torch.tensor([3, 9]), LowRankBias(LEFT, RIGHT))
    torch.testing.assert_close(chunked, whole, rtol=0, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_heads_are_read_in_float32(dtype: torch.dtype) -> None:
    """Scores of up to 30 logits: rounding them to bfloat16 would move a probability by a tenth of itself."""
    q, k = Q.to(dtype), K.to(dtype)
    got = column_probabilities(q, k, torch.tensor([3, 9]))
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), naive(q.double(), k.double())[..., [3, 9]], rtol=1e-4, atol=1e-9)


def test_no_wanted_columns() -> None:
    assert column_probabilities(Q, K, torch.zeros(0, dtype=torch.long)).shape == (2, 3, 30, 0)
