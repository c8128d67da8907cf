"""What Attention Readout hands to its viewer: every map to the byte, and never more than the bound."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

KEY = "4/record"
EVIL = '<img src=x onerror="hurt()">'


def gradient(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape)))


def phrase(text: str) -> Any:
    from attention_director.bridge.text.words import phrase_without_clip

    return phrase_without_clip(text)


def read_file(file: dict[str, str]) -> np.ndarray:
    import folder_paths

    assert file["type"] == "temp"
    return np.asarray(Image.open(Path(folder_paths.get_temp_directory()) / file["subfolder"] / file["filename"]))


class Seen:
    """A view with its maps as the editor finds them."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.json = json.dumps(values, allow_nan=False)
        picture = read_file(values["atlas"])
        assert picture.ndim == 2 and picture.dtype == np.uint8
        self.bytes = torch.from_numpy(picture.copy()).flatten()

    def maps(self, block: dict[str, Any]) -> torch.Tensor:
        count = int(np.prod(block["shape"]))
        assert block["at"] + count <= len(self.bytes)
        return self.bytes[block["at"]:block["at"] + count].reshape(block["shape"])


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Files a record of so many images made by hand and gives what the viewer gets of it."""
    from attention_director.bridge.record import readout, viewer
    from attention_director.bridge.record import store as records
    from attention_director.bridge.record.recorder import Recorder
    from attention_director.bridge.run.run import CHAIN_KEY
    from attention_director.core.method import Chain
    from attention_director.core.schedule import Schedule

    store = records.RecordStore()
    monkeypatch.setattr(readout, "STORE", store)
    model = SimpleNamespace(model_options={"transformer_options": {
        CHAIN_KEY: Chain((Recorder(KEY, (), (), Schedule()),))}})

    def shown(heat: Any, left: dict[str, Any], images: int = 2, image: Any = None, step: int = -1) -> Seen:
        samples = torch.full((images, 4, 16, 16), float(len(store)))
        store.keep(samples, records.RunRecord(frozenset({KEY}), {KEY: heat} if heat else {}, left))
        return Seen(viewer.view("AttnDirReadout", model, samples, image, "heat maps", step))

    return shown


def heat_of(mean: torch.Tensor, phrases: tuple[str, ...], steps: dict[int, torch.Tensor] | None = None) -> Any:
    from attention_director.bridge.record.recording import Heat

    numbers = tuple(steps or (1,))
    has = torch.ones(mean.shape[:2], dtype=torch.bool)
    return Heat(tuple(map(phrase, phrases)), len(phrases), mean, has, steps or {}, numbers, len(numbers), 0)


def halves() -> torch.Tensor:
    out = torch.zeros(1, 2, 128, 128)
    out[:, 0, :, :64] = out[:, 1, :, 64:] = 1.0
    return out


def test_every_byte_survives_the_hosts_way_of_saving() -> None:
    from attention_director.bridge.record.map_atlas import MapAtlas

    atlas = MapAtlas()
    atlas.add(torch.zeros(3, 5))
    block = atlas.add(torch.arange(256).reshape(1, 16, 16) / 255)
    assert (block["at"], atlas.nbytes) == (15, 271)
    picture = read_file(atlas.saved()).ravel()
    assert picture[15:271].tolist() == list(range(256)) and not picture[271:].any()


def test_heat_maps_are_shares_of_their_phrases_highest(show: Any) -> None:
    mean = gradient(2, 2, 16, 16) * torch.tensor([0.4, 0.01])[:, None, None]
    step = (mean * 0.5).half()
    seen = show(heat_of(mean, ("hat", EVIL), {3: step}), {})
    found = seen.values["heat"]
    maps = seen.maps(found["maps"])
    assert maps.shape == (2, 2, 2, 16, 16) and found["steps"] == [-1, 3] and found["phrases"] == ["hat", EVIL]
    for number, own in enumerate((mean, step.float())):
        tops = own.amax((0, 2, 3))
        assert found["tops"][number] == pytest.approx(tops.tolist(), abs=1e-4)
        wanted = (255 * own / tops[:, None, None]).round()
        torch.testing.assert_close(maps[number].float(), wanted, atol=1, rtol=0)
    assert found["mean"] == "mean of steps 3 of 1" and "landing" in found and not found["landing"]


def test_scores_are_those_of_the_sheet(show: Any) -> None:
    from attention_director.bridge.record.readout import scores_of
    from attention_director.bridge.record.store import RunRecord

    mean, step = gradient(2, 2, 16, 16), gradient(1, 2, 2, 16, 16)[0].half()
    heat = heat_of(mean, ("hat", "dog"), {1: step})
    left = {"regions": ((heat.phrases, halves().half()),)}
    landing = show(heat, left).values["heat"]["landing"]
    record = RunRecord(frozenset(), {}, left)
    for number, maps in enumerate((mean, step.float())):
        wanted = [(p.image, p.score) for p in scores_of(record, heat, maps)]
        assert len(wanted) == 4
        assert [(p["image"], p["scores"][number]) for p in landing["places"]] == [
            (i, pytest.approx(score, abs=1e-4)) for i, score in wanted]
    assert [p["region"] for p in landing["places"]] == [0, 1, 0, 1], "images share a layout and its outlines"


def test_regions_keep_their_place(show: Any) -> None:
    heat = heat_of(gradient(2, 2, 16, 16), ("hat", "dog"))
    seen = show(heat, {"regions": ((heat.phrases, halves().half()),)})
    areas = seen.maps(seen.values["heat"]["landing"]["regions"])
    assert areas.shape == (2, 64, 64)
    assert (areas[0, :, :31] == 255).all() and not areas[0, :, 33:].any() and (areas[1, :, 33:] == 255).all()


def test_masks_links_and_edges_of_other_nodes(show: Any) -> None:
    index, gate = torch.zeros(3, 64, dtype=torch.long), torch.zeros(3, 64, dtype=torch.bool)
    index[2, 9], gate[2, 9] = 64 + 5 * 8 + 6, True  # patch (1, 1) of the third image: (6, 5) of the second anchor
    masks = torch.zeros(3, 16, 16, dtype=torch.bool)
    masks[1, 4:8] = True
    left = {"edit_mask": (masks.float(),), "subject_masks": (masks,),
            "subject_masks_by_step": (masks[None].repeat(5, 1, 1, 1),),
            "subject_links": (index,), "subject_links_open": (gate,), "subject_links_grid": ((8, 8),),
            "edges": (gradient(3, 16, 16),), "edges_wanted": (gradient(3, 16, 16),),
            "edges_agreement": (torch.tensor([0.5, float("nan"), 1.0]),)}
    seen = show(None, left, images=3)
    subjects, edges = seen.values["subjects"], seen.values["edges"]
    for block, lead in ((seen.values["edit"]["masks"], 1), (subjects["masks"], 1), (subjects["levels"], 5)):
        maps = seen.maps(block)
        assert maps.shape == (lead, 3, 16, 16) and torch.equal(maps[0] > 127, masks)
    anchor, x, y = seen.maps(subjects["links"]["maps"])
    assert anchor.sum() == 2 and anchor[2, 1, 1] == 2
    assert [x[2, 1, 1] / 255, y[2, 1, 1] / 255] == [pytest.approx(n, abs=0.003) for n in (6.5 / 8, 5.5 / 8)]
    assert subjects["links"]["xs"] == pytest.approx([(n + 0.5) / 8 for n in range(8)], abs=1e-4)
    assert edges["agreement"] == [[0.5, 0.0, 1.0]]
    assert seen.maps(edges["lines"]).shape == seen.maps(edges["wanted"]).shape == (1, 3, 16, 16)
    assert "heat" not in seen.values and seen.values["pictures"] == [] and seen.values["size"] == [128, 128]


def test_pictures_go_along_small(show: Any) -> None:
    heat = heat_of(gradient(2, 1, 16, 16), ("hat",))
    picture = gradient(2, 40, 60, 3)
    seen = show(heat, {}, image=picture)
    found = torch.stack([torch.from_numpy(read_file(file).copy()) for file in seen.values["pictures"]])
    torch.testing.assert_close(found.float(), (255 * picture).round(), atol=0, rtol=0)
    assert seen.values["size"] == [60, 40]
    assert len(show(heat, {}, image=picture[:1]).values["pictures"]) == 1
    assert read_file(show(heat, {}, image=torch.zeros(2, 1024, 512, 3)).values["pictures"][0]).shape == (512, 256, 3)


def test_however_large_the_run_the_bounds_hold(show: Any) -> None:
    from attention_director.bridge.record import map_atlas as view_maps
    from attention_director.bridge.record import viewer

    images, words = 40, tuple(f"{'🔥' * 40} word{n}" for n in range(64))
    mean = gradient(images, 64, 32, 32)
    heat = heat_of(mean, words, {n: mean.half() for n in range(1, 150)})
    index = torch.zeros(images, 128 * 128, dtype=torch.long)
    left = {"regions": ((heat.phrases, torch.ones(images, 64, 128, 128).half()),),
            "edit_mask": (torch.ones(images, 300, 300),), "subject_masks": (torch.ones(images, 12, 128, 128),),
            "subject_masks_by_step": (torch.ones(64, images, 128, 128),),
            "subject_links": (index,), "subject_links_open": (index == 0,), "subject_links_grid": ((128, 128),),
            "edges": (torch.ones(images, 256, 256),) * 3, "edges_wanted": (torch.ones(images, 256, 256),) * 3,
            "edges_agreement": (torch.ones(images),) * 3}
    seen = show(heat, left, images, torch.zeros(images, 512, 512, 3))
    assert 0 < len(seen.bytes) <= viewer.MOST_BYTES + view_maps.ROW and len(seen.json) < 200_000
    pictures = [read_file(file) for file in seen.values["pictures"]]
    assert len(pictures) == 32 and sum(p.size / 3 for p in pictures) <= view_maps.MOST_PICTURE_PIXELS
    assert seen.values["images"] == 32 and seen.values["all"] == 40
    blocks = sorted(find_blocks(seen.values), key=lambda block: block["at"])
    ends = [block["at"] + int(np.prod(block["shape"])) for block in blocks]
    assert len(blocks) == 8 and all(seen.maps(block).any() for block in blocks)
    assert [block["at"] for block in blocks] == [0, *ends[:-1]]
    assert seen.values["heat"]["steps"][:2] == [-1, 1] and seen.values["heat"]["steps"][-1] == 149


def find_blocks(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value] if set(value) == {"at", "shape"} else [b for part in value.values() for b in find_blocks(part)]
    return [b for part in value for b in find_blocks(part)] if isinstance(value, list) else []


@pytest.mark.parametrize(("count", "most", "wanted"), [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (9, 1, []), (0, 4, [])])
def test_steps_are_thinned_evenly(count: int, most: int, wanted: list[int]) -> None:
    from attention_director.bridge.record.map_atlas import evenly

    assert evenly(list(range(count)), most) == wanted


def test_what_is_no_number_never_reaches_the_page(show: Any) -> None:
    mean = gradient(2, 1, 16, 16)
    mean[0, 0, 3, 3] = float("nan")
    seen = show(heat_of(mean, ("a\u202e\x00\nhat",)), {})
    assert seen.values["heat"]["phrases"] == ["a hat"] and "NaN" not in seen.json
