"""The words of a thing are told where the thing is."""

from __future__ import annotations

import pytest
import torch
from world.scene import Scene, Thing
from world.text import Words
from world.token_supervision import PARTS, SupervisedAttention, occurrences, places, supervision_loss
from world.train_unet import covered

RED, BLUE = Thing("circle", "red", 32, 32, 20), Thing("square", "blue", 96, 96, 20)
PAIR = Scene("white", (RED, BLUE))


@pytest.fixture(scope="module")
def words() -> Words:
    return Words()


def quarters(*corners: tuple[int, int]) -> torch.Tensor:
    """Coverage [4, 8, 8] of things that fill a quarter of the latent each."""
    out = torch.zeros(4, 8, 8)
    for i, (y, x) in enumerate(corners):
        out[i, 4 * y:4 * y + 4, 4 * x:4 * x + 4] = 1
    return out


def test_occurrences_are_whole_phrases() -> None:
    assert occurrences([9, 1, 2, 3, 1, 2], [1, 2]) == [1, 2, 4, 5]
    assert occurrences([1, 3, 2], [1, 2]) == []


def test_each_part_has_its_words_and_its_place(words: Words) -> None:
    rows = words.rows(["a blue square and a red circle on a white background"])
    where = places(words, rows, [PAIR], quarters((0, 0), (1, 1))[None])
    spoken = {part: where.tokens[0, :, part].nonzero().flatten().tolist() for part in range(PARTS)}
    # begin a blue square and a red circle on a white background
    assert spoken == {0: [6, 7], 1: [2, 3], 2: [], 3: [], 4: [10, 11]}
    assert where.named.tolist() == [[1, 1, 0, 0, 1]]
    assert where.masks[0, 0].sum() == where.masks[0, 1].sum() == 16 and where.masks[0, 4].sum() == 32


def test_things_of_one_name_are_one_part(words: Words) -> None:
    variants = Scene("grey", (Thing("creature", "", 32, 32, 20), Thing("creature", "", 96, 96, 20)))
    where = places(words, words.rows(["a creature and a creature"]), [variants], quarters((0, 0), (1, 1))[None])
    assert where.tokens[0, :, 0].nonzero().flatten().tolist() == [2, 5]
    assert where.masks[0, 0].sum() == 32 and where.named[0].tolist() == [1, 0, 0, 0, 0]


def test_an_empty_caption_asks_for_nothing(words: Words) -> None:
    where = places(words, words.rows([""]), [PAIR], quarters((0, 0), (1, 1))[None])
    read = torch.rand(1, 64, PARTS)
    assert supervision_loss([read], where).item() == 0


def test_the_loss_is_least_where_words_are_read_in_their_place(words: Words) -> None:
    where = places(words, words.rows(["a red circle and a blue square"]), [PAIR], quarters((0, 0), (1, 1))[None])
    right = where.masks.flatten(2).transpose(1, 2)
    swapped = right[..., [1, 0, 2, 3, 4]]
    losses = [supervision_loss([read], where).item() for read in (right, torch.full_like(right, 0.3), swapped)]
    assert losses[0] < 1e-2 < losses[1] < losses[2]


def test_reading_is_the_attention_that_a_part_gets() -> None:
    """Against softmax written out; and self-attention, of another length, is left alone."""
    chance = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(2, n, 8, generator=chance) for n in (16, 77, 77))
    tokens = torch.zeros(2, 77, PARTS)
    tokens[:, 3:5, 1] = 1
    attention = SupervisedAttention(tokens)
    out = attention(None, q, k, v, heads=2)
    weights = torch.stack([torch.softmax(q[..., h] @ k[..., h].transpose(1, 2) / 2, dim=-1)
                           for h in (slice(0, 4), slice(4, 8))])
    torch.testing.assert_close(attention.read[0][..., 1], weights.mean(0)[..., 3:5].sum(-1))
    torch.testing.assert_close(out, torch.cat([w @ v[..., h] for w, h in zip(weights, (slice(0, 4), slice(4, 8)),
                                                                           strict=True)], dim=-1))
    attention(None, q, q, q, heads=2)
    assert len(attention.read) == 1


def test_coverage_is_the_share_of_a_cell() -> None:
    import numpy as np

    masks = np.zeros((1, 128, 128), bool)
    masks[0, :8, :4] = True
    out = covered(masks, 16)
    assert out.shape == (4, 16, 16) and out[0, 0, 0] == 128 and out.sum() == 128
