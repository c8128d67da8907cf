"""Which token copies which: the hand-worked cases of the mapper and of the alignment."""

from __future__ import annotations

import pytest
import torch
from attention_director.core.token_map import align, extra_words, refine_map, replace_map
from edit_cases import layout
from layouts import pieces


def entries(matrix: torch.Tensor) -> dict[tuple[int, int], float]:
    return {(int(i), int(j)): float(matrix[i, j]) for i, j in matrix.nonzero()}


def diagonal(start: int, stop: int, shift: int = 0) -> dict[tuple[int, int], float]:
    """{(i, i + shift): 1} for source tokens start .. stop - 1."""
    return {(i, i + shift): 1.0 for i in range(start, stop)}


def test_a_swap_of_equal_words_pairs_every_token_with_its_own_place() -> None:
    found = replace_map(layout("a cat eating"), layout("a dog eating"))
    assert torch.equal(found.sources, torch.eye(77, dtype=torch.float64)) and found.copied.eq(1).all()


def test_a_word_that_becomes_two_tokens() -> None:
    """BOS a W eating EOS with W of 1 -> 2 tokens: its column is halved, and what follows moves along."""
    found = replace_map(layout("a cat eating"), layout("a bi+cycle eating"))
    assert entries(found.sources) == diagonal(0, 2) | {(2, 2): 0.5, (2, 3): 0.5} | diagonal(3, 76, 1)


def test_a_word_that_becomes_two_tokens_with_the_published_tail() -> None:
    """The published loop goes on at j, j: target "eating" (4) copies the source's end token (4)."""
    found = replace_map(layout("a cat eating"), layout("a bi+cycle eating"), legacy_tail=True)
    assert entries(found.sources) == diagonal(0, 2) | {(2, 2): 0.5, (2, 3): 0.5} | diagonal(4, 77)


def test_a_word_that_loses_a_token() -> None:
    found = replace_map(layout("a bi+cycle eating"), layout("a cat eating"))
    assert entries(found.sources) == diagonal(0, 2) | {(2, 2): 1.0, (3, 2): 1.0} | diagonal(4, 77, -1)
    assert not found.sources[:, 76].any(), "the last column has no source"


def test_a_word_that_loses_a_token_with_the_published_tail() -> None:
    """Target "eating" (3) copies the second half of W; row 3 is used twice and the last column stays zero."""
    found = replace_map(layout("a bi+cycle eating"), layout("a cat eating"), legacy_tail=True)
    assert entries(found.sources) == diagonal(0, 2) | {(2, 2): 1.0, (3, 2): 1.0} | diagonal(3, 76)


def test_two_swapped_words_of_other_lengths() -> None:
    found = replace_map(layout("a cat sees a bi+cycle"), layout("a uni+corn sees a car"))
    assert entries(found.sources) == (diagonal(0, 2) | {(2, 2): 0.5, (2, 3): 0.5} | diagonal(3, 5, 1)
                                      | {(5, 6): 1.0, (6, 6): 1.0} | diagonal(7, 77))


def test_replace_needs_equally_many_words() -> None:
    with pytest.raises(ValueError, match="3 words for 2"):
        replace_map(layout("a cat"), layout("a black cat"))


def tokens(text: str) -> list[str]:
    return ["<begin>", *text.split(), "<end>"]


@pytest.mark.parametrize(("source", "target", "expected"), [
    ("a cat", "a black cat", (0, 1, -1, 2, 3)),
    ("a cat", "a dog", (0, 1, -1, 3)),
    ("a black cat", "a cat", (0, 1, 3, 4)),
    ("a cat", "a cat", (0, 1, 2, 3)),
    ("", "a cat", (0, -1, -1, 1)),
    ("x y", "y x", (0, 2, -1, 3)),
    ("a a", "a", (0, 1, 3)),
])
def test_alignment(source: str, target: str, expected: tuple[int, ...]) -> None:
    """Ties: first a new target token, then a dropped source token. Both last lines follow from that."""
    assert align(tokens(source), tokens(target)) == expected


def test_refine_keeps_the_shared_tokens_and_the_padding() -> None:
    """ "a cat" -> "a black cat": map = [0, 1, -1, 2, 3], then 5 -> 5, 6 -> 6; source index 4 is unused."""
    found = refine_map(layout("a cat"), layout("a black cat"))
    assert entries(found.sources) == {(0, 0): 1.0, (1, 1): 1.0, (2, 3): 1.0, (3, 4): 1.0} | diagonal(5, 77)
    assert found.copied[2] == 0 and found.copied.sum() == 76


def test_refine_to_a_shorter_prompt_does_not_take_words_for_padding() -> None:
    source, target = layout("a big black cat"), layout("a cat")
    found = refine_map(source, target)
    assert entries(found.sources) == {(0, 0): 1.0, (1, 1): 1.0, (4, 2): 1.0, (5, 3): 1.0} | diagonal(6, 77)
    assert found.copied[4:6].eq(0).all(), "padding where the source has words keeps its own attention"
    published = refine_map(source, target, legacy_tail=True)
    assert published.copied.eq(1).all() and published.sources[4, 4] == 1 and published.sources[5, 5] == 1


def test_prompts_of_several_chunks() -> None:
    """80 words fill two chunks; the begin and end tokens inside pair with those of the same place."""
    words = [f"w{n}" for n in range(80)]
    source, target = layout(" ".join(words)), layout(" ".join([*words[:3], "new", *words[4:]]))
    assert len(source.tokens) == 154
    assert torch.equal(replace_map(source, target).sources, torch.eye(154, dtype=torch.float64))
    longer = layout(" ".join([*words[:3], "new", *words[3:]]))
    found = refine_map(source, longer)
    assert found.sources[4, 5] == 1 and found.copied[4] == 0, "behind the new word all moves by one"
    assert found.sources[75, 78] == 1, "also over the border of the chunks, where an end and a begin token lie"
    assert found.sources[76, 76] == 1 and found.sources[77, 77] == 1


def test_one_chunk_against_two() -> None:
    words = [f"w{n}" for n in range(80)]
    short, long = layout(" ".join(words[:4])), layout(" ".join(words))
    found = refine_map(short, long)
    assert found.sources.shape == (77, 154)
    assert entries(found.sources[:5]) == diagonal(0, 5)
    assert found.copied[76] == 0 and found.copied[77] == 0, "the second chunk's begin has no partner"


def test_names_the_words_without_partner() -> None:
    assert extra_words(["a", "fluffy", "red", "cat"], ["a", "red", "cat"]) == ("fluffy",)
    assert extra_words(["a", "big", "dog", "runs"], ["a", "cat", "runs"]) == ("dog",)
    assert extra_words(["a", "cat"], ["a", "cat"]) == ()


def framed(text: str, head: int, tail: int, padding: int = 0):
    """A prompt of a language model: a template of ``head`` tokens before its words and ``tail`` behind, padding."""
    return pieces(*[None] * head, *text.split(), *[None] * (tail + padding))


@pytest.mark.parametrize("head, tail", [(0, 1), (3, 5), (1, 2)], ids=["T5", "Qwen", "Gemma"])
@pytest.mark.parametrize("kind", ["replace", "refine"])
def test_prompts_of_language_models_pair_their_frames(kind: str, head: int, tail: int) -> None:
    """No begin token need stand before the words, and what stands behind follows them."""
    source = framed("a red cat", head, tail)
    target = framed("a red dog" if kind == "replace" else "a big red cat", head, tail)
    found = {"replace": replace_map, "refine": refine_map}[kind](source, target)
    if kind == "replace":
        assert torch.equal(found.sources, torch.eye(head + 3 + tail, dtype=torch.float64))
    else:
        assert entries(found.sources) == diagonal(0, head + 1) | diagonal(head + 1, head + 3 + tail, 1)
        assert [j for j, copied in enumerate(found.copied) if not copied] == [head + 1]


def test_prompts_filled_up_from_the_front_pair_from_their_words_backwards() -> None:
    """Mistral's: padding, a template, words, a template; both of one length."""
    source, target = framed("a cat", 6, 2), framed("a black cat", 5, 2)
    assert entries(refine_map(source, target).sources) == diagonal(1, 7, -1) | diagonal(7, 10)
    longer = framed("a cat and dog", 4, 2)
    assert entries(replace_map(framed("a dog and cat", 4, 2), longer).sources) == diagonal(0, 10)


def test_a_template_behind_the_words_follows_them_in_padded_prompts() -> None:
    found = refine_map(framed("a cat", 3, 5, 4), framed("a black cat", 3, 5, 3))
    assert entries(found.sources) == diagonal(0, 4) | diagonal(4, 13, 1)


def test_a_prompt_without_words_pairs_its_frame() -> None:
    found = replace_map(framed("", 3, 5), framed("", 3, 5))
    assert torch.equal(found.sources[:1, :1], torch.ones(1, 1, dtype=torch.float64)) and found.copied.eq(1).all()
    assert entries(refine_map(framed("", 3, 5), framed("a cat", 3, 5)).sources) == diagonal(0, 3) | diagonal(3, 8, 2)
