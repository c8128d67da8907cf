"""The page of a check: one HTML file, its pictures inside. Everything in it is escaped."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from html import escape

from PIL import Image, ImageDraw

from .report import Report, Row, Shot, rounded

SIDE, QUALITY = 288, 85
OUTLINE = (255, 210, 0)
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; } td, th { padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top; }
.works { color: #080; } .fails, .broke { color: #c22; } .refused, .left { color: #777; }
.shots { display: flex; flex-wrap: wrap; gap: 1rem; margin: .5rem 0 1.5rem; } figure { margin: 0; max-width: 18rem; }
img { display: block; max-width: 100%; } figcaption, small { color: #777; font-size: .85rem; }
pre { background: #8882; padding: .5rem; } h2 { border-top: 1px solid #8884; padding-top: 1rem; }
"""
WORDS = {"works": "works here", "fails": "does not work here", "told": "measured", "refused": "not on this model",
         "left out": "left out", "broke": "broke"}
INTRO = ("What Attention Director does on this model. All prompts are the pack's own; the numbers of different models "
         "do not compare.")


def page(report: Report) -> str:
    """The whole file."""
    checks = list(dict.fromkeys(row.check for row in report.rows))
    sections = "".join(_section(check, [row for row in report.rows if row.check == check]) for check in checks)
    ended = " It was interrupted; what is here was done before." if report.interrupted else ""
    return (f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Attention Director: self check</title>'
            f"<style>{STYLE}</style><h1>Self check</h1><p>{INTRO} It took {report.seconds:.0f} s.{ended}</p>"
            f"{_table(_verdicts(report.verdicts.values()))}{_table(_facts(report))}{sections}</html>\n")


def _verdicts(rows: Iterable[Row]) -> list[Sequence[str]]:
    return [(f"<b>{escape(row.check)}</b>", _verdict(row), escape(row.says)) for row in rows]


def _verdict(row: Row) -> str:
    return f'<span class="{row.verdict.split()[0]}">{WORDS[row.verdict]}</span>'


def _facts(report: Report) -> list[Sequence[str]]:
    return [(f"<small>{escape(name)}</small>", f"<small>{escape(_said(value))}</small>")
            for name, value in report.machine.items()]


def _said(value: str | float) -> str:
    return value if isinstance(value, str) else f"{rounded(value):g}" if rounded(value) is not None else "?"


def _table(rows: Iterable[Sequence[str]]) -> str:
    return "<table>" + "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows) + "</table>"


def _section(check: str, rows: Sequence[Row]) -> str:
    parts = [f"<h2>{escape(check)}</h2>"]
    for row in rows:
        name = f"<b>{escape(row.case)}</b> " if row.case else "<b>All in all</b> "
        paste = f"<pre>{escape(row.paste)}</pre>" if row.paste else ""
        shots = f'<div class="shots">{"".join(map(_figure, row.shots))}</div>' if row.shots else ""
        parts.append(f"<p>{name}{_verdict(row)}: {escape(row.says)}</p>{paste}{shots}")
    return "".join(parts)


def _figure(shot: Shot) -> str:
    data = base64.b64encode(jpeg(shot)).decode("ascii")
    return (f'<figure><img src="data:image/jpeg;base64,{data}" alt="{escape(shot.caption, quote=True)}">'
            f"<figcaption>{escape(shot.caption)}</figcaption></figure>")


def image_of(shot: Shot, side: int = SIDE) -> Image.Image:
    """The picture at a size for a page, its boxes outlined."""
    made = Image.fromarray(shot.picture.numpy())
    scale = side / max(made.size)
    made = made.resize((max(1, round(made.width * scale)), max(1, round(made.height * scale))))
    pen = ImageDraw.Draw(made)
    for left, top, right, bottom in shot.boxes:
        pen.rectangle((left * made.width, top * made.height, right * made.width - 1, bottom * made.height - 1),
                      outline=OUTLINE, width=2)
    return made


def jpeg(shot: Shot) -> bytes:
    out = io.BytesIO()
    image_of(shot).save(out, "JPEG", quality=QUALITY)
    return out.getvalue()
