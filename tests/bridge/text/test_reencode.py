"""Each region's words in an encoding of their own: what changes in the conditioning, and what must not."""

from __future__ import annotations

import pytest
import tiny
import torch
from embeddings import with_embedding
from scene import PROMPT, custom, encode, family, frozen, host_encode, left, region_prompt, regions, right
from text_encoders import text_encoder

PAPER = custom(reencode_phrases=True)
WORDS = {"red hat": (2, 3), "blue dog": (6, 7)}


def alone(clip, phrase: str) -> torch.Tensor:
    return host_encode(clip, phrase)[0][0][0]


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl"])
def test_rows_at_a_phrase_become_the_phrases_own(name: str) -> None:
    model, clip, _ = family(name)
    host = host_encode(clip, PROMPT)[0][0]
    changed = region_prompt(model, clip, preset=PAPER).positive[0][0]
    for phrase, positions in WORDS.items():
        torch.testing.assert_close(changed[0, list(positions)], alone(clip, phrase)[1:1 + len(positions)])
        assert (changed[0, list(positions)] - host[0, list(positions)]).abs().max() > 1e-2
    kept = [p for p in range(77) if p not in (2, 3, 6, 7)]
    assert torch.equal(changed[0, kept], host[0, kept]), "begin, end, padding and other words stay the prompt's"


def test_the_input_stays_as_it_was_and_the_pooled_vector_is_kept() -> None:
    model, clip, _ = family("sdxl")
    linked = encode(clip, PROMPT)
    before = frozen(linked)
    graph = region_prompt(model, clip, linked, preset="strong")
    assert frozen(linked) == before and graph.positive[0][0] is not linked[0][0]
    assert torch.equal(graph.positive[0][1]["pooled_output"], linked[0][1]["pooled_output"])
    assert not torch.equal(graph.positive[0][0], linked[0][0])


def test_weights_of_the_prompt_are_kept() -> None:
    model, clip, _ = family()
    text = "a (red hat:1.6) and a blue dog"
    changed = region_prompt(model, clip, text, preset=PAPER).positive[0][0]
    torch.testing.assert_close(changed[0, 2:4], alone(clip, "(red hat:1.6)")[1:3])
    assert (changed[0, 2:4] - alone(clip, "red hat")[1:3]).abs().max() > 1e-2


@pytest.mark.parametrize("uncovered", ["background", "paper"])
def test_strong_leaves_out_the_other_regions_words_and_keeps_the_rest(uncovered: str) -> None:
    """End and padding are the background's, where there is one, and know of no region."""
    model, clip, _ = family()
    host = host_encode(clip, PROMPT)[0][0][0]
    changed = region_prompt(model, clip, preset="strong", uncovered=uncovered).positive[0][0][0]
    hat, dog = alone(clip, "a red hat and a on the grass"), alone(clip, "a and a blue dog on the grass")
    torch.testing.assert_close(changed[[2, 3]], hat[[2, 3]])
    torch.testing.assert_close(changed[[6, 7]], dog[[4, 5]])
    assert (changed[[2, 3]] - alone(clip, "red hat")[[1, 2]]).abs().max() > 1e-2
    kept = [0, 1, 4, 5, 8, 9, 10]
    assert torch.equal(changed[kept], host[kept])
    behind = alone(clip, "a and a on the grass") if uncovered == "background" else host
    torch.testing.assert_close(changed[11:], behind[11:])


def test_strong_in_a_prompt_of_more_than_a_chunk_takes_the_words_alone() -> None:
    model, clip, _ = family()
    changed = region_prompt(model, clip, "a red hat " + " ".join(["tree"] * 90), regions(("red hat", left())),
                            preset="strong").positive[0][0]
    torch.testing.assert_close(changed[0, 2:4], alone(clip, "red hat")[1:3])


def test_a_long_prompt_is_changed_where_the_phrase_stands() -> None:
    model, clip, _ = family()
    text = " ".join(["tree"] * 90) + " a red hat"
    linked = encode(clip, text)
    positions = [p for word in linked[0][1]["attention_director"].rows[0].words() if word.text in ("red", "hat")
                 for p in word.positions]
    changed = region_prompt(model, clip, linked, regions(("red hat", left())), preset=PAPER).positive[0][0]
    assert changed.shape[1] == 154 and min(positions) > 77
    torch.testing.assert_close(changed[0, positions], alone(clip, "red hat")[1:3])
    others = [p for p in range(154) if p not in positions]
    assert torch.equal(changed[0, others], linked[0][0][0, others])


def test_each_row_of_a_batch_of_prompts_and_each_of_its_repetitions() -> None:
    """A short prompt beside a long one is repeated; the regions' own encoding must be in every repetition."""
    model, clip, _ = family()
    long = " ".join(["tree"] * 90) + " a red hat"
    linked = encode(clip, f"a red hat\na blue dog\n{long}", lines=True)
    parts = regions(("red hat", left()), ("blue dog", right()))
    changed = region_prompt(model, clip, linked, parts, preset=PAPER).positive[0][0]
    assert changed.shape[:2] == (3, 154)
    for tile in (0, 77):
        torch.testing.assert_close(changed[0, tile + 2:tile + 4], alone(clip, "red hat")[1:3])
        torch.testing.assert_close(changed[1, tile + 2:tile + 4], alone(clip, "blue dog")[1:3])
    strong = region_prompt(model, clip, linked, parts, preset="strong").positive[0][0]
    assert torch.equal(strong[0, :77], strong[0, 77:]) and torch.equal(strong[1, :77], strong[1, 77:])


def test_every_entry_of_the_prompt_and_only_those_with_words() -> None:
    """A prompt split in time has two entries; another node's prompt combined with it stays untouched."""
    from nodes import ConditioningCombine, ConditioningSetTimestepRange

    model, clip, _ = family()
    ours = encode(clip, PROMPT)
    early, late = (ConditioningSetTimestepRange().set_range(ours, a, b)[0] for a, b in ((0.0, 0.5), (0.5, 1.0)))
    other = host_encode(clip, "two cats")
    combined = ConditioningCombine().combine(ConditioningCombine().combine(early, late)[0], other)[0]
    changed = region_prompt(model, clip, combined, preset=PAPER).positive
    single = region_prompt(model, clip, ours, preset=PAPER).positive
    assert torch.equal(changed[0][0], single[0][0]) and torch.equal(changed[1][0], single[0][0])
    assert torch.equal(changed[2][0], other[0][0]) and "attention_director" not in changed[2][1]
    assert [entry[1].get("start_percent") for entry in changed] == [0.0, 0.5, None]
    key = next(iter(changed[0][1]["attention_director"].keys))
    assert key in changed[1][1]["attention_director"].keys


def test_a_scheduled_clip_and_a_skipped_layer() -> None:
    """CLIPSetLastLayer reaches the phrases too."""
    model, clip, _ = family()
    skipped = clip.clone()
    skipped.clip_layer(-2)
    changed = region_prompt(model, skipped, preset=PAPER).positive[0][0]
    torch.testing.assert_close(changed[0, 2:4], alone(skipped, "red hat")[1:3])
    assert (alone(skipped, "red hat") - alone(tiny.clip(), "red hat")).abs().max() > 1e-2


def test_an_embedding_of_another_model_does_not_move_the_words(tmp_path) -> None:
    """The host leaves its vectors out, here too."""
    model, clip, _ = family()
    clip = with_embedding(clip, tmp_path, "other", {"emb_params": torch.randn(3, tiny.WIDTH + 5)})
    parts = regions(("red hat", left()))
    moved = region_prompt(model, clip, "a embedding:other red hat", parts, preset=PAPER).positive[0][0]
    torch.testing.assert_close(moved[0, 2:4], alone(clip, "red hat")[1:3])
    assert torch.equal(moved[0, 4:6], host_encode(clip, "a embedding:other red hat")[0][0][0, 4:6])


def test_a_text_encoder_of_another_kind_is_refused() -> None:
    model, _, _ = family()
    with pytest.raises(ValueError) as caught:
        region_prompt(model, text_encoder("chroma"), "a red hat", regions(("red hat", left())), preset=PAPER)
    assert str(caught.value) == ("RegionPrompt: regions cannot have encodings of their own with this text encoder, "
                                 "which is not CLIP; give this node the clip of its model.")
