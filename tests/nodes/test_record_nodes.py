"""Record Attention and Attention Readout as the host meets them, and what it says to slips."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from scene import PROMPT, encode, family, host_encode


def schema(node: str) -> Any:
    from attention_director.nodes import NODES

    return next(n.GET_SCHEMA() for n in NODES if n.GET_SCHEMA().node_id == node)


def test_sockets_and_defaults() -> None:
    record, readout = schema("AttnDirRecord"), schema("AttnDirReadout")
    assert [(i.id, i.io_type) for i in record.inputs] == [
        ("model", "MODEL"), ("positive", "CONDITIONING"), ("phrases", "STRING"), ("start_percent", "FLOAT"),
        ("end_percent", "FLOAT")]
    assert [(i.id, i.io_type, bool(i.optional)) for i in readout.inputs] == [
        ("model", "MODEL", False), ("samples", "LATENT", False), ("image", "IMAGE", True), ("show", "COMBO", False),
        ("step", "INT", False)]
    assert [o.io_type for o in record.outputs] == ["MODEL"]
    assert [(o.display_name, o.io_type) for o in readout.outputs] == [
        ("image", "IMAGE"), ("masks", "MASK"), ("report", "STRING"), ("score", "FLOAT")]
    defaults = {i.id: i.as_dict().get("default") for i in (*record.inputs, *readout.inputs)}
    assert defaults["phrases"] == "" and defaults["step"] == -1
    assert (defaults["start_percent"], defaults["end_percent"]) == (0.0, 1.0)
    show = next(i for i in readout.inputs if i.id == "show").as_dict()
    assert show["options"] == ["heat maps", "landing", "edit mask", "subjects", "edges"]
    assert readout.is_output_node and record.display_name == "Record Attention"
    assert all("DAAM" in s.search_aliases for s in (record, readout))
    advanced = {i.id for i in (*record.inputs, *readout.inputs) if i.as_dict().get("advanced")}
    assert advanced == {"start_percent", "end_percent", "step"}


def test_from_the_prompt_to_the_sheet() -> None:
    from attention_director.nodes.readout import AttnDirReadout
    from attention_director.nodes.record import AttnDirRecord

    model, clip, negative = family()
    positive = encode(clip, PROMPT)
    seen = AttnDirRecord.execute(model, positive, "red hat\nblue dog").args[0]
    samples = tiny.sample(seen, positive, negative, batch=2, steps=2)
    out = AttnDirReadout.execute(seen, {"samples": samples}, image=torch.rand(2, 128, 128, 3))
    image, masks, report, score = out.args
    assert image.ndim == 4 and masks.shape == (4, 128, 128) and score == 0.0
    assert report.startswith("mean of steps 1-2 of 2\nimage 1, \"red hat\": ")
    assert out.ui["images"]


def says(sentence: str, positive: Any = None, phrases: str = "", **window: float) -> None:
    from attention_director.nodes.record import AttnDirRecord

    model, clip, _ = family()
    with pytest.raises(ValueError) as caught:
        AttnDirRecord.execute(model, encode(clip, PROMPT) if positive is None else positive, phrases, **window)
    assert str(caught.value) == f"AttnDirRecord: {sentence}"


def test_slips() -> None:
    _, clip, _ = family()
    says('"red coat" is not in the prompt; nearest: "red hat". Write words of the prompt, one phrase per line.',
         phrases="blue dog\nred coat")
    says('"dog#2": the prompt contains those words once; lower the number after #.', phrases="dog#2")
    says('"()" contains no words; write words of the prompt, one phrase per line.', phrases="()")
    says("the linked prompt was not made by an Attention Director node, so its words are unknown; use Encode Prompt in "
         "place of CLIP Text Encode.", positive=host_encode(clip, PROMPT))
    says("the linked prompt contains no words to record; type a prompt.", positive=encode(clip, ""))
    says("start_percent 0.6 lies after end_percent 0.2; swap them.", start_percent=0.6, end_percent=0.2)
    says("start_percent is nan; give a number from 0 to 1.", start_percent=float("nan"))
    many = " ".join(f"{a}{b}" for a in "abcdefghi" for b in "abcdefgh")
    says("phrases has 72 lines; use 64 or fewer.", positive=encode(clip, many), phrases=many.replace(" ", "\n"))


@pytest.mark.parametrize("text", [
    "a red hat", "Cat's 3D café, naïve—über (red hat:1.3) [x] 42km/h it's", "日本の 猫 ½ É ß",
    "a\\(b\\) don't_stop! \u00a0?",
    "well-known... ''quoted'' <lora:x:0.8>"])
def test_words_are_spelled_as_the_tokenizer_spells_them(text: str) -> None:
    """Without a text encoder: each stretch of the prompt's words is found at the tokens it has there."""
    from attention_director.bridge.text.prompt import tag_of, tokenise_phrase
    from attention_director.bridge.text.words import phrase_without_clip

    _, clip, _ = family()
    layout = tag_of(encode(clip, text)).rows[0]
    ours, theirs = phrase_without_clip(text), tokenise_phrase(clip, text, "test")
    assert [w.text for w in ours.layout.words()] == [w.text for w in theirs.layout.words()]
    assert ours.find(layout) == theirs.find(layout)
