"""Attention Readout on records made by hand: what it draws, says and refuses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from attention_director.bridge.record import sheet as draw

KEY = "4/record"
SAMPLES = torch.arange(2 * 4 * 16 * 16, dtype=torch.float32).reshape(2, 4, 16, 16)
IMAGE = torch.rand(2, 128, 128, 3, generator=torch.Generator().manual_seed(1))


def blob(y: int, x: int, high: float = 0.3) -> torch.Tensor:
    out = torch.full((16, 16), 0.02)
    out[y:y + 4, x:x + 4] = high
    return out


def phrase(text: str) -> Any:
    from attention_director.bridge.text.words import phrase_without_clip

    return phrase_without_clip(text)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Two images; "hat" lands in the left half in both, "dog" in the right half only in the first."""
    from attention_director.bridge.record import readout
    from attention_director.bridge.record import store as records
    from attention_director.bridge.record.recorder import Recorder
    from attention_director.bridge.record.recording import Heat
    from attention_director.bridge.run.run import CHAIN_KEY
    from attention_director.core.method import Chain
    from attention_director.core.schedule import Schedule

    mean = torch.stack([torch.stack((blob(2, 2), blob(8, 10, 0.1))), torch.stack((blob(6, 3), blob(8, 1, 0.1)))])
    halves = torch.zeros(1, 2, 128, 128)
    halves[:, 0, :, :64] = halves[:, 1, :, 64:] = 1.0
    phrases = (phrase("hat"), phrase("dog"))
    heat = Heat(phrases, 2, mean, torch.ones(2, 2, dtype=torch.bool), {3: (mean * 0.5).half()}, (1, 2, 3, 7),
                        8, 2)
    left = {"regions": ((phrases, halves.half()),), "edit_mask": (torch.stack((torch.zeros(16, 16), blob(2, 2, 1.0))),),
            "subject_masks": (torch.rand(2, 3, 16, 16),)}
    store = records.RecordStore()
    monkeypatch.setattr(readout, "STORE", store)
    recorder = Recorder(KEY, (), phrases, Schedule())
    model = SimpleNamespace(model_options={"transformer_options": {CHAIN_KEY: Chain((recorder,))}})

    def keep(**changes: Any) -> None:
        parts = {"heat": heat, "left": left} | changes
        store.keep(SAMPLES, records.RunRecord(frozenset({KEY}), {KEY: parts["heat"]} if parts["heat"] else {},
                                              parts["left"]))

    keep()
    return SimpleNamespace(model=model, keep=keep, heat=heat, left=left)


def read(scene: Any, show: str = "heat maps", step: int = -1, image: Any = IMAGE, samples: Any = SAMPLES) -> Any:
    from attention_director.bridge.record.readout import read

    return read("AttnDirReadout", scene.model, samples, image, show, step)


def says(sentence: str, scene: Any, **options: Any) -> None:
    with pytest.raises(ValueError) as caught:
        read(scene, **options)
    assert str(caught.value) == f"AttnDirReadout: {sentence}"


def test_heat_maps(scene: Any) -> None:
    out = read(scene)
    assert out.masks.shape == (4, 128, 128) and out.image.shape[0] == 1 and out.image.shape[-1] == 3
    assert float(out.image.min()) >= 0 and float(out.image.max()) <= 1
    peaks = [divmod(int(mask.argmax()), 128) for mask in out.masks]
    assert all(8 * y <= p[0] < 8 * (y + 4) and 8 * x <= p[1] < 8 * (x + 4)
               for p, (y, x) in zip(peaks, [(2, 2), (8, 10), (6, 3), (8, 1)], strict=True))
    lines = out.report.splitlines()
    assert lines[0] == "mean of steps 1-3, 7 of 8; 2 steps were skipped by a cache"
    assert lines[1].startswith('image 1, "hat": 3.7% on average, 30% at 16% from the left, 16% from the top')
    assert lines[-1] == 'worst: "dog" in image 2, 0%' and out.score == 0.0


def test_one_step(scene: Any) -> None:
    assert read(scene, step=3).report.splitlines()[1].startswith('image 1, "hat": 1.9% on average, 15%')
    says("step 4 was not recorded, steps 1-3, 7 were; set step to one of them, or to -1 for their mean.", scene, step=4)
    from dataclasses import replace

    scene.keep(heat=replace(scene.heat, steps={}))
    says("this run kept only the mean of its maps, because 8 steps of 2 phrases were too many; set step to -1 or "
         "record fewer phrases.", scene, step=3)


def test_landing(scene: Any) -> None:
    out = read(scene, "landing")
    assert out.masks.shape == (4, 128, 128) and set(out.masks.unique().tolist()) >= {0.0, 1.0}
    assert 'image 1, "dog": 100% of the high attention is in its region' in out.report
    assert 'image 2, "dog": 0% of the high attention is in its region' in out.report
    scene.keep(left={})
    says("this run had no regions with words; put Region Prompt on the model, or show heat maps.", scene,
         show="landing")
    assert read(scene).report.endswith("no regions in this run; the score is 0")


def test_a_phrase_that_an_images_prompt_lacks(scene: Any) -> None:
    from dataclasses import replace

    scene.keep(heat=replace(scene.heat, has=torch.tensor([[True, True], [True, False]])))
    out = read(scene)
    assert 'image 2, "dog": not in this prompt' in out.report and out.score == pytest.approx(1.0)


def test_what_other_nodes_left(scene: Any) -> None:
    mask = read(scene, "edit mask")
    assert mask.masks.shape == (2, 128, 128) and not mask.masks[0].any() and mask.masks[1, 32, 32] > 0.9
    assert mask.report.splitlines()[0] == "image 1, edit mask: 0.0% of the picture"
    assert read(scene, "subjects").masks.shape == (6, 128, 128)
    says("this run recorded no edges; put Sketch Guidance on the model, or show something else.", scene, show="edges")


def test_without_an_image_and_with_one_too_few(scene: Any) -> None:
    alone = read(scene, image=None)
    assert alone.masks.shape == (4, 128, 128) and alone.image.shape[2] < read(scene).image.shape[2]
    says("image has 3 pictures and the run 2; wire the pictures decoded from samples.", scene,
         image=torch.zeros(3, 128, 128, 3))
    assert read(scene, image=IMAGE[:1]).masks.shape == (4, 128, 128)


def test_what_cannot_be_found(scene: Any) -> None:
    says("the record of this run is gone; change the seed, and wire the sampler's own latent here, unedited and not "
         "denoised_output.", scene, samples=SAMPLES + 1)
    bare = SimpleNamespace(model=SimpleNamespace(model_options={}))
    says("the model has no Record Attention; put one before the sampler and wire its model here too.", bare)
    scene.keep(heat=None)
    says("Record Attention recorded nothing in this run; its prompt must be the sampler's positive, and its window "
         "must overlap the run.", scene)
    assert read(scene, "edit mask").score == 0.0


@pytest.mark.parametrize(("height", "width"), [(64, 64), (128, 128), (1024, 1024), (512, 2048), (1536, 640)])
def test_tiles_are_readable_at_any_size(height: int, width: int) -> None:
    h, w = draw.tile_size(height, width, rows=2, columns=4)
    assert 256 <= max(h, w) <= 512 and abs(h * width - w * height) <= max(height, width)
    many = draw.tile_size(height, width, rows=64, columns=12)
    assert max(many) >= draw.SMALLEST_TILE_PX and max(many[0] * 64, many[1] * 12) <= draw.MOST_PX


NASTY = ["", "\x00\x1b[31m\n\t", "x" * 5000, "a\u202eb\ud800", "红色的圆", "🔥" * 300, "{0} %s <b>", "\\(hat\\)"]


@pytest.mark.parametrize("text", NASTY)
def test_a_users_words_are_drawn_safely(text: str) -> None:
    tile = draw.Tile(draw.over(None, torch.rand(64, 96).numpy()), text, text)
    out = draw.sheet([[tile, tile]], draw.Legend("0", "1", text))
    assert out.isfinite().all() and out.shape[-1] == 3 and out.shape[2] < 300
    assert "\n" not in draw.tidy(text) and len(draw.tidy(text)) <= draw.MOST_LETTERS


def test_colours_rise_in_lightness_and_a_cold_map_shows_the_picture() -> None:
    import numpy as np

    light = draw.ramp(np.linspace(0, 1, 64)) @ np.array((0.299, 0.587, 0.114))
    assert (np.diff(light) > 0).all()
    base = draw.photo(IMAGE[0], (128, 128))
    cold, hot = draw.over(base, np.zeros((128, 128))), draw.over(base, np.ones((128, 128)))
    grey = base @ np.array((0.299, 0.587, 0.114))
    assert np.corrcoef(grey.ravel(), cold.astype(float).mean(-1).ravel())[0, 1] > 0.99
    assert cold.mean() < hot.mean() - 50 and base.shape == (128, 128, 3)


@pytest.mark.parametrize("size", [256, 512])
def test_an_outline_is_white_between_dark_and_grows_with_the_tile(size: int) -> None:
    import numpy as np

    inside = np.zeros((size, size), bool)
    inside[size // 4:size // 2, size // 4:size // 2] = True
    out = draw.outlined(np.full((size, size, 3), 99, np.uint8), inside)
    across = out[size // 3, :size // 3, 0]
    line = size // 256
    assert [int(v) for v in across[size // 4 - line - 2:size // 4 + 2]] == [99, 0, *[255] * line, 0, 99]


def test_a_broken_picture_is_drawn_all_the_same() -> None:
    assert draw.photo(torch.full((8, 8, 4), float("nan")), (16, 16)).max() == 0
