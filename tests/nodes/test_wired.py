"""Wired regions as the editor gets them: the same places, in few bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from scene import family, left, region_prompt, regions


def shapes(*parts: tuple[Any, ...]) -> list[dict[str, Any]]:
    from attention_director.bridge.regions.wired import wired_shapes

    found = json.loads(wired_shapes(regions(*parts)))
    assert found["version"] == 1
    return found["regions"]


def redrawn(shape: dict[str, Any], height: int = 0, width: int = 0) -> torch.Tensor:
    """Runs, off first, or boxes at this size, as a mask [h, w]."""
    if "boxes" in shape:
        mask = torch.zeros(height, width, dtype=torch.bool)
        for x0, y0, x1, y1 in shape["boxes"]:
            mask[round(y0 * height):round(y1 * height), round(x0 * width):round(x1 * width)] = True
        return mask
    width, height = shape["size"]
    assert sum(shape["runs"]) == width * height, "the runs cover the mask, no more and no less"
    flat = [bool(i % 2) for i, length in enumerate(shape["runs"]) for _ in range(length)]
    return torch.tensor(flat).reshape(height, width)


def test_a_box_stays_a_box() -> None:
    mask = torch.zeros(1, 100, 200)
    mask[:, 25:75, 20:60] = 1
    (shape,) = shapes(("red hat", mask, 0.5))
    assert shape == {"phrase": "red hat", "strength": 0.5, "layouts": 1, "boxes": [[0.1, 0.25, 0.3, 0.75]]}
    assert shapes(("x", torch.ones(1, 3, 7)))[0]["boxes"] == [[0, 0, 1, 1]]


@pytest.mark.parametrize("size", [(1, 2), (7, 5), (64, 64), (256, 100)])
def test_any_other_mask_comes_back_pixel_for_pixel(size: tuple[int, int]) -> None:
    torch.manual_seed(3)
    for edge in (0.0, 1.0):
        mask = torch.zeros(1, *size)
        mask[0, : size[0] // 2 + 1, : size[1] // 2] = 1
        mask[0, -1, -1] = edge
        mask[0, 0, 0] = 1 - edge
        (shape,) = shapes(("x", mask))
        assert torch.equal(redrawn(shape, *size), mask[0] > 0.5)
        assert "runs" in shape or mask.sum() == (size[0] // 2 + 1) * (size[1] // 2), "only a rectangle is a box"


def test_a_large_or_ragged_mask_is_sent_small() -> None:
    rows = torch.linspace(-1, 1, 2048)
    disc = (rows[:, None] ** 2 + rows[None, :] ** 2 < 0.5).float()[None]
    (shape,) = shapes(("x", disc))
    assert shape["size"] == [256, 256]
    assert float(redrawn(shape).float().mean()) == pytest.approx(float(disc.mean()), abs=0.01)
    torch.manual_seed(0)
    (noise,) = shapes(("x", torch.rand(1, 1024, 512)))
    assert len(noise["runs"]) <= 1000 and max(noise["size"]) >= 16


def test_nothing_wired_is_nothing_said_and_an_empty_mask_has_no_shape() -> None:
    from attention_director.bridge.regions.wired import wired_shapes

    assert wired_shapes(()) == ""
    assert shapes(("x", torch.zeros(1, 8, 8)))[0]["boxes"] == []


def test_a_batch_is_counted_and_the_list_has_an_end() -> None:
    from attention_director.bridge.regions.wired import wired_shapes

    assert shapes(("x", torch.ones(4, 8, 8)))[0]["layouts"] == 4
    torch.manual_seed(0)
    many = json.loads(text := wired_shapes(regions(*[("y" * 600, torch.rand(1, 1024, 1024))] * 70)))
    assert len(many["regions"]) == 64 and many["left_out"] == 6 and len(text) < 500_000
    assert len(many["regions"][0]["phrase"]) == 500


def test_the_run_tells_the_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the preview picture; drawn regions are not among them."""
    from attention_director.nodes.region_prompt import WIRED, RegionPrompt

    model, clip, _ = family()
    seen = []
    execute = RegionPrompt.execute
    monkeypatch.setattr(RegionPrompt, "execute", lambda *a, **k: seen.append(execute(*a, **k)) or seen[-1])
    canvas = json.dumps({"regions": [{"phrase": "dog", "boxes": [[0.5, 0, 1, 1]]}]})
    region_prompt(model, clip, "a red hat and a dog", regions(("red hat", left())), canvas=canvas)
    region_prompt(model, clip, "a red hat and a dog", (), canvas=canvas)
    wired, plain = (out.ui for out in seen)
    assert wired["images"] and [r["phrase"] for r in json.loads(wired[WIRED][0])["regions"]] == ["red hat"]
    assert plain["images"] and plain[WIRED] == [""]
