"""Several prompts in one conditioning, of encoders whose text shares its attention with the image."""

from __future__ import annotations

import pytest
import torch
from scene import encode
from text_encoders import text_encoder

LINES = ("a red hat", "a red hat and a blue dog on the grass")


@pytest.mark.parametrize("name", ["zimage", "lumina", "chroma"])
def test_shorter_prompts_are_filled_up_and_known_to_be(name: str, caplog: pytest.LogCaptureFixture) -> None:
    clip = text_encoder(name)
    (joined, values), = encode(clip, "\n".join(LINES), True)
    tag = values["attention_director"]
    singles = [encode(clip, line)[0] for line in LINES]
    lengths = [single.shape[1] for single, _ in singles]
    assert lengths[0] < lengths[1] == joined.shape[1] == tag.width and tag.padded
    for row, (single, own) in enumerate(singles):
        assert torch.equal(joined[row, :lengths[row]], single[0]) and not joined[row, lengths[row]:].any()
        assert tag.rows[row] == own["attention_director"].rows[0]
        mask = own.get("attention_mask")
        assert mask is None or values["attention_mask"][row].sum() == mask.sum()
    assert f"the prompts have {lengths[0]}, {lengths[1]} tokens" in caplog.text


def test_prompts_of_one_length_are_left_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    (joined, values), = encode(text_encoder("flux"), "\n".join(LINES), True)
    assert joined.shape[1] == 256 and not values["attention_director"].padded and "tokens" not in caplog.text
