"""What one mistypes around Identity Inject, and what the nodes say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import identity_files as files
import pytest
import tiny
import torch
from attention_director.bridge.errors import DirectorError

TEXT = "a red hat and a blue dog on the grass"


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return files.adapter(tmp_path_factory.mktemp("light") / "a.safetensors", files.published(unet=False))


def ask(adapter: Any, text: Any = TEXT, parts: tuple | None = None, family: str = "sd15", **changes: Any) -> tuple:
    return files.identity(tiny.model(family), tiny.clip(family), adapter, text, parts, **changes)


@pytest.mark.parametrize("phrase, sentence", [
    ("Anna", r'IdentityInject: subject 1 "Anna" is not in the prompt.*\. Use a word of the prompt, such'),
    ("hats", r'subject 1 "hats" is not in the prompt; nearest: "hat"'),
    ("dog#2", r'subject 1 "dog#2": the prompt contains those words once; lower the number')])
def test_a_phrase_that_is_not_there(light: Any, phrase: str, sentence: str) -> None:
    with pytest.raises(DirectorError, match=sentence):
        ask(light, parts=files.subjects((phrase, files.picture())))


def test_two_subjects_on_one_phrase(light: Any) -> None:
    twice = files.subjects(("dog", files.picture(1)), ("dog", files.picture(2)))
    with pytest.raises(DirectorError, match="end at the same word"):
        ask(light, parts=twice)
    with pytest.raises(DirectorError, match=r'claim the same "dog"; write dog#1 and dog#2'):
        ask(light, "a dog and a dog", parts=twice)
    with pytest.raises(DirectorError, match="end at the same word"):
        ask(light, parts=files.subjects(("blue dog", files.picture(1)), ("dog", files.picture(2))))
    ask(light, "a dog and a dog", parts=files.subjects(("dog#1", files.picture(1)), ("dog#2", files.picture(2))))


def test_no_subject_at_all(light: Any) -> None:
    with pytest.raises(DirectorError, match="subjects is empty; wire Identity Subject"):
        ask(light, parts=())


def test_an_adapter_of_another_family(light: Any, tmp_path: Path) -> None:
    with pytest.raises(DirectorError, match=r"the adapter is for 32 wide; this text encoder is 64 wide\. Needed: "):
        ask(light, family="sdxl")
    from attention_director.bridge.identity.build import _check_family
    from attention_director.core.fuse import FuseModule

    class Named:
        width = FuseModule(768).layer_norm.weight.shape[0]

    with pytest.raises(DirectorError, match=r"the adapter is for SD1\.5 \(768\); this text encoder is SDXL \(2048\)\. "
                                            r"Needed: an adapter trained for SDXL.*PhotoMaker"):
        _check_family("IdentityInject", Named(), [[torch.zeros(1, 77, 2048), {}]])


def test_a_prompt_of_another_node(light: Any) -> None:
    from nodes import CLIPTextEncode

    with pytest.raises(DirectorError, match="was not made by an Attention Director node"):
        ask(light, CLIPTextEncode().encode(tiny.clip(), TEXT)[0])


@pytest.mark.parametrize("changes", [{"strength": -1.0}, {"strength": float("nan")}, {"start_percent": 2.0},
                                     {"strength_model": -0.1}, {"localise": 1.5}])
def test_numbers_outside_their_range(light: Any, changes: dict) -> None:
    with pytest.raises(DirectorError, match=f"{next(iter(changes))} is .*; give a number from 0 to"):
        ask(light, **changes)


@pytest.mark.parametrize("images, sentence", [
    (torch.zeros(1, 8, 8, 3), r'"dog": picture 1 is empty \(one flat colour\)'),
    (torch.cat((torch.rand(1, 8, 8, 3), torch.full((1, 8, 8, 3), 0.5))), "picture 2 is empty"),
    (torch.full((1, 8, 8, 3), float("nan")), "picture 1 is empty"),
    (torch.zeros(0, 8, 8, 3), "a batch of pictures is needed"),
    (torch.rand(1, 8, 8), "a batch of pictures is needed")])
def test_a_picture_with_no_content(images: torch.Tensor, sentence: str) -> None:
    with pytest.raises(DirectorError, match=sentence):
        files.subjects(("dog", images))


def test_other_slips_of_a_subject() -> None:
    with pytest.raises(DirectorError, match="the phrase is empty"):
        files.subjects((" ", files.picture()))
    with pytest.raises(DirectorError, match="strength"):
        files.subjects(("dog", files.picture(), -1.0))
    with pytest.raises(DirectorError, match="the mask is empty"):
        files.subjects(("dog", files.picture(), 1.0, torch.zeros(1, 8, 8)))


def test_subjects_keep_their_order() -> None:
    assert [s.phrase for s in files.subjects(("hat", files.picture()), ("dog", files.picture()))] == ["hat", "dog"]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """models/ and output/ of a host of this test's own."""
    import folder_paths

    monkeypatch.setattr(folder_paths, "models_dir", str(tmp_path / "models"))
    monkeypatch.setattr(folder_paths, "output_directory", str(tmp_path / "output"))
    monkeypatch.delitem(folder_paths.folder_names_and_paths, "identity_adapters", raising=False)
    monkeypatch.setattr(folder_paths, "filename_list_cache", {})
    for name in ("models", "output"):
        (tmp_path / name / "identity_adapters").mkdir(parents=True)
    return tmp_path


def test_the_loader_lists_both_folders_and_converts_when_asked(folders: Path) -> None:
    from attention_director.bridge.identity.adapter import FILES
    from attention_director.nodes.load_adapter import AttnDirLoadAdapter

    files.save(folders / "models" / "identity_adapters" / "mine.bin", files.published())
    assert FILES.names() == ["demo_identity.safetensors", "mine.bin"]
    adapter, report = AttnDirLoadAdapter.execute("mine.bin").args
    assert adapter.width == 32 and "written" not in report
    made = folders / "output" / "identity_adapters" / "mine.safetensors"
    assert not made.exists()
    _, report = AttnDirLoadAdapter.execute("mine.bin", True).args
    assert made.exists() and report.endswith("written: mine.safetensors")
    again, _ = AttnDirLoadAdapter.execute("mine.safetensors").args
    assert all(torch.equal(again.unet[k], v) for k, v in adapter.unet.items())
    assert AttnDirLoadAdapter.fingerprint_inputs("mine.bin") != AttnDirLoadAdapter.fingerprint_inputs(
        "mine.safetensors")


@pytest.mark.parametrize("name", ["../secret.bin", "nothing.safetensors", "/etc/passwd", "..\\secret.bin"])
def test_the_loader_stays_in_its_folders(folders: Path, name: str) -> None:
    from attention_director.nodes.load_adapter import AttnDirLoadAdapter

    torch.save({}, folders / "models" / "secret.bin")
    with pytest.raises(DirectorError, match="put it there and press R"):
        AttnDirLoadAdapter.execute(name)
