"""A real browser on the real editor. ATTENTION_DIRECTOR_BROWSER names one, or is "none" where there is none."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browser as chromium
import pytest
from client import Server
from frontend import FrontendError, frontend_folder

sys.path.insert(0, str(Path(__file__).parent))
from editor import ARGUMENTS, Editor  # noqa: E402

SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": False, "Comfy.Locale": "en",
            "Comfy.Workflow.Persist": False}
RENDERERS = ["classic", "vue"]
NONE = ("no browser was found: install chromium, or name one in ATTENTION_DIRECTOR_BROWSER (\"none\" says that there "
        "is none here, and these tests are left out)")


def find_browser(own: str) -> str:
    """The path of a Chromium: the named one, one on PATH, or Playwright's own. Skips, or on CI fails, without."""
    named = os.environ.get("ATTENTION_DIRECTOR_BROWSER", "")
    if named == "none":
        pytest.skip("ATTENTION_DIRECTOR_BROWSER says that there is no browser here")
    found = named or chromium.installed()
    if not found and Path(own).is_file():
        found = own
    if not found and os.environ.get("CI"):
        pytest.fail(NONE, pytrace=False)
    if not found:
        pytest.skip(NONE)
    return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = find_browser(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


def opened(browser: Any, base: Path, *arguments: str) -> Iterator[Editor]:
    """One server and one page for many tests: the page alone takes some seconds to load."""
    settings = base / "user" / "default" / "comfy.settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(SETTINGS), encoding="utf-8")
    with Server(base=base, arguments=arguments) as server:
        page = browser.new_page(viewport={"width": 1500, "height": 1200})
        yield Editor.open(page, f"http://{server.address}")
        page.close()


@pytest.fixture(scope="session")
def editor(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """With the frontend that the host pins."""
    yield from opened(browser, tmp_path_factory.mktemp("editor"))


@pytest.fixture(scope="module")
def newest_editor(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """With the newest frontend of the registry."""
    try:
        folder = frontend_folder()
    except FrontendError as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    yield from opened(browser, tmp_path_factory.mktemp("newest"), "--front-end-root", str(folder))


def drawn_by(editor: Editor, renderer: str) -> Iterator[Editor]:
    editor.use_vue(renderer == "vue")
    yield editor
    assert not editor.errors, editor.errors


@pytest.fixture(params=RENDERERS)
def renderer(request: pytest.FixtureRequest, editor: Editor) -> Iterator[Editor]:
    """The editor in each of the host's two ways to draw nodes."""
    yield from drawn_by(editor, request.param)


@pytest.fixture(params=RENDERERS)
def newest(request: pytest.FixtureRequest, newest_editor: Editor) -> Iterator[Editor]:
    """As ``renderer``, with the newest frontend."""
    yield from drawn_by(newest_editor, request.param)
