"""Shared Subject and its banks: ids, sockets, types, defaults and ranges, as NODES.md binds them."""

from __future__ import annotations

from typing import Any

SHARE = {"min": 0.0, "max": 1.0, "step": 0.001}
UNIT = {"min": 0.0, "max": 1.0, "step": 0.05}
WANTED: dict[str, dict[str, Any]] = {
    "model": {}, "clip": {}, "text": {"multiline": True, "dynamicPrompts": True}, "prefix": {"default": ""},
    "suffix": {"default": ""}, "subjects": {"multiline": True}, "latent_image": {}, "bank": {},
    "anchors": {"default": 2, "min": 1, "max": 8}, "strength": {"default": 1.0, "min": 0.0, "max": 2.0, "step": 0.05},
    "mode": {"options": ["two-pass", "one-pass"], "default": "two-pass"}, "injection": UNIT | {"default": 0.8},
    "variety": {"default": 0.5, "min": 0.0, "max": 0.95, "step": 0.05, "advanced": True},
    "start_percent": SHARE | {"default": 0.0, "advanced": True},
    "end_percent": SHARE | {"default": 1.0, "advanced": True},
    "injection_start_percent": SHARE | {"default": 0.1, "advanced": True},
    "injection_end_percent": SHARE | {"default": 0.32, "advanced": True},
    "query_blend": UNIT | {"default": 0.9, "advanced": True},
    "query_blend_end_percent": SHARE | {"default": 0.12, "advanced": True},
    "separate_subjects": {"default": False, "advanced": True}, "same_noise": {"default": False, "advanced": True},
    "keep_bank": {"default": False, "advanced": True},
}


def nodes() -> dict[str, Any]:
    from attention_director.nodes import NODES

    return {node.GET_SCHEMA().node_id: node for node in NODES}


def outputs(name: str) -> list[tuple[str, str]]:
    return [(o.display_name, o.io_type) for o in nodes()[name].GET_SCHEMA().outputs]


def test_shared_subject_takes_what_was_promised() -> None:
    node = nodes()["SharedSubjectAttention"]
    schema, types = node.GET_SCHEMA(), node.INPUT_TYPES()
    assert [i.id for i in schema.inputs] == list(WANTED)
    found = {**types.get("required", {}), **types.get("optional", {})}
    for name, wanted in WANTED.items():
        for key, value in wanted.items():
            assert found[name][1][key] == value, (name, key)
    assert set(found["text"][0].split(",")) == {"STRING", "CONDITIONING"}
    assert found["bank"][0] == "ATTN_DIR_BANK" and "bank" in types["optional"]
    assert outputs("SharedSubjectAttention") == [("model", "MODEL"), ("positive", "CONDITIONING"), ("latent", "LATENT")]
    assert schema.display_name == "Shared Subject (ConsiStory)" and "ConsiStory" in schema.search_aliases


def test_the_papers_numbers_are_the_defaults() -> None:
    """SubjectOptions and the node's own defaults are one set of numbers."""
    from attention_director.bridge.subject.options import SubjectOptions
    from attention_director.core.schedule import Schedule

    defaults = {name: wanted.get("default") for name, wanted in WANTED.items()}
    assert SubjectOptions() == SubjectOptions(
        defaults["anchors"], defaults["strength"], defaults["mode"] == "two-pass", defaults["injection"],
        defaults["variety"], Schedule(defaults["start_percent"], defaults["end_percent"]),
        Schedule(defaults["injection_start_percent"], defaults["injection_end_percent"]), defaults["query_blend"],
        defaults["query_blend_end_percent"], defaults["separate_subjects"], defaults["same_noise"],
        defaults["keep_bank"])


def test_banks_take_and_give_what_was_promised() -> None:
    assert outputs("AttnDirSaveBank") == [("bank", "ATTN_DIR_BANK")]
    assert outputs("AttnDirLoadBank") == [("bank", "ATTN_DIR_BANK"), ("preview", "IMAGE")]
    assert outputs("AttnDirBankFromImages") == [("bank", "ATTN_DIR_BANK"), ("psnr", "FLOAT")]
    save, photos = (nodes()[n].INPUT_TYPES() for n in ("AttnDirSaveBank", "AttnDirBankFromImages"))
    assert save["required"]["filename_prefix"][1]["default"] == "subject_banks/hero"
    assert save["required"]["dtype"][1]["options"] == ["fp16", "fp32"]
    assert photos["required"]["steps"][1]["default"] == 100
    assert nodes()["AttnDirSaveBank"].GET_SCHEMA().is_output_node


def test_windows_scale_the_plain_queries_as_the_paper_does() -> None:
    """0.9 falling to 0.818 over its window, nothing after it."""
    from attention_director.bridge.subject.options import SubjectOptions
    from attention_director.core.call import Step

    options = SubjectOptions()
    assert options.plain_queries(Step(14.0, 0.0)) == 0.9
    assert abs(options.plain_queries(Step(10.0, 0.12 - 1e-9)) - 0.81836735) < 1e-6
    assert options.plain_queries(Step(9.0, 0.12)) == 0.0
