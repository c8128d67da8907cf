"""The shared arithmetic: row ranges, biases as extra columns, the explicit fallback, and low precision."""

from __future__ import annotations

import attention_director.core.attention as attention
import pytest
import torch
from attention_director.core.call import LowRankBias
from naive_regions import plain_attention

SEEN: list[tuple[int, ...]] = []


def random(*shape: int, seed: int = 0, spread: float = 1.0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread


def recording_kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    SEEN.append((q.shape[-1], k.shape[-1], v.shape[-1]))
    return plain_attention(q, k, v)


def problem(width: int, columns: int, queries: int = 30, keys: int = 50) -> tuple[torch.Tensor, ...]:
    q, k, v = random(2, 3, queries, width, seed=1), random(2, 3, keys, width, seed=2), random(2, 3, keys, width, seed=3)
    return q, k, v, random(2, 3, queries, columns, seed=4, spread=2.0), random(1, 1, keys, columns, seed=5)


def with_dense_bias(q, k, v, left, right) -> torch.Tensor:
    scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + left @ right.transpose(-1, -2)
    return torch.softmax(scores, -1) @ v


@pytest.mark.parametrize("width", [40, 64, 80, 160])
@pytest.mark.parametrize("columns", [1, 3, 8, 20])
def test_bias_columns_equal_a_dense_bias(width: int, columns: int) -> None:
    SEEN.clear()
    q, k, v, left, right = problem(width, columns)
    got = attention.attend_with_bias(q, k, v, LowRankBias(left, right), recording_kernel)
    torch.testing.assert_close(got, with_dense_bias(q, k, v, left, right), rtol=0, atol=1e-12)
    (widths,) = SEEN
    assert len(set(widths)) == 1 and widths[0] % 8 == 0 and width + columns <= widths[0] < width + columns + 8


def test_no_bias_is_the_kernel_itself() -> None:
    q, k, v, _, _ = problem(40, 1)
    assert torch.equal(attention.attend_with_bias(q, k, v, None, plain_attention), plain_attention(q, k, v))


def test_wide_heads_fall_back_to_explicit_attention() -> None:
    def never(q, k, v):
        raise AssertionError("the kernel was given a head wider than it takes")

    q, k, v, left, right = problem(160, 97)
    got = attention.attend_with_bias(q, k, v, LowRankBias(left, right), never)
    torch.testing.assert_close(got, with_dense_bias(q, k, v, left, right), rtol=0, atol=1e-12)
    SEEN.clear()
    q, k, v, left, right = problem(160, 96)
    attention.attend_with_bias(q, k, v, LowRankBias(left, right), recording_kernel)
    assert SEEN == [(256, 256, 256)]


def test_biases_add_up() -> None:
    q, k, v, left, right = problem(40, 3)
    other = LowRankBias(random(2, 3, 30, 2, seed=8), random(2, 1, 50, 2, seed=9))
    both = LowRankBias(left, right) + other
    dense = left @ right.transpose(-1, -2) + other.left @ other.right.transpose(-1, -2)
    torch.testing.assert_close(both.left @ both.right.transpose(-1, -2), dense, rtol=0, atol=1e-12)
    assert LowRankBias(left, right) + None == LowRankBias(left, right)


def test_row_range_is_largest_minus_smallest_logit() -> None:
    q, k = random(2, 3, 31, 40, seed=1, spread=3.0), random(2, 3, 50, 40, seed=2)
    scores = q @ k.transpose(-1, -2) / 40**0.5
    naive = torch.tensor([[[max(row) - min(row) for row in head] for head in image] for image in scores.tolist()],
                         dtype=torch.float64)
    torch.testing.assert_close(attention.row_range(q, k), naive, rtol=0, atol=1e-12)
    assert attention.row_range(q.half(), k.half()).dtype == torch.float32


@pytest.mark.parametrize("at_once", [1, 300, 7 * 300, 10**9])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """3 heads x 2 rows x 50 keys are 300 scores a query of all heads, 100 of one: a CPU takes one head at a time."""
    q, k, v, left, right = problem(40, 3)
    bias = LowRankBias(left, right)
    whole_range, whole = attention.row_range(q, k), attention.explicit_attention(q, k, v, bias)
    monkeypatch.setattr(attention, "_SCORES_AT_ONCE", at_once)
    parts = [(range(3)[heads], range(30)[part]) for heads, part in attention.query_parts(q, k.shape[2])]
    assert sorted((h, n) for heads, part in parts for h in heads for n in part) == [(h, n) for h in range(3)
                                                                                    for n in range(30)]
    assert max(len(heads) * len(part) for heads, part in parts) == max(1, min(90, at_once // 100))
    spread = [range(3)[heads] for heads, _ in attention.query_parts(q.to("meta"), k.shape[2])]
    assert all(heads == range(3) for heads in spread), "a GPU takes all heads at once"
    torch.testing.assert_close(attention.row_range(q, k), whole_range, rtol=0, atol=1e-13)
    torch.testing.assert_close(attention.explicit_attention(q, k, v, bias), whole, rtol=0, atol=1e-13)
    torch.testing.assert_close(attention.explicit_attention(q, k, v), plain_attention(q, k, v), rtol=0, atol=1e-13)


def probability_kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """What a good low-precision kernel computes: its inputs as they are, everything inside exact."""
    return plain_attention(q.double(), k.double(), v.double())


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float16, 0.02), (torch.bfloat16, 0.15)])
def test_low_precision_keeps_the_bias(dtype: torch.dtype, bound: float) -> None:
    """A bias of up to 20 logits, as a row's range is; the error is that of the inputs' rounding.

    In bfloat16 one column would round 20 to steps of 0.125 logits; two keep steps of about 0.0005.
    """
    q, k, v = (random(1, 2, n, 64, seed=seed).to(dtype) for seed, n in enumerate((40, 60, 60)))
    left = torch.linspace(3.0, 20.0, 40, dtype=torch.float64).reshape(1, 1, 40, 1).expand(1, 2, -1, -1)
    right = (torch.arange(60) % 3 == 0).double().reshape(1, 1, 60, 1)
    truth = with_dense_bias(q.double(), k.double(), v.double(), left, right)
    got = attention.attend_with_bias(q, k, v, LowRankBias(left.float(), right.float()), probability_kernel)
    assert (got - truth).abs().max() < bound
    single = (left.to(torch.bfloat16).double() - left).abs().max()
    pair = attention._column_pair(LowRankBias(left.float(), right.float()), torch.bfloat16)
    kept = (pair.left.double() @ pair.right.double().transpose(-1, -2)).amax(-1)
    assert (kept - left[..., 0]).abs().max() < single / 50
    assert pair.left.dtype == pair.right.dtype == torch.bfloat16 and pair.left.shape[-1] == 2


def test_explicit_attention_softmaxes_above_half_precision() -> None:
    q, k, v = (random(1, 2, 40, 64, seed=n).half() for n in (1, 2, 3))
    got = attention.explicit_attention(q, k, v)
    assert got.dtype == torch.float16
    assert (got.double() - plain_attention(q.double(), k.double(), v.double())).abs().max() < 4e-3
