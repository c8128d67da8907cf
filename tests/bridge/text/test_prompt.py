"""Words to token positions with the stock tokenizers, and prompts that equal the host's."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from embeddings import with_embedding
from foreign_packs import doubled
from scene import encode, host_encode

FAMILIES = pytest.mark.parametrize("name", ["sd15", "sdxl"])
KINDS = ["big", "small", "old", "new", "warm", "cold", "wet", "dry", "soft", "hard", "thin", "thick"]
LONG = " ".join(f"{kind} thing," for kind in KINDS * 4)


def find(clip: Any, text: str, phrase: str) -> tuple[int, ...]:
    from attention_director.bridge.text.prompt import encode as tagged
    from attention_director.bridge.text.prompt import tag_of, tokenise_phrase

    return tag_of(tagged(clip, text, "test")).find(tokenise_phrase(clip, phrase, "test"))[0]


def ids(clip: Any, text: str, positions: tuple[int, ...]) -> list[list[Any]]:
    """Token ids at positions, for each encoder of the model, from the host's own tokens."""
    return [[[t[0] for chunk in chunks for t in chunk][p] for p in positions]
            for chunks in clip.tokenize(text).values()]


def word_ids(clip: Any, words: str) -> list[list[int]]:
    """The ids that the host gives these words alone."""
    chunks = clip.tokenize(words)
    count = len([t for t in chunks["l" if "l" in chunks else "h"][0] if t[0] not in (0, 49406, 49407)])
    return ids(clip, words, tuple(range(1, 1 + count)))


@FAMILIES
@pytest.mark.parametrize(("text", "phrase", "positions"), [
    ("a red hat", "red hat", (2, 3)),
    ("A Red HAT", "red hat", (2, 3)),
    ("a red hat", "RED Hat", (2, 3)),
    ("a (red hat:1.3) here", "red hat", (2, 3)),
    ("a (red (hat:1.2):0.7) here", "red hat", (2, 3)),
    ("a ((red)) (hat:0.5)", "red hat", (2, 3)),
    ("a red hat", "(red hat:1.4)", (2, 3)),
    ("one cat, two cats, a cat", "cat#2", (8,)),
    ("one cat, two cats, a cat", "cat", (2,)),
    ("a hundred red hats", "red", (3,)),
    ("a dog, a red hat.", "hat", (6,)),
    ("a dog!!! and a cat", "cat", (6,)),
    ("a red, hat", "red, hat", (2, 3, 4)),
    ("hat_(red)", "red", (3,)),
    ("it's a dog's hat", "dog's", (4, 5)),
])
def test_positions_by_words(name: str, text: str, phrase: str, positions: tuple[int, ...]) -> None:
    clip = tiny.clip(name)
    assert find(clip, text, phrase) == positions
    words = phrase.split("#")[0].replace("(", "").replace(":1.4)", "")
    assert ids(clip, text, positions) == word_ids(clip, words)


@FAMILIES
@pytest.mark.parametrize("phrase", ["hat \\(red\\)", "hat red", "HAT (red)"])
def test_escaped_brackets(name: str, phrase: str) -> None:
    """A booru tag such as hat \\(red\\) keeps its brackets as tokens; matching passes over them."""
    clip = tiny.clip(name)
    text = "girl, hat \\(red\\), dog"
    found = find(clip, text, phrase)
    assert ids(clip, text, found) == word_ids(clip, "hat red")
    assert ids(clip, text, find(clip, text, "dog")) == word_ids(clip, "dog")
    assert ids(clip, "girl, hat \\(red\\)", find(clip, "girl, hat \\(red\\)", "girl")) == word_ids(clip, "girl")


@FAMILIES
def test_a_long_prompt_points_at_the_right_tokens(name: str) -> None:
    clip = tiny.clip(name)
    text = f"{LONG} a (crimson scarf:1.2), {LONG} a crimson scarf beside an unbelievableness"
    assert len(text.split()) > 80
    chunks = len(next(iter(clip.tokenize(text).values())))
    assert chunks >= 4
    for phrase in ("crimson scarf", "crimson scarf#2", "unbelievableness", "thick thing#3"):
        found = find(clip, text, phrase)
        assert ids(clip, text, found) == word_ids(clip, phrase.split("#")[0])
    assert find(clip, text, "crimson scarf#2") > find(clip, text, "crimson scarf") > (77,)
    assert find(clip, text, "big thing") == (1, 2)


def test_a_word_of_several_tokens_is_one_word() -> None:
    clip = tiny.clip()
    found = find(clip, "an unbelievableness here", "unbelievableness")
    assert len(found) > 1
    with pytest.raises(ValueError, match="not in the prompt"):
        find(clip, "an unbelievableness here", "unbelievable")


@FAMILIES
def test_a_textual_inversion_is_found_by_its_name(name: str, tmp_path) -> None:
    vectors = {"clip_l": torch.randn(2, tiny.WIDTH), "clip_g": torch.randn(2, tiny.WIDTH)}
    tensors = vectors if name == "sdxl" else {"emb_params": vectors["clip_l"]}
    clip = with_embedding(tiny.clip(name), tmp_path, "mascot", tensors)
    text = "a photo of embedding:mascot in a red hat"
    found = find(clip, text, "embedding:mascot")
    assert found == (4, 5)
    for got, key in zip(ids(clip, text, found), clip.tokenize(text), strict=True):
        assert torch.equal(torch.stack(got).cpu(), vectors[f"clip_{key}"])
    assert ids(clip, text, find(clip, text, "red hat")) == word_ids(clip, "red hat")
    assert find(clip, f"{text}, (embedding:mascot:1.2) again", "embedding:mascot#2")[0] > 8
    assert torch.equal(encode(clip, text)[0][0], host_encode(clip, text)[0][0])


def test_an_embedding_of_unequal_length_in_the_two_encoders_is_refused(tmp_path) -> None:
    tensors = {"clip_l": torch.randn(1, tiny.WIDTH), "clip_g": torch.randn(3, tiny.WIDTH)}
    clip = with_embedding(tiny.clip("sdxl"), tmp_path, "lopsided", tensors)
    with pytest.raises(ValueError, match="another length in each of the two text encoders"):
        encode(clip, "a embedding:lopsided hat")


@pytest.mark.parametrize("name", ["sd15", "sd2", "sdxl"])
@pytest.mark.parametrize("text", ["", "a red hat", "a (red hat:1.3), ((dog))", f"{LONG} {LONG} end"],
                         ids=["empty", "short", "weights", "long"])
def test_encode_equals_the_hosts(name: str, text: str) -> None:
    clip = tiny.clip(name)
    (ours, values), (host, expected) = encode(clip, text)[0], host_encode(clip, text)[0]
    assert torch.equal(ours, host) and set(values) == {*expected, "attention_director"}
    assert values["attention_director"].keys == frozenset() and values["attention_director"].rows[0].text == text
    assert all(torch.equal(values[k], v) if torch.is_tensor(v) else values[k] == v for k, v in expected.items())


@FAMILIES
def test_lines_become_rows_that_say_what_each_says_alone(name: str) -> None:
    clip = tiny.clip(name)
    lines = ["a red hat", f"{LONG} {LONG} end", "a (blue dog:1.2)", f"{LONG} {LONG} {LONG} end"]
    joined, values = encode(clip, "\n".join([lines[0], "  ", *lines[1:]]), lines=True)[0]
    singles = [host_encode(clip, line)[0] for line in lines]
    lengths = [single[0].shape[1] for single in singles]
    assert [length // 77 for length in lengths] == [1, 4, 1, 6] and joined.shape[:2] == (4, 462)
    blank = host_encode(clip, "")[0][0]
    for row, (cond, expected) in enumerate(singles):
        alone = torch.cat((cond, blank, blank), 1) if row == 1 else cond.repeat(1, 462 // cond.shape[1], 1)
        assert torch.equal(joined[row:row + 1], alone)
        assert torch.equal(values["pooled_output"][row:row + 1], expected["pooled_output"])
    rows = values["attention_director"].rows
    assert [row.text for row in rows] == lines and [len(row.tokens) // 77 for row in rows] == [1, 6, 1, 6]
    assert rows[1].own() == encode(clip, lines[1])[0][1]["attention_director"].rows[0].own()


@pytest.mark.parametrize("chunks", [(13, 17, 19), (3, 4, 5), (1, 2, 4), (2, 9), (6, 4), (1, 1), (5,)])
def test_unequal_lengths_cost_no_more_than_the_longest(chunks: tuple[int, ...]) -> None:
    from attention_director.bridge.text.prompt import filled

    conds = [torch.full((1, 77 * count, 2), float(n + 1)) for n, count in enumerate(chunks)]
    found, longest = filled(conds, torch.zeros(1, 77, 2)), 77 * max(chunks)
    for given, made in zip(conds, found, strict=True):
        own = given.shape[1]
        assert longest % made.shape[1] == 0 and torch.equal(made[:, :own], given) and not made[:, own:].any()
        assert made.shape[1] == own or longest % own, "one that divides the longest stays what it is"


@pytest.mark.parametrize(("text", "said"), [
    ("a red \ud83d hat", "half a character"), ("a" * 60_000, "60000 characters"), ("a " * 20_000, "chunks of tokens"),
    ("(" * 5000 + "hat" + ")" * 5000, "brackets inside each other")])
def test_texts_that_cannot_be_read_are_refused_in_a_sentence(text: str, said: str) -> None:
    from attention_director.bridge.text.prompt import tokenise_phrase

    clip = tiny.clip()
    for ask in (lambda: encode(clip, text), lambda: tokenise_phrase(clip, text, "AttnDirEncode"),
                lambda: encode(clip, f"a hat\n{text}", lines=True)):
        with pytest.raises(ValueError, match=f"^AttnDirEncode: .*{said}") as refused:
            ask()
        assert len(str(refused.value)) < 250
        str(refused.value).encode()


def test_one_line_is_one_prompt() -> None:
    clip = tiny.clip()
    for text in ("a red hat", "a red hat\nand a dog"):
        assert torch.equal(encode(clip, text)[0][0], host_encode(clip, text)[0][0])
    assert encode(clip, "a red hat\n\n", lines=True)[0][0].shape[0] == 1
    assert encode(clip, "a red hat\na dog", lines=True)[0][0].shape[0] == 2


def test_what_the_hosts_nodes_do_to_the_words() -> None:
    """Copies keep them, Concat keeps the first's, Average the first's."""
    from nodes import ConditioningAverage, ConditioningConcat, ConditioningSetMask, ConditioningSetTimestepRange

    clip = tiny.clip()
    ours, other = encode(clip, "a red hat"), host_encode(clip, "a dog")
    tag = ours[0][1]["attention_director"]
    for changed in (ConditioningSetMask().append(ours, torch.ones(1, 8, 8), "default", 1.0)[0],
                    ConditioningSetTimestepRange().set_range(ours, 0.0, 0.5)[0],
                    ConditioningConcat().concat(ours, other)[0],
                    ConditioningAverage().addWeighted(ours, other, 0.5)[0]):
        assert changed[0][1]["attention_director"] is tag


class ChangedEncoder:
    """A CLIP whose encoding another pack has changed: every token is followed by its value, as NegPip's are."""

    def __init__(self, clip: Any) -> None:
        self.clip = clip

    def __getattr__(self, name: str) -> Any:
        return getattr(self.clip, name)

    def encode_from_tokens_scheduled(self, tokens: Any) -> Any:
        return doubled(self.clip.encode_from_tokens_scheduled(tokens))


@pytest.mark.parametrize("text", ["a red hat", "a red hat\na dog"])
def test_an_encoder_that_gives_other_tokens_is_refused_when_the_node_runs(text: str) -> None:
    from attention_director.bridge.text.prompt import encode as tagged
    from attention_director.bridge.text.prompt import encode_lines

    clip, lines = ChangedEncoder(tiny.clip()), text.splitlines()
    with pytest.raises(ValueError) as refused:
        encode_lines(clip, lines, "Encode Prompt") if len(lines) > 1 else tagged(clip, text, "Encode Prompt")
    assert str(refused.value) == (
        "Encode Prompt: the text encoder gives 154 tokens for a prompt of 77, so another node has changed it (NegPip "
        "does); give this node the clip from before that node.")
