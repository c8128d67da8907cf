"""The layout bench on the transformer: its cases, its scores, and the hard mask it compares with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from benches.storybook_layout import rows_of, sample_layout, score, shared
from benches.storybook_layout_methods import VARIANTS, HardJointMask
from storybook.atlas import read_atlas
from storybook.cast import PHRASES
from storybook.oracle import SHIPPED, Found, Oracle, Seen, recovered
from storybook.render import Renderer
from storybook.scene import Scenes


def found(phrase: str, box: tuple[float, float, float, float], sure: bool = True) -> Found:
    return Found(phrase, box, np.zeros(3), 0.9, sure)


def test_a_layout_is_two_to_four_different_things_in_boxes_on_the_canvas() -> None:
    layouts = [sample_layout(number) for number in range(12)]
    assert {len(layout.boxes) for layout in layouts} == {2, 3, 4}
    for layout in layouts:
        assert len(set(layout.phrases)) == len(layout.phrases) and set(layout.phrases) <= set(PHRASES)
        assert layout.masks.shape == (len(layout.boxes), 256, 256) and layout.masks.any((1, 2)).all()
        assert all(phrase in layout.caption for phrase in layout.phrases)
    assert sample_layout(3).boxes == layouts[3].boxes


def test_a_box_is_as_tight_as_the_thing_that_is_rendered_there() -> None:
    layout = sample_layout(5)
    rendered = Renderer(read_atlas(), torch.device("cpu"))([layout.scene])
    for box, own in zip(layout.boxes, rendered.boxes[0].tolist(), strict=False):
        assert np.allclose(box, own, atol=1.0)


def test_scores_ask_for_the_right_thing_where_most_of_the_box_is() -> None:
    boxes = ((0.0, 0.0, 100.0, 100.0), (150.0, 150.0, 250.0, 250.0))
    cat, dog = found("cat", (0, 0, 100, 50)), found("dog", (150, 150, 250, 250))
    right = score(Seen("snow", (cat, dog)), ("cat", "dog"), boxes)
    assert right.iou == pytest.approx((0.5, 1.0)) and right.bound == (True, True)
    assert (right.missing, right.added) == (0, 0)
    swapped = score(Seen("snow", (cat, dog)), ("dog", "cat"), boxes)
    assert swapped.iou == (0.0, 0.0) and swapped.bound == (False, False)
    unsure = score(Seen("snow", (cat, found("dog", boxes[1], sure=False))), ("cat", "dog"), boxes)
    assert unsure.bound == (True, False) and unsure.missing == 1
    doubled = score(Seen("snow", (cat, found("cat", (20, 60, 90, 99)), dog)), ("cat", "dog"), boxes)
    assert (doubled.missing, doubled.added) == (0, 1)
    nothing = score(Seen("snow", ()), ("cat",), boxes[:1])
    assert nothing.bound == (False,) and nothing.missing == 1
    assert shared(boxes[0], boxes[1]) == 0 and shared(boxes[0], (50, 50, 150, 150)) == 2500


def test_the_hard_mask_lets_a_region_see_itself_alone() -> None:
    masks = torch.zeros(2, 8, 8, dtype=torch.bool)
    masks[0, :, :4], masks[1, :4, 4:] = True, True
    text, side = 3, 4
    seen, base, length = HardJointMask(masks, text).pairs(text * 3 + side * side)
    groups = [0] * text + [1] * text + [2] * text
    for y in range(side):
        groups += [1 if x < 2 else 2 if y < 2 else 0 for x in range(side)]
    wanted = torch.tensor([[a == b for b in groups] for a in groups])
    assert torch.equal(seen[0], wanted) and int(length) == 9
    assert base[0].all(0).tolist() == [True] * text + [False] * 2 * text + [True] * side * side


def test_the_hard_mask_leaves_rows_of_the_negative_to_its_first_text() -> None:
    masks = torch.zeros(1, 8, 8, dtype=torch.bool)
    masks[0, :, :4] = True
    q, k, v = (torch.randn(2, 2, 6 + 16, 8) for _ in range(3))
    out = HardJointMask(masks, 3, 0.25)(None, q, k, v, 2, transformer_options={"cond_or_uncond": [1, 0]})
    assert out.shape == (2, 22, 16)
    keys = [*range(3), *range(6, 22)]
    plain = torch.softmax(q[0] @ k[0][:, keys].transpose(-1, -2) * 8 ** -0.5, -1) @ v[0][:, keys]
    assert torch.allclose(out[0], plain.transpose(0, 1).flatten(1), atol=1e-5)
    own = [3, 4, 5, *(6 + 4 * y + x for y in range(4) for x in range(2))]  # of a pixel in the region
    apart = (q[1, :, 6, None] @ k[1][:, own].transpose(-1, -2) * 8 ** -0.5).softmax(-1) @ v[1][:, own]
    mixed = (q[1, :, 6, None] @ k[1][:, keys].transpose(-1, -2) * 8 ** -0.5).softmax(-1) @ v[1][:, keys]
    assert torch.allclose(out[1, 6], (0.25 * mixed + 0.75 * apart)[:, 0].flatten(), atol=1e-5)


def test_rows_name_the_model_and_how_many_pictures() -> None:
    one = {variant: {"iou": [0.5, 0.7], "binding": [1.0, 0.0], "missing": [1], "added": [0], "place": [1.0],
                     "a_step": [0.2 if variant == "unpatched" else 0.3], "evaluations": [2.0]} for variant in VARIANTS}
    rows = {row["variant"]: row for row in rows_of([one, one])}
    assert set(rows) == set(VARIANTS)
    ours = rows["ours"]
    assert ours["model"] == "transformer" and ours["n"] == 2 and ours["binding"] == 0.5 and "a_step" not in ours
    assert ours["iou"] == pytest.approx(0.6) and ours["step_ratio"] == pytest.approx(1.5)


def test_the_shipped_oracle_knows_the_world() -> None:
    atlas = read_atlas()
    scenes = Scenes(atlas, 5, "test", which="all").some(0, 24)
    rendered = Renderer(atlas, torch.device("cpu"))(scenes)
    seen = Oracle.read(SHIPPED).look(rendered.pictures)
    right = [value for picture, scene, boxes in zip(seen, scenes, rendered.boxes.tolist(), strict=True)
             for value in recovered(picture, scene, boxes[:len(scene.things)])]
    assert np.mean(right) >= 0.97 and all(a.place == b.place for a, b in zip(seen, scenes, strict=True))
