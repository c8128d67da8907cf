"""Saving where there is no room, no right, no folder or no name, and two savers at once."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sketch_scene
import torch
from hostile import bank_file, refused
from safetensors import SafetensorError
from test_loaders import load_bank, load_predictor

Save = Callable[[str], Path]


def savers(folder: Path) -> dict[str, Save]:
    """Everything of the pack that writes a file; each takes a prefix."""
    from attention_director.bridge.identity.adapter import save_converted
    from attention_director.bridge.sketch.predictor import save_numbered
    from attention_director.bridge.subject.bank_files import write_bank

    bank = load_bank(bank_file().write(folder / "source.safetensors"))
    predictor = sketch_scene.predictor(sketch_scene.model())
    torch.save({"unet.x": torch.ones(4)}, folder / "source.pt")
    return {"bank": lambda prefix: write_bank("node", bank, prefix, "fp16"),
            "predictor": lambda prefix: save_numbered(predictor, prefix, "node"),
            "conversion": lambda prefix: save_converted("node", folder / "source.pt",
                                                        folder / "output" / f"{prefix}.safetensors")}


def left(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in (folder / "output").rglob("*") if p.is_file())


@pytest.mark.parametrize("kind", ["bank", "predictor", "conversion"])
def test_nothing_is_left_and_one_sentence_said_where_a_file_cannot_be_written(
        folders: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from attention_director.bridge.identity import adapter
    from attention_director.bridge.sketch import predictor
    from attention_director.bridge.subject import bank

    save = savers(folders)[kind]
    module = {"bank": bank, "predictor": predictor, "conversion": adapter}[kind]
    real = module.save_file
    full = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    for error, why in ((full, "the disk is full"), (OSError(errno.ENOSPC, "no", "/a/path"), "the disk is full"),
                       (OSError(errno.EROFS, "no", "/a/path"), "cannot be written to"),
                       (OSError(errno.EIO, "no", "/a/path"), "Input/output error"),
                       (SafetensorError("who knows"), "SafetensorError; look at the disk")):
        def fails(tensors: Any, path: Path, *more: Any, error: Exception = error, **named: Any) -> None:
            Path(path).write_bytes(b"half")
            raise error

        monkeypatch.setattr(module, "save_file", fails)
        sentence = refused(lambda: save("folder/name"))
        assert f'"{"name.safetensors" if kind == "conversion" else "folder/name"}" could not be saved: ' in sentence
        assert why in sentence and "/a/path" not in sentence and not left(folders)
        monkeypatch.setattr(module, "save_file", real)
    assert save("folder/name").is_file() and len(left(folders)) == 1, "there is room again"


@pytest.mark.parametrize(("prefix", "why"), [
    ("a\0b", "characters that no file can have"), ("a\ud83d", "characters that no file can have"),
    ("x" * 5000, "too long"), ("taken/hero", "a file stands where its folder should be"),
    ("taken/in/hero", "a file stands where its folder should be"), ("../hero", "out of the output folder"),
    ("/etc/hero", "out of the output folder")])
@pytest.mark.parametrize("kind", ["bank", "predictor"])
def test_a_name_that_cannot_be_is_refused(folders: Path, kind: str, prefix: str, why: str) -> None:
    (folders / "output").mkdir()
    (folders / "output" / "taken").write_text("mine")
    assert why in refused(lambda: savers(folders)[kind](prefix))
    assert left(folders) == ["output/taken"] and (folders / "output" / "taken").read_text() == "mine"


def test_a_link_in_the_place_of_the_file_is_left_alone(folders: Path) -> None:
    """Its target keeps its contents; the bank gets the next number."""
    (folders / "output").mkdir()
    (folders / "victim").write_text("mine")
    for number in (1, 2):
        os.symlink(folders / "victim", folders / "output" / f"hero_{number:05}_.safetensors")
    made = savers(folders)["bank"]("hero")
    assert (folders / "victim").read_text() == "mine" and made.name == "hero_00003_.safetensors"
    load_bank(made)


@pytest.mark.parametrize(("kind", "load"), [("bank", load_bank), ("predictor", load_predictor)])
def test_savers_at_once_lose_nothing(folders: Path, monkeypatch: pytest.MonkeyPatch, kind: str,
                                     load: Callable[[Path], Any]) -> None:
    """Eight that were all told that the next number is 1, as two servers with one output folder are."""
    import folder_paths

    (folders / "output").mkdir()
    monkeypatch.setattr(folder_paths, "get_save_image_path",
                        lambda prefix, output, *_: (output, prefix, 1, "", prefix))
    save, start, made, failed = savers(folders)[kind], threading.Barrier(8), [], []

    def work() -> None:
        start.wait()
        try:
            made.append(save("hero"))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed and left(folders) == [f"output/hero_{n:05}_.safetensors" for n in range(1, 9)]
    for path in made:
        load(path)
    assert len(set(made)) == 8
