"""AttentionEdit's sockets, and what one mistypes on it."""

from __future__ import annotations

from typing import Any

import pytest
import tiny
import torch
from scene import encode, family, host_encode

SHARE = {"min": 0.0, "max": 1.0, "step": 0.001}
ORDER = ["model", "clip", "text", "targets", "negative", "latent_image", "inversion", "edit", "reweight",
         "cross_end_percent", "self_end_percent", "blend_words", "keep_words", "blend_threshold", "blend_start_percent",
         "cross_start_percent", "self_start_percent", "word_windows", "self_max_grid", "legacy_tail", "mix_words"]
ADVANCED = ORDER[12:]
SETTINGS: dict[str, Any] = {"edit": "auto", "reweight": "", "cross_end_percent": 0.8, "self_end_percent": 0.4,
                            "blend_words": ""}


def node() -> Any:
    from attention_director.nodes.attention_edit import AttentionEdit

    return AttentionEdit


def assert_holds(entry: tuple, kind: str | None, **options: Any) -> None:
    assert kind in (None, entry[0])
    assert {key: entry[1][key] for key in options} == options


def execute(text: Any = "a red cat", targets: str = "a red dog", **changes: Any) -> tuple:
    model, clip, _ = family()
    latent = {"samples": torch.zeros(1, 4, 16, 16)}
    return node().execute(model, clip, text, targets, latent, **(SETTINGS | changes)).args


def says(sentence: str, *args: Any, **changes: Any) -> None:
    with pytest.raises(ValueError) as caught:
        execute(*args, **changes)
    assert str(caught.value) == "AttentionEdit: " + sentence


def test_takes_what_was_promised() -> None:
    schema, types = node().GET_SCHEMA(), node().INPUT_TYPES()
    found = types["required"] | types["optional"]
    assert [i.id for i in schema.inputs] == ORDER
    assert set(found["text"][0].split(",")) == {"STRING", "CONDITIONING"} and found["text"][1]["multiline"]
    assert not found["text"][1].get("dynamicPrompts"), "{a|b} would roll differently in source and targets"
    for name in ("targets", "reweight", "word_windows"):
        assert_holds(found[name], "STRING", multiline=True, default="")
    assert_holds(found["edit"], None, options=["auto", "replace", "refine"], default="auto")
    for name, default in (("cross_end_percent", 0.8), ("self_end_percent", 0.4), ("blend_start_percent", 0.2),
                          ("cross_start_percent", 0.0), ("self_start_percent", 0.0)):
        assert_holds(found[name], "FLOAT", default=default, **SHARE)
    assert_holds(found["blend_threshold"], "FLOAT", default=0.3, min=0.0, max=1.0, step=0.01)
    assert_holds(found["self_max_grid"], "INT", default=0, min=0, max=128)
    for name in ("legacy_tail", "mix_words"):
        assert_holds(found[name], "BOOLEAN", default=False)
    assert found["negative"][0] == "CONDITIONING" and found["inversion"][0] == "ATTN_DIR_INVERSION"
    assert {"negative", "inversion"} == set(types["optional"]) - set(ADVANCED)
    assert [name for name in ORDER if found[name][1].get("advanced")] == ADVANCED
    assert [(o.display_name, o.io_type) for o in schema.outputs] == [
        ("model", "MODEL"), ("positive", "CONDITIONING"), ("negative", "CONDITIONING"), ("latent", "LATENT")]
    assert schema.display_name == "Attention Edit (Prompt-to-Prompt)" and "Prompt-to-Prompt" in schema.search_aliases


def test_gives_an_empty_negative_where_none_is_linked() -> None:
    negative = execute()[2]
    assert torch.equal(negative[0][0], host_encode(tiny.clip(), "")[0][0])


def test_other_ways_to_repeat_a_latent() -> None:
    from attention_director.bridge.edit.build import repeat_latent

    mask = torch.rand(1, 16, 16)
    one = repeat_latent({"samples": torch.zeros(2, 4, 16, 16), "noise_mask": mask, "kept": 1}, 3)
    assert one["noise_mask"] is mask and one["batch_index"] == [0, 0, 0, 1, 1, 1] and one["kept"] == 1
    masks = torch.rand(2, 1, 16, 16)
    four = repeat_latent({"samples": torch.zeros(4, 4, 16, 16), "noise_mask": masks}, 2)
    assert torch.equal(four["noise_mask"], masks[[0, 0, 1, 1, 0, 0, 1, 1]])


def test_replace_with_unequal_words() -> None:
    says('target 1 has 7 words, the source 6 (extra: "fluffy"); use edit = refine or auto.', "a red cat on the grass",
         "a red fluffy cat on the grass", edit="replace")
    says('target 2 has 2 words, the source 3 (missing: "red"); use edit = refine or auto.', "a red cat",
         "a red dog\n\na cat", edit="replace")
    assert execute("a red cat", "a cat", edit="auto")[0] is not tiny.model()


def test_lists_that_do_not_read_as_they_should() -> None:
    says('reweight line 1 "snow = 1.8" should read "snow: 1.8".', reweight="snow = 1.8")
    says('reweight line 2 "dog" should read "snow: 1.8".', reweight="dog: 2\ndog")
    says('reweight line 1 "red hat: -.5x" should read "snow: 1.8".', reweight="red hat: -.5x")
    says('word_windows line 1 "dog 0-0.4" should read "dog: 0-0.4".', word_windows="dog 0-0.4")
    says('word_windows line 1 "dog: 0 to 0.4" should read "dog: 0-0.4".', word_windows="dog: 0 to 0.4")
    says('word_windows line 1 "dog" should read "snow: 0-0.4".', word_windows="dog")
    says('word_windows line 3 "dog: 0.9-0.4" ends before it starts; swap the two.', word_windows="\n\ndog: 0.9-0.4")
    says('word_windows line 1 "dog: 0-40" goes past 1; give shares from 0 to 1.', word_windows="dog: 0-40")


def test_words_that_are_not_there() -> None:
    says('reweight line 1: "cat" is not in any target prompt; nearest: "hat". Use words of the prompt.',
         targets="a red hat", reweight="cat: 2")
    says('blend word: "cot" is not in any prompt; nearest: "cat". Use words of the prompt.', blend_words="cot")
    says('keep word: "xyz" is not in any prompt. Use words of the prompt.', blend_words="cat", keep_words="xyz")
    says('word_windows line 1: "cat" is not in any target prompt; nearest: "hat". Use words of the prompt.',
         targets="a red hat", word_windows="cat: 0-1")
    says("target 2 and the source contain no word of blend_words, so nothing could change; add one of their "
         "words.", targets="a red dog\na red cow", blend_words="dog")
    says("keep_words needs blend_words, which is empty; name the words whose area may change there.",
         keep_words="cat")


def test_linked_prompts() -> None:
    clip = tiny.clip()
    says("the linked prompt brings its own rows, so targets must stay empty; list source and targets in Encode Prompt, "
         "one prompt per line, or type the source here.", encode(clip, "a red cat"), "a red dog")
    says("the linked prompt was not made by an Attention Director node, so its words are unknown; type it here or use "
         "Encode Prompt.", host_encode(clip, "a red cat"), "")
    model, positive, _, latent = execute(encode(clip, "a red cat"), "", reweight="cat: 2")
    assert positive[0][0].shape[0] == positive[0][1]["pooled_output"].shape[0] == latent["samples"].shape[0] == 2
    assert torch.equal(positive[0][0][0], positive[0][0][1]) and model is not tiny.model()


def test_numbers_past_their_limits() -> None:
    """A linked number passes by the widget."""
    says("cross_end_percent is 1.5; give a number from 0 to 1.", cross_end_percent=1.5)
    says("self_start_percent 0.6 lies after self_end_percent 0.4; swap them.", self_start_percent=0.6)
    says("blend_threshold is -1.0; give a number from 0 to 1.", blend_threshold=-1.0)
    execute(reweight="dog: -7.5\nred: .5\na: 12")


def test_the_line_after_a_run() -> None:
    from attention_director.core.call import Scratch

    chain = execute("a red cat", "a red dog\na big red cat\na red cow", blend_words="red")[0].model_options[
        "transformer_options"]["attention_director_chain"]
    assert chain.methods[1].sum_up(Scratch()) == "2 replace; 1 refine; local blend"
    lone = execute("a red cat", "", reweight="cat: 2")[0].model_options["transformer_options"]
    assert lone["attention_director_chain"].methods[1].sum_up(Scratch()) == "1 reweight"
