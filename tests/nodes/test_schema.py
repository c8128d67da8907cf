"""Ids, sockets, types, defaults and ranges, as NODES.md binds them."""

from __future__ import annotations

import pytest
from scene import custom, family, left, region_prompt, regions
from sockets import assert_holds, inputs, nodes

SIZE = {"default": 1024, "min": 64, "max": 16384, "step": 8}
STRENGTH = {"default": 1.0, "min": 0.0, "max": 2.0, "step": 0.05}
SHARE = {"min": 0.0, "max": 1.0, "step": 0.001}
CUSTOM = {
    "cross_strength": STRENGTH, "self_strength": STRENGTH | {"default": 0.3},
    "size_adaptation": {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.05},
    "decay_power": {"default": 5.0, "min": 0.0, "max": 10.0, "step": 0.1},
    "start_percent": SHARE | {"default": 0.0}, "end_percent": SHARE | {"default": 0.3},
    "reencode_phrases": {"default": True},
}


def test_region_prompt_takes_what_was_promised() -> None:
    schema, found = nodes()["RegionPrompt"].GET_SCHEMA(), inputs("RegionPrompt")
    assert [i.id for i in schema.inputs] == ["model", "clip", "text", "canvas", "width", "height", "regions",
                                             "strength", "preset", "unbound_words", "uncovered", "text_share"]
    assert_holds(found["model"], "MODEL")
    assert_holds(found["clip"], "CLIP")
    assert set(found["text"][0].split(",")) == {"STRING", "CONDITIONING"} and found["text"][1]["multiline"]
    assert found["text"][1]["dynamicPrompts"]
    for side in ("width", "height"):
        assert_holds(found[side], "INT", **SIZE)
    assert_holds(found["regions"], "ATTN_DIR_REGIONS")
    optional = nodes()["RegionPrompt"].INPUT_TYPES()["optional"]
    assert {"regions", "text_share"} <= set(optional), "a prompt saved without them still runs"
    assert_holds(found["strength"], "FLOAT", **STRENGTH)
    assert_holds(found["canvas"], None, default="")
    assert found["unbound_words"][1]["options"] == ["everywhere", "paper"]
    assert found["uncovered"][1]["options"] == ["background", "paper"]
    assert_holds(found["unbound_words"], None, default="everywhere", advanced=True)
    assert_holds(found["uncovered"], None, default="background", advanced=True)
    assert found["text_share"][1]["options"] == ["keep", "raise", "lower"]
    assert_holds(found["text_share"], None, default="keep", advanced=True)
    assert [(o.display_name, o.io_type) for o in schema.outputs] == [
        ("model", "MODEL"), ("positive", "CONDITIONING"), ("masks", "MASK"), ("preview", "IMAGE"),
        ("plain", "CONDITIONING")]
    assert schema.display_name == "Region Prompt (DenseDiffusion)" and "DenseDiffusion" in schema.search_aliases


def test_only_custom_and_pasted_reveal_something() -> None:
    schema = nodes()["RegionPrompt"].GET_SCHEMA()
    preset = next(i for i in schema.inputs if i.id == "preset")
    shown = {option.key: [i.id for i in option.inputs] for option in preset.options}
    assert shown == {"strong": [], "paper": [], "custom": list(CUSTOM), "pasted": ["settings"]}
    revealed = {i.id: i.as_dict() for i in preset.options[2].inputs}
    for name, expected in CUSTOM.items():
        assert {k: revealed[name][k] for k in expected} == expected


def test_the_paper_preset_is_custom_with_its_defaults() -> None:
    """DenseDiffusion as published: the numbers that custom starts from."""
    from attention_director.bridge.regions.presets import PAPER, custom_options

    defaults = {name: values["default"] for name, values in CUSTOM.items()}
    made, rule = custom_options("RegionPrompt", defaults), PAPER.rule
    assert (made.rule, made.schedule, made.reencode) == (PAPER.rule, PAPER.schedule, PAPER.reencode)
    assert (rule.cross_strength, rule.self_strength, rule.flatten, rule.margin) == (1.0, 0.3, 1.0, 0.0)


def test_custom_keeps_to_its_numbers_in_joint_layers_too() -> None:
    """There without the paper's levelling, which loses things."""
    from attention_director.bridge.regions.presets import custom_options

    made = custom_options("RegionPrompt", custom(cross_strength=0.7, self_strength=0.1, end_percent=0.4))
    rule = made.joint.rule
    assert (rule.cross_strength, rule.self_strength, rule.size_adaptation, rule.flatten) == (0.7, 0.1, 1.0, 0.0)
    assert made.joint.schedule == made.schedule and made.schedule.end == 0.4 and not made.joint.reencode


def test_helpers_take_what_was_promised() -> None:
    region = inputs("AttnDirRegion")
    assert list(region) == ["phrase", "mask", "strength", "regions"]
    assert_holds(region["phrase"], "STRING", default="")
    assert_holds(region["mask"], "MASK")
    assert_holds(region["strength"], "FLOAT", **STRENGTH)
    boxes = inputs("AttnDirRegionsFromBoxes")
    assert list(boxes) == ["bboxes", "phrases", "width", "height", "strength", "regions"]
    assert {"BOUNDING_BOX", "ARRAY", "STRING"} <= set(boxes["bboxes"][0].split(","))
    assert_holds(boxes["width"], "INT", **SIZE)
    encode = inputs("AttnDirEncode")
    assert list(encode) == ["clip", "text", "one_prompt_per_line"]
    assert_holds(encode["one_prompt_per_line"], "BOOLEAN", default=False, advanced=True)
    outputs = {name: [o.io_type for o in node.GET_SCHEMA().outputs] for name, node in nodes().items()}
    assert outputs["AttnDirRegion"] == ["ATTN_DIR_REGIONS"] and outputs["AttnDirEncode"] == ["CONDITIONING"]
    assert outputs["AttnDirRegionsFromBoxes"] == ["ATTN_DIR_REGIONS", "MASK"]
    assert outputs["AttnDirLoadDemoModel"] == ["MODEL", "CLIP", "VAE"]


@pytest.mark.parametrize("node", ["RegionPrompt", "AttentionEdit", "AttnDirRegion", "AttnDirRegionsFromBoxes",
                                  "AttnDirEncode"])
def test_every_input_has_a_tooltip(node: str) -> None:
    schema = nodes()[node].GET_SCHEMA()
    everything = [i for top in schema.inputs for i in top.get_all()]
    assert all(i.tooltip for i in everything), [i.id for i in everything if not i.tooltip]
    assert schema.category.startswith("Attention Director") and schema.description


def test_ids_are_ours() -> None:
    main = {"RegionPrompt", "AttentionEdit", "SharedSubjectAttention", "SketchGuidance", "IdentityInject"}
    assert all(name in main or name.startswith("AttnDir") for name in nodes())


def test_a_preset_as_the_host_passes_it_nested_or_flat() -> None:
    """DynamicCombo nests what it reveals; an older host has a plain combo and the numbers beside it."""
    from attention_director.bridge.regions.presets import STRONG
    from attention_director.nodes.region_prompt import chosen_options

    flat = {k: v for k, v in custom(decay_power=2.5).items() if k != "preset"}
    assert chosen_options(custom(decay_power=2.5), {}) == chosen_options("custom", flat)
    assert chosen_options("custom", flat).schedule.decay_power == 2.5
    assert chosen_options("strong", flat) == chosen_options({"preset": "strong"}, {}) == STRONG


def test_masks_and_preview_are_given_even_where_nothing_acts() -> None:
    model, clip, _ = family()
    parts = regions(("red hat", left(32, 48)), ("blue dog", left(64, 64)))
    silent = region_prompt(model, clip, strength=0.0, parts=parts)
    assert silent.masks.shape == (2, 64, 64) and silent.masks[0, :, :20].all() and not silent.masks[0, :, 30:].any()
    none = region_prompt(model, clip, parts=(), width=1024, height=512)
    assert none.masks.shape[0] == 1 and not none.masks.any() and none.preview.shape == (1, 256, 512, 3)
