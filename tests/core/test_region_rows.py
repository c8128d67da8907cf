"""Rows of a model call: several images, prompts, layouts, tiles of a context, and rows that are not ours."""

from __future__ import annotations

from dataclasses import replace

import naive_regions as naive
import pytest
import torch
from attention_director.core.call import RowSpan
from attention_director.core.regions import RegionRule
from attention_director.core.sequence import text_axis
from region_cases import KEY, PAPER, boxes, expected, innermost, layout, make_call, method, run, tag

EXACT = 1e-10
MASKS = boxes(16, 16, (0, 0, 9, 8), (5, 6, 16, 16))
PHRASES = ["red hat", "dog"]
KINDS = pytest.mark.parametrize("kind", ["self", "cross"])


@KINDS
def test_rows_that_are_not_ours_stay_as_they_were(kind: str) -> None:
    text = "a red hat and a dog"
    other = replace(tag(text), keys=frozenset({"another node"}))
    rows = (RowSpan(0, 2, None), RowSpan(2, 4, tag(text)), RowSpan(4, 6, other))
    call = make_call(kind, (6, 6), rows, latent=(12, 12))
    made = method(PHRASES, MASKS, rule=RegionRule())
    got, plain = run(call, made), innermost(call)
    for row in (0, 1, 4, 5):
        torch.testing.assert_close(got[row], plain[row], rtol=0, atol=EXACT)
    for row in (2, 3):
        torch.testing.assert_close(got[row], expected(call, made, row, layout(text)), rtol=0, atol=EXACT)
        assert (got[row] - plain[row]).abs().max() > 1e-3


@KINDS
@pytest.mark.parametrize("rule", [PAPER, RegionRule()], ids=["paper", "both"])
def test_image_i_reads_prompt_i_mod_p(kind: str, rule: RegionRule) -> None:
    texts = ["a red hat and a dog", "dog beside someone in a big red hat"]
    call = make_call(kind, (6, 6), (RowSpan(0, 4, tag(*texts)), RowSpan(4, 8, None)))
    made = method(PHRASES, MASKS, (1.0, 0.6), rule)
    got = run(call, made)
    for row in range(4):
        prompt = layout(texts[row % 2])
        torch.testing.assert_close(got[row], expected(call, made, row, prompt), rtol=0, atol=EXACT)


@KINDS
@pytest.mark.parametrize("rule", [PAPER, RegionRule()], ids=["paper", "both"])
def test_a_region_is_not_there_in_a_row_that_lacks_its_phrase(kind: str, rule: RegionRule) -> None:
    texts = ["a red hat and a dog", "only a dog here", "nothing of it"]
    call = make_call(kind, (6, 6), (RowSpan(0, 3, tag(*texts)),))
    both = run(call, method(PHRASES, MASKS, rule=rule))
    the_dog = run(call, method(PHRASES[1:], MASKS[1:], rule=rule))
    torch.testing.assert_close(both[1], the_dog[1], rtol=0, atol=EXACT)
    torch.testing.assert_close(both[2], innermost(call)[2], rtol=0, atol=EXACT)
    for row in (0, 1):
        torch.testing.assert_close(both[row], expected(call, method(PHRASES, MASKS, rule=rule), row,
                                                       layout(texts[row])), rtol=0, atol=EXACT)
        assert (both[row] - innermost(call)[row]).abs().max() > 1e-3


def test_a_call_that_holds_only_rows_without_regions() -> None:
    """As when the host splits a batch: its first half may be the row that no region is in."""
    words = tag("nothing of it", "a red hat and a dog")
    call = make_call("cross", (6, 6), (RowSpan(0, 1, words, first=0),))
    torch.testing.assert_close(run(call, method(PHRASES, MASKS)), innermost(call), rtol=0, atol=EXACT)


@KINDS
def test_one_layout_an_image(kind: str) -> None:
    text = "a red hat and a dog"
    layouts = torch.stack([MASKS, MASKS.flip(2), MASKS.flip(1), MASKS.transpose(1, 2)])
    call = make_call(kind, (6, 6), (RowSpan(0, 4, None), RowSpan(4, 8, tag(text))), latent=(12, 12))
    made = method(PHRASES, layouts, rule=RegionRule())
    got = run(call, made)
    for image in range(4):
        row = 4 + image
        torch.testing.assert_close(got[row], expected(call, made, row, layout(text), image), rtol=0, atol=EXACT)
        single = run(call, method(PHRASES, layouts[image], rule=RegionRule()))
        torch.testing.assert_close(got[row], single[row], rtol=0, atol=EXACT)


def test_a_batch_of_masks_of_another_size_is_refused() -> None:
    made = method(PHRASES, torch.stack([MASKS, MASKS, MASKS]))
    for images in (1, 2, 4, 6):
        with pytest.raises(ValueError, match=f"3 layouts and the run {images} images"):
            made.check_run([], images)
    made.check_run([], 3)
    method(PHRASES, MASKS).check_run([], 5)


@pytest.mark.parametrize("tiles", [2, 3, 4])
def test_a_repeated_context_changes_nothing(tiles: int) -> None:
    """The host repeats a short context to the length of a longer one; a softmax does not notice."""
    text = "a red hat and a dog"
    short = make_call("cross", (6, 6), (RowSpan(0, 1, tag(text)),))
    long = replace(short, k=short.k.repeat(1, 1, tiles, 1), v=short.v.repeat(1, 1, tiles, 1),
                   keys=text_axis(77 * tiles))
    made = method(PHRASES, MASKS, rule=RegionRule())
    torch.testing.assert_close(run(long, made), run(short, made), rtol=0, atol=EXACT)
    torch.testing.assert_close(run(long, made)[0], expected(long, made, 0, layout(text)), rtol=0, atol=EXACT)


def test_prompts_of_unequal_length_in_one_batch() -> None:
    """Rows of one and of two chunks, both brought to two chunks of keys."""
    texts = "a red hat and a dog", " ".join(["word"] * 80) + " red hat dog"
    made = method(PHRASES, MASKS)
    unequal = replace(tag(texts[0]), rows=(layout(texts[0]), layout(texts[1], 154)))
    call = make_call("cross", (4, 4), (RowSpan(0, 2, unequal),), keys=154)
    got = run(call, made)
    for row, prompt in enumerate(unequal.rows):
        torch.testing.assert_close(got[row], expected(call, made, row, prompt), rtol=0, atol=EXACT)


@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize("tiles", [1, 2])
def test_words_that_another_node_appended_belong_to_no_region(everywhere: bool, tiles: int) -> None:
    """Also behind a row that was repeated to a longer one's length, and where the host repeats it all."""
    rule = replace(PAPER, everywhere=everywhere)
    text = "a red hat and a dog"
    joined = replace(tag(text), length=154, appended=5)
    call = make_call("cross", (4, 4), (RowSpan(0, 1, joined),), keys=159 * tiles)
    made = method(PHRASES, MASKS, rule=rule)
    words = naive.token_sets(77, [(2, 3), (6,)], layout(text).own(), everywhere)
    keys = (words * 2 + [{naive.EVERYWHERE} if everywhere else set()] * 5) * tiles
    queries = naive.pixel_sets(MASKS, (4, 4), False)
    a = naive.amounts(queries, 1.0, 1.0, (1.0, 1.0))
    queries = [regions | {naive.EVERYWHERE} for regions in queries]
    truth = naive.regions_attention(call.q[0], call.k[0], call.v[0], queries, keys, a)
    torch.testing.assert_close(run(call, made)[0], truth, rtol=0, atol=EXACT)


def test_keys_past_the_last_whole_repetition_are_nobodys() -> None:
    """A patch of another pack may lengthen the context where nobody can know by what."""
    text = "a red hat and a dog"
    call = make_call("cross", (4, 4), (RowSpan(0, 1, tag(text)),), keys=77 * 2 + 4)
    made = method(PHRASES, MASKS)
    keys = naive.token_sets(77, [(2, 3), (6,)], (), False) * 2 + [set()] * 4
    queries = naive.pixel_sets(MASKS, (4, 4), False)
    truth = naive.regions_attention(call.q[0], call.k[0], call.v[0], queries, keys,
                                    naive.amounts(queries, 1.0, 1.0, (1.0, 1.0)))
    torch.testing.assert_close(run(call, made)[0], truth, rtol=0, atol=EXACT)


@KINDS
def test_two_methods_on_one_call_act_on_their_own_rows(kind: str) -> None:
    text = "a red hat and a dog"
    ours, theirs = tag(text), tag(text, key="9/other")
    call = make_call(kind, (6, 6), (RowSpan(0, 1, ours), RowSpan(1, 2, theirs)))
    first, second = method(PHRASES, MASKS), method(PHRASES, MASKS.flip(2), (0.5, 1.0), key="9/other")
    got = run(call, first, second)
    torch.testing.assert_close(got[0], expected(call, first, 0, layout(text)), rtol=0, atol=EXACT)
    torch.testing.assert_close(got[1], expected(call, second, 1, layout(text)), rtol=0, atol=EXACT)


def test_the_geometry_is_made_once_a_grid_and_never_shared_by_methods() -> None:
    text = "a red hat and a dog"
    call = make_call("self", (6, 6), (RowSpan(0, 1, tag(text)),))
    made, mirrored = method(PHRASES, MASKS), method(PHRASES, MASKS.flip(2))
    run(call, made)
    kept = dict(call.scratch.values)
    run(replace(call, q=call.q * 2), made)
    assert call.scratch.values.keys() == kept.keys() and len(kept) == 2, "the geometry, and the rules of the step"
    assert all(call.scratch.values[key] is value for key, value in kept.items())
    torch.testing.assert_close(run(call, mirrored)[0], expected(call, mirrored, 0, layout(text)), rtol=0, atol=EXACT)


def test_inputs_are_not_written_to() -> None:
    call = make_call("self", (6, 6), (RowSpan(0, 1, tag("a red hat and a dog")),))
    before = [t.clone() for t in (call.q, call.k, call.v)]
    made = method(PHRASES, MASKS)
    masks = made.masks.clone()
    run(call, made)
    assert all(torch.equal(a, b) for a, b in zip(before, (call.q, call.k, call.v), strict=True))
    assert torch.equal(made.masks, masks) and call.bias is None and made.key == KEY
