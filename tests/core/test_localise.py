"""Subjects confined to their places: arithmetic, rows, and what a single subject or a mask does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from attention_director.core.attention import explicit_attention
from attention_director.core.call import AttentionCall, LowRankBias, RowSpan, Scratch, Step
from attention_director.core.localise import LocaliseSubjects, confinement, masked_shares, shares
from attention_director.core.network import LayerAddress
from attention_director.core.schedule import Schedule
from attention_director.core.text import Phrase, PromptTag, TextLayout
from axes import axes
from layouts import pieces

LAYER = LayerAddress("input", 1, 0, "cross")
WORDS = ("a", "cat", "and", "a", "dog")


def layout(*words: str) -> TextLayout:
    return pieces(None, *words, None, None)


def phrase(*words: str) -> Phrase:
    return Phrase(" ".join(words), pieces(*words))


def method(strength: float = 1.0, masks: torch.Tensor | None = None, given: tuple[bool, ...] = (False, False),
           phrases: tuple[Phrase, ...] = (phrase("cat"), phrase("dog"))) -> LocaliseSubjects:
    masks = torch.ones(1, len(phrases), 8, 8, dtype=torch.bool) if masks is None else masks
    return LocaliseSubjects("1/x", phrases, strength, Schedule(), masks, torch.tensor(given[:len(phrases)]))


def call(grid: tuple[int, int] = (4, 4), images: int = 1, scratch: Scratch | None = None, seed: int = 0,
         words: tuple[str, ...] = WORDS, **changes: Any) -> AttentionCall:
    """Rows of the prompt first, then as many of another conditioning."""
    torch.manual_seed(seed)
    tag = PromptTag((layout(*words),), frozenset({"1/x"}))
    tokens = len(tag.rows[0].tokens)
    q = torch.randn(2 * images, 2, grid[0] * grid[1], 4, dtype=torch.float64)
    k, v = (torch.randn(2 * images, 2, tokens, 4, dtype=torch.float64) for _ in range(2))
    rows = (RowSpan(0, images, tag), RowSpan(images, 2 * images, None))
    return AttentionCall(q, k, v, LayerAddress("input", 1, 0, "cross"), *axes("cross", grid, tokens), (8, 8), rows,
                         Step(1.0, 0.5), scratch or Scratch(), **changes)


def biases(of: LocaliseSubjects, given: AttentionCall) -> list[LowRankBias | None]:
    seen: list[LowRankBias | None] = []
    of(given, lambda inner: seen.append(inner.bias) or inner.q)
    return seen


def dense(bias: LowRankBias) -> torch.Tensor:
    return bias.left @ bias.right.transpose(-1, -2)


def test_shares_are_of_even_maps() -> None:
    maps = torch.tensor([[[0.1, 0.3], [10.0, 10.0]]])
    torch.testing.assert_close(shares(maps), torch.tensor([[[0.5, 1.0], [1.0, 1.0 / 1.5]]]))


def test_confinement_holds_back_by_the_share() -> None:
    got = confinement(torch.tensor([1.0, 0.5, 0.0]), 0.5)
    torch.testing.assert_close(got, torch.tensor([0.0, 0.5 * 4 * -0.693147, -4.0]))


def test_a_mask_takes_its_place_from_everyone() -> None:
    share = torch.tensor([[[1.0, 0.5, 0.2], [0.3, 1.0, 1.0]]])
    masks = torch.tensor([[[True, False, False], [True, True, True]]])
    torch.testing.assert_close(masked_shares(share, masks, torch.tensor([True, False])),
                               torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]]]))


def test_each_words_column_is_held_back_where_the_other_is_heard() -> None:
    given = call()
    bias = biases(method(), given)[0]
    assert bias is not None
    added = dense(bias)[0, 0]
    probabilities = torch.softmax(given.q @ given.k.transpose(-1, -2) / 2, -1)[0].mean(0)[:, [2, 5]].T
    wanted = confinement(shares(probabilities[None]), 1.0)[0]
    torch.testing.assert_close(added[:, [2, 5]].T, wanted, rtol=0, atol=1e-6)
    assert (added[:, [0, 1, 3, 4, 6, 7]] == 0).all() and (dense(bias)[1] == 0).all()


def test_the_first_fine_layer_knows_nothing_and_is_left_alone() -> None:
    """A value knows the layers of its network whose maps count; the maps belong to the key, not to the value."""
    scratch, fine = Scratch(), replace(method(), mapped=frozenset())
    assert biases(fine, call((8, 8), scratch=scratch)) == [None]
    biases(method(), call((4, 4), scratch=scratch))
    assert biases(fine, call((8, 8), scratch=scratch))[0] is not None


def test_maps_are_read_at_half_the_latents_size() -> None:
    class Asked:
        def words(self, cells: int) -> frozenset:
            self.cells = cells
            return frozenset({LAYER})

    network = Asked()
    assert method().fitted(network, (64, 32)).mapped == {LAYER} and network.cells == 32 * 16


def test_an_earlier_bias_stays() -> None:
    earlier = LowRankBias(torch.ones(2, 2, 16, 1, dtype=torch.float64), torch.ones(1, 1, 8, 1, dtype=torch.float64))
    with_it = biases(method(), call(bias=earlier))[0]
    without = biases(method(), call())[0]
    assert with_it is not None and without is not None
    torch.testing.assert_close(dense(with_it), dense(without).double() + 1.0, rtol=0, atol=1e-6)


def test_one_subject_without_a_mask_is_not_selected() -> None:
    layer = LAYER
    alone = method(phrases=(phrase("cat"),))
    assert not alone.selects(layer) and method().selects(layer)
    assert method(phrases=(phrase("cat"),), given=(True,)).selects(layer)
    assert not method().selects(LayerAddress("input", 1, 0, "self"))


def test_a_masked_subject_is_heard_inside_only() -> None:
    masks = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    masks[..., :4] = True
    one = method(phrases=(phrase("cat"),), masks=masks, given=(True,))
    bias = biases(one, call((8, 8)))[0]
    assert bias is not None
    column = dense(bias)[0, 0, :, 2].reshape(8, 8)
    assert (column[:, :4] == 0).all() and (column[:, 4:] == -8).all()


def test_masks_of_a_batch_go_to_their_images() -> None:
    masks = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    masks[0, ..., :4], masks[1, ..., 4:] = True, True
    one = method(phrases=(phrase("cat"),), masks=masks, given=(True,))
    bias = biases(one, call((8, 8), images=2))[0]
    assert bias is not None
    columns = dense(bias)[:2, 0, :, 2].reshape(2, 8, 8)
    assert (columns[0, :, :4] == 0).all() and (columns[1, :, 4:] == 0).all() and (columns[1, :, :4] == -8).all()
    one.check_run([], 2)
    with pytest.raises(ValueError, match="2 layouts and the run 3 images"):
        one.check_run([], 3)


def test_a_row_that_lacks_a_subject_does_not_compete() -> None:
    bias = biases(method(), call(words=("a", "cat", "and", "a", "fox")))[0]
    assert bias is not None and (dense(bias)[0] == 0).all()


def test_the_output_is_plain_attention_under_the_bias() -> None:
    given = call()
    bias = biases(method(), given)[0]
    again = call()
    out = method()(again, lambda c: explicit_attention(c.q, c.k, c.v, c.bias))
    scores = given.q @ given.k.transpose(-1, -2) / 2 + dense(bias).double()
    torch.testing.assert_close(out, torch.softmax(scores, -1) @ given.v, rtol=0, atol=1e-6)
