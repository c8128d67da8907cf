"""The archive as it would be published: what is in it, and that the host loads it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from urllib.parse import unquote

import pathspec
import pytest
from client import Server

ROOT = Path(__file__).resolve().parent.parent
MAX_MEGABYTES = 80  # demo models of 32 MB each and what reads them
LINK = re.compile(r"""\]\(\s*<?([^\s)>]+)|(?:src|href)=["']([^"']+)""")


def published_files() -> list[str]:
    """What the registry's tool takes: git's files, and new ones that git does not ignore, less .comfyignore."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout.split("\0")
    ignored = pathspec.GitIgnoreSpec.from_lines((ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines())
    return sorted({name for name in listed if name and (ROOT / name).is_file() and not ignored.match_file(name)})


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive, written and unpacked as an installer does."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("the archive is made of git's list of files, and this folder is no git checkout")
    folder = tmp_path_factory.mktemp("archive")
    with zipfile.ZipFile(folder / "node.zip", "w", zipfile.ZIP_STORED) as archive:
        for name in published_files():
            archive.write(ROOT / name, name)
    with zipfile.ZipFile(folder / "node.zip") as archive:
        archive.extractall(folder / "attention-director")
    return folder / "attention-director"


def test_it_holds_the_pack_and_nothing_of_the_workshop(unpacked: Path) -> None:
    names = {path.name for path in unpacked.iterdir()}
    assert {"__init__.py", "core", "bridge", "nodes", "web", "workflows", "locales", "pyproject.toml",
            "requirements.txt", "LICENSE", "README.md"} <= names
    assert not {"lab", "tests", ".ci", ".github", ".git", ".gitignore", ".comfyignore"} & names
    megabytes = sum(path.stat().st_size for path in unpacked.rglob("*") if path.is_file()) / 1e6
    assert megabytes < MAX_MEGABYTES


def local_links(page: Path) -> set[str]:
    """Links and images of a page that lead to a file of the pack, without what follows a #."""
    found = {unquote(a or b).partition("#")[0] for a, b in LINK.findall(page.read_text(encoding="utf-8"))}
    return {link for link in found if link and not re.match(r"[a-z]+:", link)}


def test_no_link_and_no_picture_is_dead(unpacked: Path) -> None:
    """Whoever reads the installed README sees its pictures and can follow its links."""
    pages = [unpacked / "README.md", *sorted((unpacked / "docs").glob("*.md")),
             *sorted((unpacked / "web" / "docs").glob("*.md"))]
    links = {page.relative_to(unpacked).as_posix(): local_links(page) for page in pages}
    assert "docs/strip.png" in links["README.md"] and "layouts.png" in links["docs/measured.md"]
    dead = [f"{page}: {link}" for page, found in links.items() for link in sorted(found)
            if not (unpacked / page).parent.joinpath(link).exists()]
    assert not dead, dead


def test_only_templates_lie_in_workflows(unpacked: Path) -> None:
    for path in (unpacked / "workflows").glob("*.json"):
        workflow = json.loads(path.read_text(encoding="utf-8"))
        assert "nodes" in workflow and "links" in workflow, path.name


def test_the_host_reads_its_metadata(unpacked: Path) -> None:
    from comfy_config.config_parser import extract_node_configuration

    config = extract_node_configuration(str(unpacked))
    assert config is not None
    assert (config.project.name, config.tool_comfy.display_name) == ("attention-director", "Attention Director")
    assert config.project.license.file == "LICENSE"
    assert config.tool_comfy.publisher_id and config.project.urls.repository
    assert config.project.supported_comfyui_version == ">=0.30.0"
    assert config.project.dependencies == (unpacked / "requirements.txt").read_text(encoding="utf-8").split()


def test_the_host_loads_it(unpacked: Path) -> None:
    from attention_director.nodes import NODES

    with Server(pack=unpacked) as server:
        info = server.object_info()
    wanted = {node.GET_SCHEMA().node_id for node in NODES}
    assert wanted <= set(info)
    assert {info[name]["python_module"] for name in wanted} == {"custom_nodes.attention-director"}
