"""Reference pictures bound to words and places, against the rule written out token by token."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from attention_director.core.call import AttentionCall, RowSpan, Scratch, Step
from attention_director.core.localise import confinement, masked_shares, shares
from attention_director.core.method import Chain, Method
from attention_director.core.reference_attention import ReferenceAttention
from attention_director.core.sequence import Axis, Padding, Segment
from attention_director.core.text import columns
from attention_director.core.word_places import MEMORY, WordPlaces
from joint_cases import LAYER
from region_cases import KEY, innermost, phrase, run, tag

TEXT, WORDS, GRID, REFERENCE = "a man and a woman in the snow", 12, (4, 5), 6
PIXELS, SUBJECTS = GRID[0] * GRID[1], ("man", "woman")


def axis(references: int = 2) -> Axis:
    """Text, image, references, and two tokens of nobody behind all."""
    start = WORDS + PIXELS
    segments = [Segment("text", 0, WORDS), Segment("image", WORDS, start, GRID)]
    for number in range(references):
        segments.append(Segment("reference", start, start + REFERENCE, (2, 3), number))
        start += REFERENCE
    return Axis(tuple(segments), start + 2)


def call(references: int = 2, scratch: Scratch | None = None, seed: int = 0, sigma: float = 1.0,
         rows: tuple[RowSpan, ...] | None = None) -> AttentionCall:
    """Row 0 is not ours, rows 1 and 2 are two images of the prompt."""
    generator, own = torch.Generator().manual_seed(seed), axis(references)
    q, k, v = (torch.randn(3, 2, own.length, 16, generator=generator, dtype=torch.float64) * s for s in (3, 1, 1))
    rows = rows or (RowSpan(0, 1, None), RowSpan(1, 3, tag(TEXT, length=WORDS)))
    return AttentionCall(q, k, v, LAYER, own, own, GRID, rows, Step(sigma, 0.3), scratch or Scratch())


def method(localise: float = 1.0, numbers: tuple[tuple[int, ...], ...] = ((0,), (1,)),
           weights: tuple[float, ...] = (1.0, 0.6), masks: torch.Tensor | None = None) -> ReferenceAttention:
    given = torch.tensor([masks is not None] * 2)
    masks = torch.ones(1, 2, *GRID, dtype=torch.bool) if masks is None else masks
    return ReferenceAttention(KEY, tuple(map(phrase, SUBJECTS)), numbers, weights, localise, masks, given)


def halves() -> torch.Tensor:
    """The man left, the woman in the two columns right of him; the rest is nobody's."""
    masks = torch.zeros(1, 2, *GRID, dtype=torch.bool)
    masks[0, 0, :, :2], masks[0, 1, :, 2:4] = True, True
    return masks


def expected(given: AttentionCall, made: ReferenceAttention, row: int, share: torch.Tensor) -> torch.Tensor:
    """One row by the rule: [H, N, D]. share: [S, pixels]."""
    span = next(span for span in given.rows if span.start <= row < span.stop)
    assert span.tag is not None
    text, = given.keys.of("text")
    words = [set(columns(span.tag, 0, p, text)) for p in made.phrases]
    parts = {segment.number: set(range(segment.start, segment.stop)) for segment in given.keys.of("reference")}
    own = [set().union(*(parts.get(n, set()) for n in numbers)) for numbers in made.references]
    bias = torch.zeros(given.queries.length, given.keys.length, dtype=torch.float64)
    for i in range(given.queries.length):
        pixel = i - WORDS if WORDS <= i < WORDS + PIXELS else None
        for j in range(given.keys.length):
            for s, weight in enumerate(made.weights):
                if j in own[s] and pixel is not None:
                    place = max(-8.0, 4 * math.log(max(float(share[s, pixel]), 1e-8)))
                    bias[i, j] += math.log(weight) + made.localise * place if words[s] else -math.inf
                if j in own[s] and pixel is None and i not in words[s] | own[s]:
                    bias[i, j] = -math.inf
                if i in own[s] and not (j in words[s] | own[s] or WORDS <= j < WORDS + PIXELS):
                    bias[i, j] = -math.inf
    scores = given.q[row] @ given.k[row].transpose(-1, -2) * given.q.shape[-1] ** -0.5
    return torch.softmax(scores + bias, -1) @ given.v[row]


EVERYWHERE = torch.ones(2, PIXELS)


@pytest.mark.parametrize("numbers, references", [(((0,), (1,)), 2), (((1,), (2,)), 3), (((0, 2), (1,)), 3),
                                                 (((0,), (1,)), 3)])
def test_it_is_the_rule_token_by_token(numbers: tuple, references: int) -> None:
    """Two pictures; behind another node's; two of one subject; before another node's."""
    given, made = call(references), method(numbers=numbers)
    got, plain = run(given, made), innermost(given)
    for row in (1, 2):
        torch.testing.assert_close(got[row], expected(given, made, row, EVERYWHERE), rtol=0, atol=1e-10)
    torch.testing.assert_close(got[0], plain[0], rtol=0, atol=1e-12)
    assert float((got[1] - plain[1]).abs().max()) > 1e-2


@pytest.mark.parametrize("localise", [0.0, 0.4, 1.0])
def test_masks_are_the_places(localise: float) -> None:
    given, made = call(), method(localise, masks=halves())
    got = run(given, made)
    share = halves()[0].flatten(1).double()
    torch.testing.assert_close(got[1], expected(given, made, 1, share), rtol=0, atol=1e-10)


def test_layouts_of_a_batch_go_to_their_images() -> None:
    masks = torch.cat((halves(), halves().flip(-1)))
    given, made = call(), method(masks=masks)
    got = run(given, made)
    for row, own in enumerate(masks.flatten(2).double(), 1):
        torch.testing.assert_close(got[row], expected(given, made, row, own), rtol=0, atol=1e-10)
    made.check_run((), 2)
    with pytest.raises(ValueError, match="2 layouts and the run 3 images"):
        made.check_run((), 3)


def test_a_call_without_the_references_is_left_alone() -> None:
    given = call(references=1)
    assert torch.equal(run(given, method(numbers=((1,), (2,)))), innermost(given))


def test_a_prompt_that_lacks_a_subject_reads_nothing_of_it() -> None:
    rows = (RowSpan(0, 1, None), RowSpan(1, 3, tag("a man in the snow", length=WORDS)))
    given, made = call(rows=rows), method()
    with pytest.raises(ValueError, match="woman"):
        made.phrases[1].find(rows[1].tag.rows[0])
    torch.testing.assert_close(run(given, made)[1], expected(given, made, 1, EVERYWHERE), rtol=0, atol=1e-10)


def test_padding_is_nobodys() -> None:
    """A short text of a batch: its words stand where they stand, and what it does not read is left out."""
    prompt = replace(tag(TEXT, "a woman and a man", length=WORDS), length=WORDS, padded=True)
    rows = tuple(replace(row, tokens=row.tokens[:own]) for row, own in zip(prompt.rows, (WORDS, 8), strict=True))
    given = call(rows=(RowSpan(0, 1, None), RowSpan(1, 3, replace(prompt, rows=rows))))
    given = replace(given, padding=tuple(Padding(own, range(own, WORDS)) for own in (WORDS, WORDS, 8)))
    seen: list[AttentionCall] = []
    Chain((method(),)).attend(given, lambda inner: seen.append(inner) or inner.v)
    assert seen[0].bias is not None
    bias = (seen[0].bias.left[2, 0] @ seen[0].bias.right[2, 0].T)[:, WORDS + PIXELS:WORDS + PIXELS + REFERENCE]
    assert [i for i in range(WORDS) if bias[i].max() == 0] == [5]  # "man", the second subject of that line


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_near(dtype: torch.dtype) -> None:
    given = call()
    half = replace(given, q=given.q.to(dtype), k=given.k.to(dtype), v=given.v.to(dtype), scratch=Scratch())
    exact = replace(given, q=half.q.double(), k=half.k.double(), v=half.v.double(), scratch=Scratch())
    got, wanted = run(half, method(masks=halves())).double(), run(exact, method(masks=halves()))
    plain = float((innermost(half).double() - innermost(exact)).abs().mean())
    assert got.isfinite().all() and float((got - wanted).abs().mean()) < 4 * plain + 1e-4


PLACES = WordPlaces(KEY, tuple(map(phrase, SUBJECTS)), "IdentityInject")


def maps_of(given: AttentionCall, row: int) -> torch.Tensor:
    """What each pixel reads of each subject's word as a share of all text, mean of the heads: [S, pixels]."""
    scores = given.q[row, :, WORDS:WORDS + PIXELS] @ given.k[row, :, :WORDS].transpose(-1, -2) / 4
    return scores.softmax(-1).mean(0)[:, [2, 5]].T


@pytest.mark.parametrize("order", [1, -1])
def test_places_are_the_words_maps_so_far(order: int) -> None:
    """In the first level those of its layers before, later the means of the levels before: in either order alike."""
    scratch, made = Scratch(), method()
    chain: tuple[Method, ...] = (made, PLACES)[::order]
    maps = torch.zeros(2, 2, PIXELS, dtype=torch.float64)
    for level, sigma in enumerate((1.0, 0.8, 0.6)):
        now = torch.zeros_like(maps)
        for layer in range(3):
            given = call(seed=10 * level + layer, sigma=sigma, scratch=scratch)
            got = Chain(chain).attend(given, innermost)
            share = shares(maps) if level else shares(now) if layer else torch.ones_like(maps)
            for row in (1, 2):
                torch.testing.assert_close(got[row], expected(given, made, row, share[row - 1]), rtol=0, atol=1e-10)
            now = now + torch.stack([maps_of(given, row) for row in (1, 2)])
        even = now / now.mean(-1, keepdim=True)
        maps = torch.lerp(even, maps, MEMORY) if level else even


def test_one_mask_takes_its_place_from_the_other() -> None:
    scratch, made = Scratch(), replace(method(masks=halves()), given=torch.tensor([True, False]))
    Chain((PLACES, made)).attend(call(scratch=scratch), innermost)
    given = call(seed=5, sigma=0.5, scratch=scratch)
    got = Chain((PLACES, made)).attend(given, innermost)
    share = masked_shares(shares(maps_of(call(), 1)[None]), halves()[:, :].flatten(2), made.given)[0]
    assert float(confinement(share, 1.0).min()) == -8.0
    torch.testing.assert_close(got[1], expected(given, made, 1, share), rtol=0, atol=1e-10)
