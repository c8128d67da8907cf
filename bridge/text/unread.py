"""What is not read as it was meant, said in the log once per node."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from .as_read import spells_weights
from .clip import Reading

_SHOWN = 5

log = logging.getLogger("attention_director")


def warn_of_unread(texts: Sequence[str], readings: Sequence[Reading], node: str) -> None:
    """Another program's LoRA syntax, weights that are text to the encoder, and letters that it does not know."""
    if any("<lora:" in text.lower() for text in texts):
        log.warning("%s: ComfyUI reads <lora:...> in the prompt as words; use Load LoRA.", node)
    if any(reading.literal and spells_weights(text) for text, reading in zip(texts, readings, strict=True)):
        log.warning("%s: this text encoder reads weights such as (word:1.3) as text; remove them, and weight words in "
                    "reweight of Attention Edit where it works with the model.", node)
    unknown = list(dict.fromkeys(part for reading in readings for part in reading.unknown))
    if unknown:
        log.warning("%s: this text encoder does not know %s%s; write it in English.", node,
                    ", ".join(f'"{part}"' for part in unknown[:_SHOWN]), " and more" * (len(unknown) > _SHOWN))


def warn_of_unequal(lengths: Sequence[int], node: str) -> None:
    """Without a method of ours on the model, nothing leaves out what the shorter prompts are filled up with."""
    log.warning("%s: the prompts have %s tokens; the model must come through a node of this pack too, such as Record "
                "Attention, or the shorter ones come out a little different.", node, ", ".join(map(str, lengths)))
