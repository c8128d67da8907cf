"""What one mistypes, and the sentence it gets."""

from __future__ import annotations

import logging
import math
from types import SimpleNamespace
from typing import Any

import pytest
import tiny
import torch
from scene import PROMPT, custom, encode, family, host_encode, left, region_prompt, regions, right


def says(sentence: str, **options: Any) -> None:
    """RegionPrompt refuses with exactly this sentence."""
    model, clip, _ = family()
    with pytest.raises(ValueError) as caught:
        region_prompt(options.pop("model", model), options.pop("clip", clip), **options)
    assert str(caught.value) == sentence


def test_a_phrase_that_is_not_in_the_prompt() -> None:
    says('RegionPrompt: region 2 "red hat" is not in the prompt; nearest: "red coat". Add it to the prompt or choose '
         "other words.", text="a dog in a red coat", parts=regions(("dog", torch.zeros(1, 8, 8)), ("red hat", right())))
    says('RegionPrompt: region 1 "xylophone" is not in the prompt. Add it to the prompt or choose other words.',
         text="42", parts=regions(("xylophone", left())))


def test_a_region_whose_words_are_gone_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """A word was changed between two runs: the other regions act as if this one had not been drawn."""
    from attention_director.bridge.run.run import CHAIN_KEY

    model, clip, _ = family()
    caplog.set_level(logging.WARNING, logger="attention_director")
    text, dog = "a dog in a red coat", ("dog", left())
    alone = region_prompt(model, clip, text, regions(dog))
    graph = region_prompt(model, clip, text, regions(dog, ("red hat", right()), ("dog#2", right())))
    assert [r.getMessage() for r in caplog.records] == [
        'RegionPrompt: region 2 "red hat" is not in the prompt; nearest: "red coat". Add it to the prompt or choose '
        "other words. The region is left out.",
        'RegionPrompt: region 3 "dog#2": the prompt contains those words once; lower the number after #. The region is '
        "left out."]
    assert torch.equal(graph.masks, alone.masks) and not torch.equal(graph.preview, alone.preview)
    (method,) = graph.model.model_options["transformer_options"][CHAIN_KEY].methods
    assert [p.text for p in method.phrases] == ["dog"] and method.sum_up(None) == "1 region"
    assert method.warn() == "regions 2, 3 have no words in this prompt and were left out"
    (method,) = alone.model.model_options["transformer_options"][CHAIN_KEY].methods
    assert method.warn() == ""


def test_an_occurrence_that_is_not_in_the_prompt() -> None:
    says('RegionPrompt: region 1 "cat#3": the prompt contains those words twice; lower the number after #.',
         text="a cat and a cat", parts=regions(("cat#3", left())))
    says('RegionPrompt: region 1 "cat#2": the prompt contains those words once; lower the number after #.',
         text="a cat", parts=regions(("cat#2", left())))


def test_a_linked_prompt_without_words() -> None:
    says("RegionPrompt: the linked prompt was not made by an Attention Director node, so its words are unknown; type "
         "it here or use Encode Prompt.", text=host_encode(tiny.clip(), PROMPT))


def test_two_regions_with_the_same_words() -> None:
    both = regions(("cat", left()), ("cat", right()))
    says('RegionPrompt: "cat" occurs twice and two regions claim it; write cat#1 and cat#2.', text="a cat and a cat",
         parts=both)
    says('RegionPrompt: "cat" occurs once and 2 regions claim it; join their masks in one region.', text="a cat",
         parts=both)
    says('RegionPrompt: "cat" occurs twice and two regions claim it; write cat#1 and cat#2.', text="a cat and a cat",
         parts=regions(("Cat", left()), ("cat#1", right())))
    model, clip, _ = family()
    numbered = regions(("cat#1", left()), ("cat#2", right()))
    assert region_prompt(model, clip, "a cat and a cat", numbered).model is not model
    assert region_prompt(model, clip, "a cat", regions(("", left()), ("", right()))).model is not model


def test_a_phrase_eaten_by_alternatives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The editor draws among {a|b}; only the workflow still knows what stood there."""
    from attention_director.nodes.region_prompt import RegionPrompt

    workflow = {"nodes": [{"id": 4, "widgets_values": ["{red hat|cat}"]},
                          {"id": 5, "widgets_values": ["a {red hat|blue coat} on a dog", ""]}]}
    hidden = SimpleNamespace(unique_id="5", extra_pnginfo={"workflow": workflow}, prompt=None)
    monkeypatch.setattr(RegionPrompt, "hidden", hidden, raising=False)
    says('RegionPrompt: "red hat" is an alternative that was not chosen this time; keep bound phrases outside '
         "braces.",
         text="a blue coat on a dog", parts=regions(("red hat", left())))
    says('RegionPrompt: region 1 "cat" is not in the prompt; nearest: "coat". Add it to the prompt or choose other '
         "words.", text="a blue coat on a dog", parts=regions(("cat", left())))
    model, clip, _ = family()
    drawn = region_prompt(model, clip, "a blue coat on a dog", regions(("red hat", left()), ("dog", right())))
    assert len(drawn.masks) == 1, "the other region acts"


def test_another_programs_lora_syntax_warns_once_per_text(caplog: pytest.LogCaptureFixture) -> None:
    """Also where every line of a batch has it."""
    model, clip, _ = family()
    caplog.set_level(logging.WARNING, logger="attention_director")
    region_prompt(model, clip, "a red hat <lora:x:0.8> and a blue dog")
    encode(clip, "a red hat <LORA:x:1>\na blue dog <lora:x:1>", lines=True)
    messages = [r.getMessage() for r in caplog.records if r.name == "attention_director"]
    assert messages == [f"{node}: ComfyUI reads <lora:...> in the prompt as words; use Load LoRA."
                        for node in ("RegionPrompt", "AttnDirEncode")]


@pytest.mark.parametrize("strength", [math.nan, math.inf, -0.1])
def test_strengths_that_are_no_strength(strength: float) -> None:
    says(f"RegionPrompt: strength is {strength}; give a number from 0 to 2.", strength=strength)
    with pytest.raises(ValueError) as caught:
        regions(("red hat", left(), strength))
    assert str(caught.value) == f'AttnDirRegion: region "red hat" has strength {strength}; give a number from 0 to 2.'


@pytest.mark.parametrize("name", ["cross_strength", "self_strength", "size_adaptation", "decay_power", "start_percent",
                                  "end_percent"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -0.5])
def test_custom_numbers_that_are_none(name: str, value: float) -> None:
    """Linked numbers pass by the widget's limits; a NaN would otherwise end as a black picture."""
    model, clip, _ = family()
    with pytest.raises(ValueError, match=r"^RegionPrompt: .*(nan|inf|-0\.5)"):
        region_prompt(model, clip, preset=custom(**{name: value}))


def test_masks_that_cannot_be_used() -> None:
    broken = left()
    broken[0, 0, 0] = math.nan
    with pytest.raises(ValueError) as caught:
        regions(("red hat", broken))
    assert str(caught.value) == ('AttnDirRegion: the mask of region "red hat" contains values that are not numbers; '
                                 "make it again.")
    says("RegionPrompt: masks come in batches of 2 and 3; use single masks, or batches of one size.",
         parts=regions(("red hat", left().repeat(2, 1, 1)), ("blue dog", right().repeat(3, 1, 1))))


def test_a_model_of_another_family() -> None:
    class HiDream:
        pass

    class Network(torch.nn.Module):
        pass

    other = SimpleNamespace(model=SimpleNamespace(diffusion_model=Network(), model_config=HiDream()))
    says("RegionPrompt: this model is HiDream; the node works with Stable Diffusion 1.x, 2.x, SDXL, Flux, Chroma, "
         "Lumina 2 and Z-Image.", model=other)


def test_text_encoders_that_are_not_known() -> None:
    says("RegionPrompt: the clip input is empty; if the checkpoint contains no text encoder, use Load CLIP.", clip=None)

    class T5:
        def tokenize(self, text: str) -> dict:
            return {"t5xxl": [[(1, 1.0)]]}

        tokenizer = SimpleNamespace(t5xxl=object())

    says('RegionPrompt: the words of the text encoder "t5xxl" cannot be found; use a model such as Stable Diffusion '
         "1.x, 2.x, SDXL, Flux, Z-Image or Lumina 2.", clip=T5())


def test_a_linked_prompt_and_a_clip_that_is_missing() -> None:
    says("RegionPrompt: the clip input is empty; if the checkpoint contains no text encoder, use Load CLIP.", clip=None,
         text=encode(tiny.clip(), PROMPT))


def test_a_window_that_ends_before_it_starts_is_refused() -> None:
    model, clip, _ = family()
    backwards = custom(start_percent=0.6, end_percent=0.2)
    with pytest.raises(ValueError, match=r"^RegionPrompt: start_percent 0.6 lies after end_percent 0.2; swap them\.$"):
        region_prompt(model, clip, preset=backwards)


def test_a_region_without_a_place_is_left_out_and_said(caplog: pytest.LogCaptureFixture) -> None:
    """A detector that finds nothing gives no mask, or a black one; the rest is as without the region."""
    from attention_director.bridge.run.run import CHAIN_KEY

    model, clip, _ = family()
    caplog.set_level(logging.WARNING, logger="attention_director")
    other = ("blue dog", right())
    alone = region_prompt(model, clip, parts=regions(other))
    for nothing in (torch.zeros(0, 64, 64), torch.zeros(0, 1, 64, 64), torch.zeros(1, 64, 64), torch.zeros(0, 0, 0)):
        caplog.clear()
        graph = region_prompt(model, clip, parts=regions(("red hat", nothing), other))
        assert [r.getMessage() for r in caplog.records] == [
            'RegionPrompt: the mask of region 1 "red hat" is empty, so the region is left out.']
        assert torch.equal(graph.masks, alone.masks) and not torch.equal(graph.preview, alone.preview)
        (method,) = graph.model.model_options["transformer_options"][CHAIN_KEY].methods
        assert method.sum_up(None) == "1 region, 1 left out (empty mask)"
        assert [p.text for p in method.phrases] == ["blue dog"]
    assert region_prompt(model, clip, parts=regions(("red hat", torch.zeros(0, 64, 64)))).model is model


def test_words_that_another_node_appended_cannot_be_bound() -> None:
    from nodes import ConditioningConcat

    model, clip, _ = family()
    joined = ConditioningConcat().concat(encode(clip, "a red hat"), encode(clip, "a blue dog"))[0]
    says('RegionPrompt: region 1 "blue dog" is not in the prompt; nearest: "a red". Add it to the prompt or choose '
         "other words. Words that Conditioning (Concat) appended cannot be bound; write them in the prompt text "
         "instead.", text=joined, parts=regions(("blue dog", left())))
    assert region_prompt(model, clip, joined, regions(("red hat", left()))).model is not model
