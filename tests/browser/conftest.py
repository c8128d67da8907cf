"""A real browser on the real editor. ATTENTION_DIRECTOR_BROWSER names one, or is "none" where there is none."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import browser as chromium
import pytest
from client import Server

sys.path.insert(0, str(Path(__file__).parent))
from editor import ARGUMENTS, Editor  # noqa: E402

SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.VueNodes.Enabled": False, "Comfy.Locale": "en",
            "Comfy.Workflow.Persist": False}
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
def editor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Editor]:
    """One server and one page for all tests here: the page alone takes some seconds to load."""
    from playwright.sync_api import sync_playwright

    base = tmp_path_factory.mktemp("editor")
    settings = base / "user" / "default" / "comfy.settings.json"
    settings.parent.mkdir(parents=True)
    settings.write_text(json.dumps(SETTINGS), encoding="utf-8")
    with sync_playwright() as playwright:
        path = find_browser(playwright.chromium.executable_path)
        with Server(base=base) as server:
            browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
            page = browser.new_page(viewport={"width": 1500, "height": 1200})
            yield Editor.open(page, f"http://{server.address}")
            browser.close()


@pytest.fixture(params=["classic", "vue"])
def renderer(request: pytest.FixtureRequest, editor: Editor) -> Iterator[Editor]:
    """The editor in each of the host's two ways to draw nodes."""
    editor.use_vue(request.param == "vue")
    yield editor
    assert not editor.errors, editor.errors
