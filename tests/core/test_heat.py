"""Heat maps: grids, probe of repeated contexts, probabilities by hand, Otsu's level, the landing score."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from attention_director.core import attention, heat
from attention_director.core.call import LowRankBias, RowSpan
from joint_cases import GRID, PIXELS, WORDS, joint_call
from region_cases import make_call


@pytest.mark.parametrize(("latent", "grid"), [
    ((128, 128), (32, 32)), ((64, 64), (32, 32)), ((16, 16), (16, 16)), ((152, 104), (38, 26)), ((96, 168), (24, 42)),
    ((256, 256), (32, 32)), ((1, 4000), (1, 1024)), ((7, 9), (7, 9))])
def test_a_grid_of_the_same_shape_and_bounded(latent: tuple[int, int], grid: tuple[int, int]) -> None:
    assert heat.fit_grid(latent) == grid
    assert heat.fit_grid(latent)[0] * heat.fit_grid(latent)[1] <= heat.MAX_CELLS


def test_steps_are_kept_while_a_row_stays_below_its_bytes() -> None:
    assert heat.keeps_steps(phrases=3, steps=50, cells=1024)  # 3 x 1024 x (2 x 50 + 4) = 319,488
    assert not heat.keeps_steps(phrases=4, steps=50, cells=1024)  # 425,984
    assert heat.keeps_steps(phrases=1, steps=193, cells=1024) and not heat.keeps_steps(1, 194, 1024)


def test_pixel_maps_are_the_summed_columns_of_the_softmax() -> None:
    rows = (RowSpan(0, 1, None), RowSpan(1, 3, None))
    call = make_call("cross", (4, 5), rows, keys=30)
    left, right = torch.randn(3, 2, 20, 2, dtype=torch.float64), torch.randn(1, 1, 30, 2, dtype=torch.float64)
    call = replace(call, bias=LowRankBias(left, right))
    probe = torch.zeros(3, 1, 30, 2, dtype=torch.float64)
    probe[:, :, [3, 4, 8], 0] = 1.0
    probe[2, :, 29, 1] = 0.5
    got = heat.pixel_maps(call, probe, slice(1, 3))
    scores = call.q @ call.k.transpose(-1, -2) / call.q.shape[-1] ** 0.5 + left @ right.transpose(-1, -2)
    read = torch.softmax(scores, -1)[1:]
    assert got.shape == (2, 2, 4, 5)
    torch.testing.assert_close(got[:, 0], read[..., [3, 4, 8]].sum(-1).mean(1).reshape(2, 4, 5), rtol=0, atol=1e-12)
    torch.testing.assert_close(got[1, 1], 0.5 * read[1, ..., 29].mean(0).reshape(4, 5), rtol=0, atol=1e-12)
    assert not got[0, 1].any()


def test_in_a_joint_layer_it_is_the_text_alone_that_is_shared_out() -> None:
    """Pixels read pixels and a reference too; the maps are what they read of the text, bias and all."""
    call = joint_call()
    axis = call.keys.length
    left, right = torch.randn(3, 2, axis, 2, dtype=torch.float64), torch.randn(1, 1, axis, 2, dtype=torch.float64)
    call = replace(call, bias=LowRankBias(left, right))
    probe = torch.zeros(3, 1, axis, 1, dtype=torch.float64)
    probe[:, :, [2, 3]] = 1.0
    scores = call.q @ call.k.transpose(-1, -2) / call.q.shape[-1] ** 0.5 + left @ right.transpose(-1, -2)
    read = torch.softmax(scores, -1)[1:, :, WORDS:WORDS + PIXELS]
    wanted = read[..., [2, 3]].sum(-1) / read[..., :WORDS].sum(-1)
    got = heat.pixel_maps(call, probe, slice(1, 3))
    torch.testing.assert_close(got[:, 0], wanted.mean(1).unflatten(-1, GRID), rtol=0, atol=1e-12)


def test_parts_change_nothing_of_the_mean_of_the_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = torch.Generator().manual_seed(1)
    q, k, left = (torch.randn(2, 3, n, c, generator=draw).double() for n, c in ((30, 40), (50, 40), (30, 4)))
    right = torch.randn(1, 1, 50, 4, generator=draw).double()
    wanted = torch.softmax(q @ k.transpose(-1, -2) / 40 ** 0.5 + left @ right.transpose(-1, -2), -1).mean(1)
    for at_once in (1, 300, 2100, 10 ** 6):
        monkeypatch.setattr(attention, "_SCORES_AT_ONCE", at_once)
        torch.testing.assert_close(heat.head_mean(q, k, LowRankBias(left, right)), wanted, rtol=0, atol=1e-13)
    assert heat.head_mean(q.bfloat16(), k.bfloat16()).dtype == torch.float32


def test_maps_are_added_to_those_of_other_layers() -> None:
    call = make_call("cross", (4, 6), (RowSpan(0, 2, None),))
    probe = torch.rand(2, 1, call.k.shape[2], 3, generator=torch.Generator().manual_seed(2)).double()
    before = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(3)).double()
    kept, alone = before.clone(), heat.pixel_maps(call, probe, slice(0, 2))
    torch.testing.assert_close(heat.pixel_maps(call, probe, slice(0, 2), before), before + alone, rtol=0, atol=1e-14)
    assert torch.equal(before, kept)


def test_resizing_keeps_the_mean_of_a_map() -> None:
    maps = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    assert heat.resized(maps, (32, 48)) is maps
    smaller = heat.resized(maps, (8, 12))
    torch.testing.assert_close(smaller.mean((-1, -2)), maps.mean((-1, -2)), rtol=0.02, atol=0)
    flat = heat.resized(torch.full((1, 1, 4, 4), 0.3), (16, 16))
    torch.testing.assert_close(flat, torch.full((1, 1, 16, 16), 0.3))


def blob(y: int, x: int, floor: float = 0.02) -> torch.Tensor:
    out = torch.full((16, 16), floor)
    out[y:y + 4, x:x + 4] = 0.3
    return out


def test_landing_is_the_share_inside_of_what_stands_out() -> None:
    region = torch.zeros(16, 16)
    region[:, :8] = 1.0
    assert float(heat.landing(blob(4, 2), region)) == pytest.approx(1.0)
    assert float(heat.landing(blob(4, 10), region)) == 0.0
    assert float(heat.landing(blob(4, 6), region)) == pytest.approx(0.5)
    assert float(heat.landing(torch.full((16, 16), 0.4), region)) == 0.0
    both = heat.landing(torch.stack((blob(4, 2), blob(4, 10))), torch.stack((region, region)))
    assert both.tolist() == pytest.approx([1.0, 0.0])


def test_landing_ignores_an_even_floor_and_the_scale() -> None:
    region = torch.zeros(16, 16)
    region[:, :8] = 1.0
    scores = [float(heat.landing(scale * blob(4, 6, floor), region)) for scale in (1.0, 1e-3) for floor in (0.0, 0.1)]
    assert scores == pytest.approx([0.5] * 4, abs=1e-5)
