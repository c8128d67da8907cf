"""Help pages and their pictures: each page shows its node, each picture is small and used."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).resolve().parent.parent / "web" / "docs"
PAGES = sorted(DOCS.glob("*.md"))
IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
MAX_BYTES = 60_000
AGAIN = "ATTENTION_DIRECTOR_PICTURES=web/docs python3 lab/run.py test tests/browser/test_pictures.py makes them again"


def images(page: Path) -> dict[str, str]:
    """File name -> what it is said to show."""
    return {name: alt for alt, name in IMAGE.findall(page.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_shows_its_node(page: Path) -> None:
    shown = images(page)
    assert f"{page.stem}.png" in shown
    for name, alt in shown.items():
        assert len(alt.split()) > 2, "says what is seen, for those who do not see it"
        assert (DOCS / name).is_file(), f"{name}: {AGAIN}"


def test_every_picture_is_used() -> None:
    used = {name for page in PAGES for name in images(page)}
    assert {path.name for path in DOCS.iterdir() if path.suffix != ".md"} == used


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_nodes_picture_is_small_and_legible(page: Path) -> None:
    path = DOCS / f"{page.stem}.png"
    assert path.stat().st_size <= MAX_BYTES
    with Image.open(path) as picture:
        assert picture.mode == "P" and picture.width >= 150 and picture.height >= 60
