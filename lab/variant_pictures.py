"""The thumbnail of a variant: its demo's picture, with a mark that says which family it is for."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

INK, GROUND = (255, 255, 255), (38, 38, 46)
PAD = 6
CUT = 0.12  # of each side, which a card may not show


def mark(thumbnail: Path, words: str) -> bytes:
    """JPEG bytes of the picture with the words in the middle of its lower part."""
    picture = Image.open(thumbnail).convert("RGB")
    drawing = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(16, picture.width // 20))
    left, top, right, bottom = drawing.textbbox((0, 0), words, font=font)
    width, height = right - left + 2 * PAD, bottom - top + 2 * PAD
    x, y = (picture.width - width) // 2, round(picture.height * (1 - CUT)) - height
    drawing.rectangle((x, y, x + width, y + height), fill=GROUND)
    drawing.text((x + PAD - left, y + PAD - top), words, font=font, fill=INK)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=88, optimize=True)
    return data.getvalue()
