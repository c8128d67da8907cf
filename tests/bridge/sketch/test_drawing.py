"""A drawing on its way to the latent: tones, shapes, weights."""

from __future__ import annotations

import pytest
import sketch_scene as s
import torch
from attention_director.bridge.sketch import drawing as image


class Format:
    def process_in(self, latent: torch.Tensor) -> torch.Tensor:
        return latent * 0.5


def drawing(picture: torch.Tensor, mask: torch.Tensor | None = None, fit: str = "crop", grey: bool = False,
            kind: str = "edges", vae: object = None) -> object:
    return image.Drawing(picture, kind, 2, fit, mask, grey, vae or s.Vae(), Format())


def test_auto_takes_the_common_tone_for_the_paper() -> None:
    white_on_black = s.circle((64, 64))
    both = torch.cat([white_on_black, 1 - white_on_black])
    found = image.read_picture(both, "auto", "edges")
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], white_on_black[0, ..., 0])
    assert torch.equal(image.read_picture(both, "auto", "map")[1], 1 - found[1]), "a map is taken as it is"
    assert torch.equal(image.read_picture(both, "black on white", "edges")[0], 1 - found[0])
    assert torch.equal(image.read_picture(both, "white on black", "edges")[1], 1 - found[1])
    assert image.read_picture(torch.rand(1, 4, 4, 4), "auto", "edges").shape == (1, 4, 4)


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("size", [(64, 96), (96, 64), (40, 40), (128, 200)])
def test_every_fit_gives_the_size_asked_for(how: str, size: tuple[int, int]) -> None:
    found = image.fitted(s.circle((80, 60), radius=0.3)[..., 0], size, how, lines=True)
    assert found.shape == (1, *size) and float(found.max()) > 0.5


def test_a_circle_stays_round_unless_stretched() -> None:
    """Its extent in both directions, after fitting a square drawing to a wide picture."""
    square = s.circle((100, 100), radius=0.2, width=4)[..., 0]
    spans = {}
    for how in ("crop", "pad", "stretch"):
        ys, xs = (image.fitted(square, (60, 120), how, lines=True)[0] > 0.5).nonzero().T
        spans[how] = (int(ys.max() - ys.min()), int(xs.max() - xs.min()))
    assert abs(spans["crop"][0] - spans["crop"][1]) <= 2 and spans["crop"][0] >= 48
    assert abs(spans["pad"][0] - spans["pad"][1]) <= 2 and spans["pad"][0] <= 30
    assert spans["stretch"][1] >= 1.8 * spans["stretch"][0]


def test_thin_lines_survive_shrinking() -> None:
    thin = torch.zeros(1, 1024, 1024)
    thin[0, 512, :] = 1
    assert float(drawing(thin).target((128, 128)).amax(1).min()) == 1


def test_pen_widths_come_out_alike() -> None:
    fine, broad = (drawing(s.circle((256, 256), width=w)[..., 0]).target((128, 128)) for w in (2, 9))
    assert abs(float(fine.sum()) / float(broad.sum()) - 1) < 0.15


def test_it_is_encoded_in_the_models_scale_and_once_a_size() -> None:
    vae = s.Vae()
    one = drawing(s.circle()[..., 0], vae=vae)
    first = one.at((16, 16))
    assert one.at((16, 16)) is first and vae.encoded == 1
    assert first.drawn.shape == (1, 4, 16, 16) and first.weight is None and first.where is None
    assert torch.equal(first.blank, Format().process_in(vae.encode(torch.zeros(1, 128, 128, 3))))
    one.at((8, 8))
    one.at((8, 16))
    assert len(one.kept) == 2


def test_masks_and_grey_become_weights() -> None:
    mask = torch.zeros(1, 128, 128)
    mask[:, :64] = 1
    masked = drawing(s.circle()[..., 0], mask=mask).at((16, 16))
    assert torch.equal(masked.where, masked.weight) and masked.where[0, 0, :, 3].tolist() == [1.0] * 8 + [0.0] * 8
    lines = torch.zeros(1, 128, 128)
    lines[0, 20], lines[0, 100] = 0.3, 1.0
    plain, weighted = drawing(lines), drawing(lines, grey=True)
    assert float(plain.target((128, 128))[0, 15:25].max()) == 0, "too faint to be a line"
    found = weighted.at((16, 16))
    assert float(weighted.target((128, 128))[0, 15:25].max()) == 1
    torch.testing.assert_close(found.weight[0, 0, :, 5], torch.tensor([1.0] * 2 + [0.3] + [1.0] * 13))


def test_empty_is_said_of_empty_sheets_only() -> None:
    assert drawing(torch.zeros(1, 8, 8)).empty and drawing(torch.full((1, 8, 8), 0.4)).empty
    assert not drawing(torch.full((1, 8, 8), 0.4), grey=True).empty and not drawing(s.circle()[..., 0]).empty
    assert drawing(torch.full((1, 8, 8), 0.7), kind="map").empty
    assert not drawing(torch.rand(1, 8, 8), kind="map").empty


def test_rows_repeat_over_the_batch() -> None:
    two = drawing(torch.cat([s.circle(), s.circle(radius=0.2)])[..., 0]).at((16, 16))
    rows = two.rows([1, 2, 3], torch.zeros(1))
    assert torch.equal(rows.drawn, two.drawn[[1, 0, 1]]) and len(rows.blank) == 3
