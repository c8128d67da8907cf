"""The pictures on the examples' cards: python3 lab/run.py cards [words of a name ...]

Each example runs in the real server. First what the person drew or gave, then what came; of a comparison only the
directed side, for a card is small. 512 x 512, with room at the edges that a card may cut.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from client import Server
from graph import to_prompt
from PIL import Image
from templates import examples

SIDE, GAP, MOST = 512, 8, 4
GROUND = (96, 98, 110)  # lighter than a mark
DRAWN = ("RegionPrompt", "AttnDirSketch", "AttnDirExampleImage")  # nodes that show what a person drew or gave
HIDDEN = ("Plain",)


def pictures_of(server: Server, path: Path) -> list[Image.Image]:
    """What was drawn or given, then what came; nothing twice. Raises RuntimeError where the example does not run."""
    graph = to_prompt(json.loads(path.read_text(encoding="utf-8")), server.object_info())
    outcome = server.queue(graph)
    if outcome.error:
        raise RuntimeError(f"{path.stem}: {outcome.error}")
    shown = [picture for picture in server.images(outcome.prompt_id)
             if graph[picture.node]["_meta"]["title"] not in HIDDEN]
    shown.sort(key=lambda picture: graph[picture.node]["class_type"] not in DRAWN)
    opened = [Image.open(io.BytesIO(picture.data)).convert("RGB") for picture in shown]
    return list({picture.tobytes(): picture for picture in opened}.values())


def card(pictures: Sequence[Image.Image]) -> bytes:
    """JPEG bytes: one picture alone, two side by side, up to four in rows of two."""
    pictures = pictures[:MOST]
    columns = min(2, len(pictures))
    room = (SIDE - (columns - 1) * GAP) // columns
    sized = [picture.resize((room, max(1, round(picture.height * room / picture.width))), Image.Resampling.LANCZOS)
             for picture in pictures]
    rows = [sized[i:i + columns] for i in range(0, len(sized), columns)]
    heights = [max(picture.height for picture in row) for row in rows]
    sheet = Image.new("RGB", (SIDE, SIDE), GROUND)
    y = (SIDE - sum(heights) - GAP * (len(rows) - 1)) // 2
    for row, height in zip(rows, heights, strict=True):
        left = (SIDE - len(row) * (room + GAP) + GAP) // 2  # the odd one stands in the middle
        for column, picture in enumerate(row):
            sheet.paste(picture, (left + column * (room + GAP), y + (height - picture.height) // 2))
        y += height + GAP
    data = io.BytesIO()
    sheet.save(data, "JPEG", quality=88, optimize=True)
    return data.getvalue()


def main() -> None:
    wanted = " ".join(sys.argv[1:]).lower()
    with Server() as server:
        for path in examples():
            if wanted in path.stem.lower():
                path.with_suffix(".jpg").write_bytes(card(pictures_of(server, path)))
                print(path.stem, flush=True)


if __name__ == "__main__":
    main()
