"""One conditioning of several prompts on T5 and LLM encoders: each row says what its line says alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from attention_director.bridge.text.prompt import encode_lines
from scene import host_encode
from text_encoders import NAMES, text_encoder

LONG = "a tree by the water, " * 90
UNEQUAL = ("test: the prompts have {} tokens; the model must come through a node of this pack too, such as Record "
           "Attention, or the shorter ones come out a little different.")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("lines", [["a red hat", "a blue dog"], ["a dog", "a red hat " + LONG, "a cat"]],
                         ids=["short", "one is long"])
def test_shorter_lines_are_filled_up_with_zeros(name: str, lines: list[str], caplog: pytest.LogCaptureFixture) -> None:
    if name == "flux2":
        lines = [line[:60] for line in lines]  # its tiny vocabulary spells most of them in bytes
    clip = text_encoder(name)
    (joined, values), alone = encode_lines(clip, lines, "test")[0], [host_encode(clip, line)[0] for line in lines]
    lengths = [cond.shape[1] for cond, _ in alone]
    tag = values["attention_director"]
    assert tag.width == joined.shape[1] == max(lengths) and tag.padded == (len(set(lengths)) > 1)
    assert [len(row.tokens) for row in tag.rows] == lengths and [row.text for row in tag.rows] == lines
    for row, (cond, expected) in enumerate(alone):
        assert torch.equal(joined[row, :lengths[row]], cond[0]) and not joined[row, lengths[row]:].any()
        assert _as_alone(values, expected, row, lengths[row])
    said = [record.getMessage() for record in caplog.records if record.name == "attention_director"]
    assert said == [UNEQUAL.format(", ".join(map(str, lengths)))] * tag.padded


def _as_alone(values: dict[str, Any], expected: dict[str, Any], row: int, length: int) -> bool:
    """The values beside the rows, and a mask that shows no padding."""
    if expected.get("pooled_output") is not None and not torch.equal(values["pooled_output"][row],
                                                                     expected["pooled_output"][0]):
        return False
    own = expected.get("attention_mask", torch.ones(1, length, dtype=torch.long))
    mask = values.get("attention_mask")
    if mask is None:
        return bool(own.all()) and not values["attention_director"].padded
    return torch.equal(mask[row, :length], own[0]) and not mask[row, length:].any()
