"""What an encoder does not read, and what of it a person is told; which models are refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from attention_director.bridge.text.as_read import as_read, spells_weights
from attention_director.bridge.text.clip import Reading
from attention_director.bridge.text.prompt import encode, encode_lines, tag_of, tokenise_phrase
from attention_director.core.text import TextLayout
from embeddings import with_embedding
from foreign_packs import doubled
from scene import host_encode
from text_encoders import NAMES, WIDTH, text_encoder

LITERAL = ("klein", "zimage", "flux2", "qwen", "longcat", "ovis")  # whose weights the host does not read
WEIGHTS = ("test: this text encoder reads weights such as (word:1.3) as text; remove them, and weight words in "
           "reweight of Attention Edit where it works with the model.")


def found(clip: Any, text: str, phrase: str) -> tuple[int, ...]:
    (positions,) = tag_of(encode(clip, text, "test")).find(tokenise_phrase(clip, phrase, "test"))
    return positions


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "attention_director"]


def refusal(clip: Any, text: str) -> str:
    with pytest.raises(ValueError) as caught:
        encode(clip, text, "test")
    return str(caught.value)


@pytest.mark.parametrize("name", [*NAMES, "sd15"])
def test_weights_that_are_not_read_are_said_once(name: str, caplog: pytest.LogCaptureFixture) -> None:
    clip = tiny.clip() if name == "sd15" else text_encoder(name)
    encode_lines(clip, ["a (red hat:1.3) here", "a (red hat:0.5) here"], "test")
    assert said(caplog) == [WEIGHTS] * (name in LITERAL)
    caplog.clear()
    encode(clip, "a red hat (sitting) at 16:30, \\(red:1.2\\)", "test")
    assert not said(caplog)


def test_which_texts_spell_a_weight() -> None:
    weighed = ("(a:1.2)", "a (b (c:0.5)) d", "((a):1.1)", "(a: -1 )", "(a:b:2)")
    plain = ("a", "(a)", "((a))", "a:1.2", "\\(a:1.2\\)", "(a:b)", "16:30", "a) (b", "", "(:1)")
    assert all(map(spells_weights, weighed)) and not any(map(spells_weights, plain))
    assert "".join(part.read for part in as_read("a (b:1.2) \\(c\\)", weights=False)) == "a (b:1.2) (c)"


@pytest.mark.parametrize("name", NAMES)
def test_phrases_across_brackets(name: str) -> None:
    """With brackets in the prompt or in the phrase, whether the encoder reads them as weights or as text."""
    clip = text_encoder(name)
    for text, phrase in (("a (red) hat", "red hat"), ("a (red hat:1.3) and a dog", "red hat"),
                         ("a (red hat:1.3) and a dog", "(red hat:1.1)"), ("a red hat", "(red hat)"),
                         ("a ((red)) (hat), it", "red hat"), ("a \\(red\\) hat", "red hat")):
        tokens = tag_of(encode(clip, text, "test")).rows[0].tokens
        read = sorted({i for position in found(clip, text, phrase) for i in range(*tokens[position])})
        assert "".join(text[i] for i in read if text[i] not in "()\\: ") == "redhat"


def test_letters_that_are_not_known_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    encode_lines(text_encoder("flux"), ["a 猫 and a 🐱", "a naïve 猫, 二 b, 三 c, 四 d"], "test")
    assert said(caplog) == [
        'test: this text encoder does not know "猫", "🐱", "ï", "二", "三" and more; write it in English.']


@pytest.mark.parametrize("name", ["klein", "zimage", "qwen", "lumina"])
def test_bytes_know_every_letter(name: str, caplog: pytest.LogCaptureFixture) -> None:
    encode(text_encoder(name), "a 猫 and a 🐱, naïve", "test")
    assert not said(caplog)


@pytest.mark.parametrize("name", ["flux", "chroma", "zimage", "klein"])
def test_an_embedding_is_found_at_its_rows(name: str, tmp_path: Any) -> None:
    keys = ("t5xxl", "qwen3_4b", "clip_l")
    draw = torch.Generator().manual_seed(1)
    for mascot in ("one", "two"):
        clip = with_embedding(text_encoder(name), tmp_path, mascot,
                              {key: torch.randn(3, WIDTH, generator=draw) for key in keys})
    text, other = "a red embedding:one in a hat", "a red embedding:two in a hat"
    changed = (host_encode(clip, text)[0][0][0] != host_encode(clip, other)[0][0][0]).any(-1).nonzero().flatten()
    assert len(changed) == 3 and found(clip, text, "embedding:one") == tuple(changed.tolist())
    assert torch.equal(encode(clip, text, "test")[0][0], host_encode(clip, text)[0][0])
    row = tag_of(encode(clip, text, "test")).rows[0]
    assert [word.typed for word in row.words()] == ["a", "red", "embedding:one", "in", "a", "hat"]


@pytest.mark.parametrize("name", ["flux", "zimage", "sd15"])
def test_rows_behind_an_embedding_of_another_model(name: str, tmp_path: Any) -> None:
    """The host leaves its vectors out and pads the end, so what follows stands nearer to the beginning."""
    clip = tiny.clip() if name == "sd15" else text_encoder(name)
    clip = with_embedding(clip, tmp_path, "other", {"emb_params": torch.randn(3, WIDTH + 5)})
    text = "a embedding:other red hat"
    changed = (host_encode(clip, text)[0][0][0] != host_encode(clip, text.replace("red", "blue"))[0][0][0]).any(-1)
    positions = found(clip, text, "red")
    assert int(changed.nonzero()[0]) == positions[0]
    assert [word.typed for word in tag_of(encode(clip, text, "test")).rows[0].words()] == ["a", "red", "hat"]


def of_tokenizer(tokenizer: Any) -> Any:
    """As far as a CLIP object is asked before it encodes."""
    return SimpleNamespace(tokenizer=tokenizer, tokenize=tokenizer.tokenize_with_weights)


def test_models_whose_rows_come_from_several_encoders_are_refused() -> None:
    from comfy.text_encoders.anima import AnimaTokenizer
    from comfy.text_encoders.sd3_clip import SD3Tokenizer

    assert refusal(of_tokenizer(SD3Tokenizer()), "a red hat") == (
        'test: the text encoders "g", "l", "t5xxl" all give rows of the prompt, so a word stands at several places; '
        "use a model such as Stable Diffusion 1.x, 2.x, SDXL, Flux, Z-Image or Lumina 2.")
    assert '"qwen3_06b", "t5xxl" all give rows' in refusal(of_tokenizer(AnimaTokenizer()), "a red hat")


def test_an_encoder_of_another_kind_is_refused() -> None:
    from comfy.text_encoders.hydit import HyditBertTokenizer

    class Tokenizer:
        hydit_clip = HyditBertTokenizer()

        def tokenize_with_weights(self, text: str) -> Any:
            return {"hydit_clip": self.hydit_clip.tokenize_with_weights(text)}

    assert refusal(of_tokenizer(Tokenizer()), "a hat") == (
        'test: the words of the text encoder "hydit_clip" cannot be found; use a model such as Stable Diffusion 1.x, '
        "2.x, SDXL, Flux, Z-Image or Lumina 2.")


def test_a_prompt_with_a_template_of_its_own_is_refused_where_the_host_obeys_it() -> None:
    own = "<|im_start|>system\nDraw.<|im_end|>\n<|im_start|>user\na cat<|im_end|>\n<|im_start|>assistant\n"
    for name in ("qwen", "longcat"):
        assert refusal(text_encoder(name), own) == (
            "test: the prompt brings a chat template of its own, in which its words cannot be told from instructions; "
            "write the prompt without the template.")
    assert found(text_encoder("zimage"), own, "cat"), "here it is text like any other"


class ChangedEncoder:
    """A CLIP object whose encoding another pack has changed."""

    def __init__(self, clip: Any, change: Any) -> None:
        self.clip, self.change = clip, change

    def __getattr__(self, name: str) -> Any:
        return getattr(self.clip, name)

    def encode_from_tokens_scheduled(self, tokens: Any) -> Any:
        return self.change(self.clip.encode_from_tokens_scheduled(tokens))


@pytest.mark.parametrize("name", [*NAMES, "sd15"])
def test_an_encoding_with_other_rows_is_refused(name: str) -> None:
    clip = tiny.clip() if name == "sd15" else text_encoder(name)
    few = host_encode(clip, "a red hat")[0][0].shape[1] // 2

    def halved(conditioning: Any) -> Any:
        return [[cond[:, few:], values] for cond, values in conditioning]

    def shorter(conditioning: Any) -> Any:
        return [[cond[:, :-1], values] for cond, values in conditioning]

    for change in (doubled, halved, shorter) if name in ("flux", "chroma", "lumina", "sd15") else (doubled, halved):
        assert "another node has changed it" in refusal(ChangedEncoder(clip, change), "a red hat")


def test_rows_that_a_host_drops_are_those_of_the_template() -> None:
    layout = TextLayout("a b", (*[None] * 8, (0, 1), (2, 3), None, None, None))
    reading = Reading(layout, head=8, tail=2)
    kept = {count: rows.tokens for count in range(30) if (rows := reading.rows(count))}
    words = ((0, 1), (2, 3))
    assert kept == {13: layout.tokens, **{5 + n: ((None,) * n + (*words, None, None, None)) for n in range(4)},
                    3: (*words, None)}
    begun = Reading(TextLayout("a", (None, (0, 1), None)), head=1, tail=1)
    assert begun.rows(3) == begun.layout and not any(map(begun.rows, (0, 1, 2, 4)))
