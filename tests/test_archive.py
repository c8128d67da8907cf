"""The archive as it would be published: the registry's own tool makes it, and the host loads it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import unquote

import pytest
from client import Server

ROOT = Path(__file__).resolve().parent.parent
MAX_MEGABYTES = 90  # demo models of 32 MB each and what reads them
LINK = re.compile(r"""\]\(\s*<?([^\s)>]+)|(?:src|href)=["']([^"']+)""")
# comfy-cli asks for consent to be counted, and reports to the network where it is given.
QUIET = ("--skip-prompt", "--no-enable-telemetry")


def registry_tool(folder: Path, home: Path, command: str) -> str:
    """What comfy-cli says of a folder. It writes its settings into a home of its own."""
    here = {"HOME": str(home), "USERPROFILE": str(home), "XDG_CONFIG_HOME": str(home), "LOCALAPPDATA": str(home),
            "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, "-m", "comfy_cli", *QUIET, "node", command], cwd=folder, text=True,
                          encoding="utf-8", env={**os.environ, **here}, stdin=subprocess.DEVNULL, timeout=120,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of this folder in a repository of their own, with what is not committed yet: the tool takes git's
    list, and leaves its archive beside it."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("the archive is made of git's list of files, and this folder is no git checkout")
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, text=True, encoding="utf-8", check=True).stdout.split("\0")
    for name in {name for name in listed if name and (ROOT / name).is_file()}:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    for command in (("init", "--quiet"), ("-c", "core.autocrlf=false", "add", "--all", "--force")):
        subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def archive(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What would be uploaded."""
    registry_tool(checkout, tmp_path_factory.mktemp("home"), "pack")
    return checkout / "node.zip"


@pytest.fixture(scope="module")
def unpacked(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive as an installer unpacks it."""
    folder = tmp_path_factory.mktemp("archive") / "attention-director"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(folder)
    return folder


def test_the_registrys_tool_finds_nothing_wrong(checkout: Path, tmp_path: Path) -> None:
    """Its warnings are of exec, eval, subprocesses by a shell, and several statements in a line."""
    said = registry_tool(checkout, tmp_path, "validate")
    assert "All validation checks passed" in said and "warning" not in said.lower(), said


def test_the_archive_is_no_larger_than_promised(archive: Path) -> None:
    assert archive.stat().st_size < MAX_MEGABYTES * 1e6


def test_it_holds_the_pack_and_nothing_of_the_workshop(unpacked: Path) -> None:
    names = {path.name for path in unpacked.iterdir()}
    assert {"__init__.py", "core", "bridge", "nodes", "web", "workflows", "locales", "pyproject.toml",
            "requirements.txt", "LICENSE", "README.md"} <= names
    assert not {"lab", "tests", ".ci", ".github", ".git", ".gitignore", ".comfyignore"} & names


def local_links(page: Path) -> set[str]:
    """Links and images of a page that lead to a file of the pack, without what follows a #."""
    found = {unquote(a or b).partition("#")[0] for a, b in LINK.findall(page.read_text(encoding="utf-8"))}
    return {link for link in found if link and not re.match(r"[a-z]+:", link)}


def test_no_link_and_no_picture_is_dead(unpacked: Path) -> None:
    """Whoever reads the README of the archive, as the registry's page shows it, sees its pictures and can follow its
    links."""
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
