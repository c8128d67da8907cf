"""The sketch nodes as the host sees them: sockets, defaults, and what comes out of execute."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from sockets import assert_holds, inputs, nodes

SHARE = {"min": 0.0, "max": 1.0, "step": 0.001}


def outputs(node: str) -> list[tuple[str, str]]:
    return [(o.display_name, o.io_type) for o in nodes()[node].GET_SCHEMA().outputs]


def test_sketch_guidance_takes_what_was_promised() -> None:
    schema, found = nodes()["SketchGuidance"].GET_SCHEMA(), inputs("SketchGuidance")
    assert [i.id for i in schema.inputs] == [
        "model", "vae", "predictor", "image", "mask", "strength", "start_percent", "end_percent", "lines", "fit",
        "grey_is_weight", "sketch_in_noise", "checkpointing", "every_second_step", "preview_lines"]
    assert_holds(found["predictor"], "ATTN_DIR_PREDICTOR")
    assert_holds(found["strength"], "FLOAT", default=1.6, min=0.0, max=10.0, step=0.05)
    assert_holds(found["start_percent"], "FLOAT", default=0.0, **SHARE)
    assert_holds(found["end_percent"], "FLOAT", default=0.5, **SHARE)
    assert found["lines"][1]["options"] == ["auto", "white on black", "black on white"]
    assert found["fit"][1]["options"] == ["crop", "pad", "stretch"]
    assert_holds(found["sketch_in_noise"], "FLOAT", default=0.0, min=0.0, max=1.0, step=0.01, advanced=True)
    assert found["checkpointing"][1]["options"] == ["auto", "on", "off"]
    for name in ("grey_is_weight", "checkpointing", "every_second_step", "preview_lines"):
        assert_holds(found[name], None, advanced=True)
    assert "mask" in nodes()["SketchGuidance"].INPUT_TYPES()["optional"]
    assert outputs("SketchGuidance") == [("model", "MODEL")]


def test_the_training_node_takes_what_was_promised() -> None:
    schema, found = nodes()["AttnDirTrainPredictor"].GET_SCHEMA(), inputs("AttnDirTrainPredictor")
    assert schema.is_experimental and schema.is_input_list
    assert [i.id for i in schema.inputs][:11] == ["model", "clip", "vae", "images", "texts", "maps", "predictor",
                                                  "steps", "batch_size", "learning_rate", "seed"]
    assert_holds(found["steps"], "INT", default=3000)
    assert_holds(found["batch_size"], "INT", default=4)
    assert_holds(found["learning_rate"], "FLOAT", default=1e-4)
    assert outputs("AttnDirTrainPredictor") == [("predictor", "ATTN_DIR_PREDICTOR"), ("loss", "LOSS_MAP"),
                                                ("preview", "IMAGE")]


def test_the_other_nodes_take_what_was_promised() -> None:
    assert_holds(inputs("AttnDirSketch")["line_width"], "INT", default=4, min=1, max=64)
    assert outputs("AttnDirSketch") == [("image", "IMAGE"), ("mask", "MASK")]
    assert inputs("AttnDirLoadPredictor")["predictor_name"][1]["options"][:2] == ["demo_edges.safetensors",
                                                                                 "demo_depth.safetensors"]
    assert_holds(inputs("AttnDirSavePredictor")["filename_prefix"], "STRING", default="guidance_predictors/edges")


def draw(strokes: Any, width: int = 64, height: int = 32, line_width: int = 4, **extra: Any) -> tuple:
    text = strokes if isinstance(strokes, str) else json.dumps({"version": 1, "strokes": strokes})
    return nodes()["AttnDirSketch"].execute(text, width, height, line_width, **extra).args


def test_a_stroke_lies_where_it_was_drawn() -> None:
    image, mask = draw([{"points": [[0.25, 0.5], [0.75, 0.5]]}])
    assert image.shape == (1, 32, 64, 3) and mask.shape == (1, 32, 64)
    assert torch.equal(image[..., 0], mask)
    assert float(mask[0, 16, 20:44].min()) > 0.9 and float(mask[0, :, :12].max()) == 0 == float(mask[0, :10].max())
    across = float(mask[0, :, 32].sum())
    assert abs(across - 4) <= 1.1
    doubled = draw([{"points": [[0.25, 0.5], [0.75, 0.5]], "width": 0.25}])[1]
    assert abs(float(doubled[0, :, 32].sum()) - 16) <= 1.1


def test_an_eraser_erases_and_a_point_is_a_dot() -> None:
    line, rubber = {"points": [[0, 0.5], [1, 0.5]]}, {"points": [[0.5, 0.5]], "width": 0.4, "erase": True}
    mask = draw([line, rubber])[1]
    assert float(mask[0, 16, 32]) == 0 and float(mask[0, 16, 4]) > 0.9
    assert 8 <= float(draw([{"points": [[0.5, 0.5]]}])[1].sum()) <= 20


def test_a_background_shows_in_the_image_only() -> None:
    image, mask = draw([{"points": [[0, 0.5], [1, 0.5]]}], background=torch.full((2, 8, 8, 3), 0.25))
    assert float(image[0, 0, 0, 0]) == 0.25 and float(image[0, 16, 32, 0]) > 0.9 and float(mask[0, 0, 0]) == 0


def test_an_empty_drawing_is_a_blank_sheet() -> None:
    for text in ("", "  ", '{"version": 1, "strokes": []}'):
        assert float(draw(text)[1].abs().max()) == 0


@pytest.mark.parametrize(("text", "message"), [
    ("{", "cannot be read"),
    ("[]", "cannot be read"),
    ('{"strokes": [{"points": [[NaN, 0]]}]}', "cannot be read"),
    ('{"strokes": [{"points": [[1e999, 0]]}]}', "cannot be read"),
    ('{"strokes": [{"points": 3}]}', "cannot be read"),
    ('{"version": 9, "strokes": []}', "version 9; update"),
    ('{"strokes": [' + '{"points": []},' * 10_000 + '{"points": []}]}', "10001 strokes"),
    ("x" * 4_000_001, "4000001 characters"),
], ids=range(8))
def test_what_is_no_drawing_is_said_to_be_none(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        draw(text)
    assert str(caught.value).startswith("AttnDirSketch: ")


def test_a_huge_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="16384 x 16384 is larger"):
        draw("", 16384, 16384)
