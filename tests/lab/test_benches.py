"""The benches' own parts: layouts, the hard mask, tables, drawing in batches."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from benches import measured
from benches.edit_weights import tint_share, weight_rows
from benches.inversions import inversion_row
from benches.layout import sample_layout
from benches.layout_methods import HIDDEN, VARIANTS, HardMask
from benches.results import grid, mean_row, plain, publish
from benches.world import captioned
from world.draw import Settings, draw, draw_captions, load_world
from world.scene import COLOURS, CREATURE


def test_layouts_are_the_same_every_time_and_hold_their_things():
    for number in range(40):
        layout, again = sample_layout(number), sample_layout(number)
        assert layout.caption == again.caption and np.array_equal(layout.boxes, again.boxes)
        assert 2 <= len(layout.boxes) <= 4 and len(set(layout.phrases)) == len(layout.phrases)
        for box, target, phrase in zip(layout.boxes, layout.targets, layout.phrases, strict=True):
            assert (target & box).sum() > 0.97 * target.sum() and phrase in layout.caption


def test_captions_of_the_world_bench_hold_no_creatures():
    for count in (1, 2):
        scenes = captioned(count, 20)
        assert all(len(s.things) == count and all(t.shape != CREATURE for t in s.things) for s in scenes)


def test_hard_mask_shows_each_pixel_its_own_tokens():
    boxes = torch.zeros(2, 128, 128, dtype=torch.bool)
    boxes[0, :, :64], boxes[1, :64, 64:] = True, True
    bias = HardMask(boxes, base_everywhere=False).bias((4, 4), torch.float32)
    assert bias.shape == (16, 3 * 77)
    seen = (bias == 0)[:, ::77].reshape(4, 4, 3)
    assert set(bias.unique().tolist()) == {0.0, HIDDEN}
    assert seen[0, 0].tolist() == [False, True, False]
    assert seen[0, 3].tolist() == [False, False, True]
    assert seen[3, 3].tolist() == [True, False, False]
    both = HardMask(boxes, base_everywhere=True).bias((4, 4), torch.float32)
    assert (both[:, :77] == 0).all()


def test_results_are_written_and_printed(tmp_path, capsys):
    rows = [mean_row("unpatched", {"iou": [0.1, 0.2], "added": [1.0, 2.0]}), mean_row("ours", {"iou": [0.5]})]
    path = publish("trial", rows, tmp_path)
    stored = json.loads(path.read_text())
    assert stored["bench"] == "trial" and stored["machine"]["torch"] and stored["rows"][1]["iou"] == 0.5
    assert plain(rows) in capsys.readouterr().out
    assert grid([["variant", "iou"], ["ours", "0.5"]]) == "| variant | iou |\n| --- | ---: |\n| ours | 0.5 |"


def test_the_published_tables_are_what_the_results_say():
    page = measured.page()
    again = "`python3 lab/run.py bench tables` writes them again"
    assert measured.PAGE.read_text(encoding="utf-8") == page, again
    assert measured.in_short(measured.README.read_text(encoding="utf-8")) == measured.in_short(page), again


def test_another_result_changes_its_cell_and_no_other(tmp_path):
    for path in measured.RESULTS.glob("*.json"):
        found = json.loads(path.read_text(encoding="utf-8"))
        for row in found["rows"]:
            if found["bench"] == "sketch" and (row["variant"], row["drawing"]) == ("sdedit-60", "all"):
                row["chamfer"] = 99.94
        (tmp_path / path.name).write_text(json.dumps(found), encoding="utf-8")
    before, after = measured.page().splitlines(), measured.page(tmp_path).splitlines()
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert len(changed) == 1 and "denoise 0.6 | 0.09 | 99.9 |" in changed[0][1]


def test_every_measured_way_of_a_bench_stands_in_its_table():
    """Edits, and repeats under another name that the tables leave out, aside."""
    from benches.tables import IDENTITY, LAYOUT, SKETCH, SUBJECT

    for bench, table in (("layout", LAYOUT), ("identity", IDENTITY), ("sketch", SKETCH), ("subject", SUBJECT)):
        rows = json.loads((measured.RESULTS / f"{bench}.json").read_text(encoding="utf-8"))["rows"]
        left_out = {row["variant"] for row in rows} - {name for name, _ in table.rows}
        assert left_out <= {"ours-blend", "ours-parts"}, (bench, left_out)


def test_a_picture_is_the_same_in_any_batch():
    world, settings = load_world(), Settings(steps=2)
    jobs = [("a red circle on a white background", 1), ("a blue star and a green square", 2)]
    together = next(draw_captions(world, jobs, 2, settings))
    alone = next(draw_captions(world, jobs[1:], 1, settings))
    assert together.pictures.shape == (2, 128, 128, 3) and together.evaluations == 2.0
    assert np.abs(together.pictures[1].astype(int) - alone.pictures[0]).max() <= 2


def test_every_way_to_ask_for_a_layout_draws():
    world, layout = load_world(), sample_layout(0)
    for name, method in VARIANTS.items():
        model, positive = method(world, layout)
        drawing = draw(world, model, positive, [5], Settings(steps=1))
        assert drawing.pictures.shape == (1, 128, 128, 3), name


def test_the_rule_without_the_range_of_logits_is_another_rule():
    world, layout = load_world(), sample_layout(0)
    pictures = [draw(world, *VARIANTS[name](world, layout), [5], Settings(steps=2)).pictures
                for name in ("ours-paper", "ours-paper-value-range")]
    assert not np.array_equal(*pictures)


def test_weights_are_read_off_the_picture():
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[:2] = COLOURS["red"]
    assert tint_share(picture, "red") == 0.5 and tint_share(picture, "blue") == 0.0
    rows = weight_rows([[0.0, 0.0, 0.1, 0.2, 0.3, 0.4], [0.0, 0.1, 0.0, 0.2, 0.2, 0.2]], "drawn")
    assert [row["share"] for row in rows] == pytest.approx([0.0, 0.05, 0.05, 0.2, 0.25, 0.3])
    assert [row.get("not_less") for row in rows] == [None, 1.0, 0.5, 1.0, 1.0, 1.0]
    assert rows[0]["edit"] == "weight -2"


def test_the_row_of_an_inversion_names_the_worst():
    row = inversion_row("ddim", [(30.0, 2.0), (40.0, 1.0), (35.0, 4.0)])
    assert (row["psnr"], row["psnr_least"], row["seconds"]) == (35.0, 30.0, 2.0)


def test_the_cost_bench_gives_every_method_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a UNet of SD1.5's form and a tenth of its width; memory at its worst is more with gradients than without."""
    from benches import cost, cost_models

    monkeypatch.setitem(cost_models.SD15, "model_channels", 32)
    monkeypatch.setattr(cost, "SIDE", 16)
    rows = {row["variant"]: row for row in cost.run(1)}
    assert [*cost.WAYS] == [name for name in rows if not str(name).startswith("unpatched")]
    assert all(row["time_ratio"] > 0 and row["peak_mb"] > 0 for row in rows.values())
    assert rows["sketch"]["peak_mb"] > rows["sketch-checkpointing"]["peak_mb"] > 0
    assert rows["sketch"]["peak_mb"] > 1.5 * rows["unpatched, 1 in a batch"]["peak_mb"]
