"""The tables of docs/measured.md: which row of which result stands where, and by what name a reader knows it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from .results import Row, grid

Found = Mapping[str, Row]  # the rows of one bench by their name: "ours", "ours/add/real"


@dataclass(frozen=True)
class Column:
    """A column: its heading, and what it shows of a row. A row without the metric leaves the cell empty."""

    heading: str
    metric: str
    form: str


@dataclass(frozen=True)
class Table:
    """Rows in their order, as (name of the row, what the reader calls it)."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, str], ...]

    def draw(self, found: Found) -> str:
        """As Markdown. Raises KeyError for a row that was not measured."""
        body = [[label, *(_cell(found[name], column) for column in self.columns)] for name, label in self.rows]
        return grid([["", *(column.heading for column in self.columns)], *body])


def _cell(row: Row, column: Column) -> str:
    return column.form.format(row[column.metric]) if column.metric in row else ""


LAYOUT = Table(
    (Column("right object in its box", "binding", "{:.0%}"), Column("layout IoU", "iou", "{:.3f}"),
     Column("missing", "missing", "{:.2f}"), Column("added", "added", "{:.2f}"),
     Column("time of a run", "time_ratio", "{:.2f}x"), Column("evaluations per step", "evaluations", "{:.1f}")),
    (("unpatched", "without the node"),
     ("host-mask", "one ConditioningSetMask per region"),
     ("host-area", "one ConditioningSetArea per region"),
     ("hard-mask", "hard mask over separately encoded regions"),
     ("hard-mask-base", "the same, with the whole prompt added everywhere"),
     ("ours", "**Region Prompt, strong**"),
     ("ours-paper", "Region Prompt, paper"),
     ("ours-paper-strict", "paper, with unbound words and uncovered pixels as published"),
     ("ours-paper-cross", "paper without cross-attention"),
     ("ours-paper-self", "paper without self-attention"),
     ("ours-paper-value-range", "paper without the value range"),
     ("ours-paper-area", "paper without the area term")))

TRANSFORMER_LAYOUT = Table(
    (Column("right thing in its box", "binding", "{:.0%}"), Column("layout IoU", "iou", "{:.2f}"),
     Column("missing", "missing", "{:.2f}"), Column("added", "added", "{:.2f}"),
     Column("time of a step", "step_ratio", "{:.2f}x"), Column("evaluations per step", "evaluations", "{:.1f}"),
     Column("n", "n", "{:.0f}")),
    (("unpatched", "without the node"),
     ("host-mask", "one ConditioningSetMask per region"),
     ("hard-mask", "hard mask over text and image, base ratio 0.2"),
     ("ours", "**Region Prompt, strong**"),
     ("ours-paper", "Region Prompt, paper"),
     ("ours-raise", "strong with text share *raise*"),
     ("ours-without-margin", "strong without its margin"),
     ("ours-without-padding", "strong with padding of everybody")))

LANDING = Table(
    (Column("same verdict", "agree", "{:.0%}"), Column("of those that missed, red", "found", "{:.0%}"),
     Column("of the red, missed", "right", "{:.0%}"), Column("missed", "missed", "{:.0f}"),
     Column("red", "red", "{:.0f}"), Column("n", "n", "{:.0f}")),
    (("4 steps", "4 steps"), ("8 steps", "8 steps")))

SUBJECT = Table(
    (Column("similarity", "same_subject", "{:.2f}"), Column("of pairs that both show it", "same_drawn", "{:.2f}"),
     Column("same palette", "same_palette", "{:.2f}"), Column("subject shown", "drawn", "{:.0%}"),
     Column("rest of the prompt", "obedience", "{:.0%}"), Column("variety", "diversity", "{:.2f}"),
     Column("time of a run", "time_ratio", "{:.2f}x"), Column("memory", "memory_ratio", "{:.2f}x")),
    (("unpatched", "without the node"),
     ("shared-seed", "the same seed for every scene"),
     ("whole-batch", "attention to the whole batch, no masks"),
     ("ours", "**Shared Subject**, as in the examples"),
     ("ours-one-pass", "in one pass"),
     ("ours-sdsa", "without shared attention"),
     ("ours-injection", "without injection"),
     ("ours-paper", "the node's defaults, which are the paper's for SDXL"),
     ("ours-paper-dropout", "the defaults without their dropout")))

TRANSFORMER_SUBJECT = Table(
    (Column("similarity", "same_subject", "{:.2f}"), Column("surely the same", "same_look", "{:.0%}"),
     Column("subject shown", "drawn", "{:.0%}"), Column("rest of the prompt", "obedience", "{:.0%}"),
     Column("variety", "diversity", "{:.2f}"), Column("time of a run", "time_ratio", "{:.2f}x"),
     Column("n", "n", "{:.0f}")),
    (("unpatched", "without the node"),
     ("shared-seed", "the same seed for every scene"),
     ("naive", "shared keys at the anchors' own places"),
     ("ours", "**Shared Subject**, as its help page advises"),
     ("ours-one-pass", "in one pass"),
     ("ours-own-places", "without turning"),
     ("ours-boxes", "turned by boxes alone, without matches"),
     ("ours-no-injection", "without injection")))

SUBJECT_SIZES = Table(
    (Column("time of a run", "time_ratio", "{:.2f}x"), Column("memory", "memory_ratio", "{:.2f}x")),
    tuple((f"{name}/{count}", f"{label}, {count} scenes") for name, label in (
        ("ours", "two passes"), ("ours-one-pass", "one pass"), ("whole-batch", "whole batch, no masks"))
        for count in (2, 4, 8)))

IDENTITY = Table(
    (Column("match, one subject", "match_one", "{:.0%}"), Column("match, two subjects", "match_two", "{:.0%}"),
     Column("blending", "blending", "{:.0%}"), Column("prompt followed", "obedience", "{:.0%}"),
     Column("time per step", "step_ratio", "{:.2f}x")),
    (("rendered", "the rendered picture, after the VAE"),
     ("unpatched", "words only"),
     ("ours", "**Identity Inject**"),
     ("ours-localised", "with `localise`"),
     ("ours-no-delay", "subjects from the first step"),
     ("ours-late", "subjects from 50% on"),
     ("ours-words-only", "without the adapter's UNet weights"),
     ("ours-no-localisation-loss", "adapter trained without the localisation loss"),
     ("ours-no-localisation-loss-localised", "the same, with `localise`")))

TRANSFORMER_IDENTITY = Table(
    (Column("match, one person", "match_one", "{:.0%}"), Column("match, two people", "match_two", "{:.0%}"),
     Column("blending", "blending", "{:.0%}"), Column("prompt followed, one", "obedience_one", "{:.0%}"),
     Column("two", "obedience_two", "{:.0%}"), Column("time of a step", "step_ratio", "{:.2f}x")),
    (("unpatched", "words only"),
     ("references", "the pictures as plain reference latents"),
     ("ours", "**Identity Inject**, `localise` 1"),
     ("references-boxes", "Region Prompt with a box each, plain reference latents"),
     ("ours-boxes", "Region Prompt with a box each, **Identity Inject**"),
     ("ours-masks", "the same, the boxes also as masks of the people")))

_GUIDED = (("ours", "**Sketch Guidance**, defaults (the paper's 50%)"),
           ("ours-end-0.7", "guided to 70%"),
           ("ours-longer", "to 80%, strength 1.2 instead of 1.6"))
SKETCH = Table(
    (Column("edges, F1", "edge_f1", "{:.2f}"), Column("mean distance, px", "chamfer", "{:.1f}"),
     Column("right objects", "objects", "{:.0%}"), Column("clean tones", "realism", "{:.0%}"),
     Column("time of a run", "time_ratio", "{:.2f}x")),
    (("rendered", "the rendered picture, after the VAE"),
     ("unpatched", "words only"),
     ("sdedit-60", "image-to-image from the drawing, denoise 0.6"),
     ("sdedit-75", "denoise 0.75"),
     ("sdedit-90", "denoise 0.9"),
     *_GUIDED,
     ("ours-end-0.3", "to 30%"),
     ("ours-strength-0.4", "strength 0.4"),
     ("ours-strength-0.8", "strength 0.8"),
     ("ours-strength-1.2", "strength 1.2"),
     ("ours-strength-2.0", "strength 2"),
     ("ours-every-second", "every second step")))

TRANSFORMER_SKETCH = Table(
    (Column("edges, F1", "edge_f1", "{:.2f}"), Column("drawn lines found", "recall", "{:.0%}"),
     Column("mean distance, px", "chamfer", "{:.1f}"), Column("right things", "right", "{:.0%}"),
     Column("where they were drawn", "placed", "{:.0%}"), Column("time of a run", "time_ratio", "{:.2f}x"),
     Column("n", "n", "{:.0f}")),
    (("rendered", "the rendered picture, after the VAE"),
     ("unpatched", "words only"),
     ("sdedit-80", "image-to-image from the drawing, denoise 0.8"),
     ("ours", "**Sketch Guidance**, strength 1.6 to 60%"),
     ("ours/things", "drawings of things alone"),
     ("ours/scene", "drawings of whole scenes")))

COST = Table(
    (Column("time", "time_ratio", "{:.2f}x"), Column("least", "least", "{:.2f}"), Column("most", "most", "{:.2f}"),
     Column("peak memory beside the weights, MB", "peak_mb", "{:.0f}")),
    (("unpatched, 1 in a batch", "plain step, one picture"),
     ("region-strong", "Region Prompt, strong"),
     ("region-paper", "Region Prompt, paper"),
     ("record", "Record Attention"),
     ("sketch", "Sketch Guidance"),
     ("sketch-checkpointing", "Sketch Guidance with checkpointing"),
     ("sketch-half-run", "a run of which Sketch Guidance guides half the steps"),
     ("unpatched, 2 in a batch", "plain step, two pictures"),
     ("edit-replace", "Attention Edit, replace"),
     ("edit-refine", "Attention Edit, refine"),
     ("edit-blend", "Attention Edit with blend_words")))

KINDS = {"colour": "colour", "shape": "shape", "add": "add", "remove": "remove", "ground": "background"}
EDITS = (("unpatched", "same seed, new prompt"),
         ("schedule-20", "prompt scheduling, new prompt from 20%"),
         ("schedule-40", "new prompt from 40%"),
         ("sdedit-40", "image-to-image, denoise 0.4"),
         ("sdedit-60", "denoise 0.6"),
         ("sdedit-80", "denoise 0.8"),
         ("ours", "**Attention Edit**, as its help page advises"),
         ("ours-placed", "with a Region Prompt box for the added object"),
         ("ours-defaults", "with the defaults (removing: by a weight of -2)"),
         ("ours-blend", "without blend_words"))
TRANSFORMER_KINDS = {"swap": "another thing", "add": "one more", "remove": "one less", "place": "another place"}
TRANSFORMER_EDITS = (("unpatched", "same seed, new prompt"),
                     ("schedule-20", "prompt scheduling, new prompt from 20%"),
                     ("schedule-40", "new prompt from 40%"),
                     ("sdedit-40", "image-to-image, denoise 0.4"),
                     ("sdedit-60", "denoise 0.6"),
                     ("sdedit-80", "denoise 0.8"),
                     ("flow-edit", "FlowEdit, 16 steps"),
                     ("ours", "**Attention Edit**, as its help page advises"),
                     ("ours-placed", "with a Region Prompt box for one more"),
                     ("ours-shapes", "without mix_words"),
                     ("ours-blend", "without blend_words"))
WEIGHTS = ("-2", "-1", "0", "1", "2", "4")
INVERSIONS = ("direct", "edit-friendly", "negative-prompt", "ddim", "null-text")
DRAWINGS = ("clean", "thick", "wobbly", "partial")
PARTS = (("rendered", "the rendered picture, after the VAE"), *_GUIDED)


def edits(found: Found, picture: str) -> str:
    """Success / PSNR of each way (rows) and kind of edit (columns); a way that was not tried is left empty."""
    def cell(way: str, kind: str) -> str:
        row = found.get(f"{way}/{kind}/{picture}")
        return f"{row['success']:.0%} / {row['psnr_outside']:.0f}" if row else ""

    heading = [f"{name} (n = {found[f'ours/{kind}/{picture}']['edits']:.0f})" for kind, name in KINDS.items()]
    return grid([["", *heading], *([label, *(cell(way, kind) for kind in KINDS)] for way, label in EDITS)])


def transformer_edits(found: Found) -> str:
    """The same on the transformer; a way that was not tried is left empty. n: edits of a kind."""
    def cells(way: str) -> list[str]:
        rows = [found.get(f"{way}/{kind}") for kind in TRANSFORMER_KINDS]
        least, most = (pick(float(row["n"]) for row in rows if row) for pick in (min, max))
        return [*(f"{row['success']:.0%} / {row['psnr_outside']:.0f}" if row else "" for row in rows),
                f"{least:.0f}" if least == most else f"{least:.0f} to {most:.0f}"]

    tried = [(way, label) for way, label in TRANSFORMER_EDITS if any(f"{way}/{kind}" in found
                                                                     for kind in TRANSFORMER_KINDS)]
    return grid([["", *TRANSFORMER_KINDS.values(), "n"], *([label, *cells(way)] for way, label in tried)])


def weights(found: Found) -> str:
    def share(weight: str, picture: str) -> str:
        return f"{found[f'ours/weight {weight}/{picture}']['share']:.1%}"

    rows = [(label, picture) for label, picture in (("generated pictures", "drawn"), ("real pictures", "real"))]
    return grid([["weight of the word", *WEIGHTS],
                 *([label, *(share(weight, picture) for weight in WEIGHTS)] for label, picture in rows)])


def inversions(found: Found) -> str:
    rows = [(name, found[f"{name}/inversion/real"]) for name in INVERSIONS]
    return grid([["method", "mean PSNR, dB", "least"],
                 *([name, f"{row['psnr']:.1f}", f"{row['psnr_least']:.1f}"] for name, row in rows)])


def drawings(found: Found) -> str:
    """Edge F1 of each kind of drawing."""
    return grid([["edges, F1", *DRAWINGS],
                 *([label, *(f"{found[f'{way}/{kind}']['edge_f1']:.2f}" for kind in DRAWINGS)]
                   for way, label in PARTS)])


def tables(found: Mapping[str, Found]) -> dict[str, str]:
    """Every table of the page, by the name that its template calls it."""
    plain: Sequence[tuple[str, Table, str]] = (
        ("layout", LAYOUT, "layout"), ("transformer_layout", TRANSFORMER_LAYOUT, "storybook_layout"),
        ("landing", LANDING, "storybook_landing"),
        ("subject", SUBJECT, "subject"), ("subject_sizes", SUBJECT_SIZES, "subject"),
        ("transformer_subject", TRANSFORMER_SUBJECT, "storybook_subject"), ("identity", IDENTITY, "identity"),
        ("transformer_identity", TRANSFORMER_IDENTITY, "storybook_identity"), ("sketch", SKETCH, "sketch"),
        ("transformer_sketch", TRANSFORMER_SKETCH, "storybook_sketch"),
        ("cost", COST, "cost"))
    crossed: Mapping[str, tuple[Callable[[Found], str], str]] = {
        "edit_generated": (lambda rows: edits(rows, "drawn"), "edit"),
        "edit_real": (lambda rows: edits(rows, "real"), "edit"),
        "transformer_edits": (transformer_edits, "storybook_edit"),
        "weights": (weights, "edit"), "inversions": (inversions, "edit"), "drawings": (drawings, "sketch")}
    return ({name: table.draw(found[bench]) for name, table, bench in plain}
            | {name: make(found[bench]) for name, (make, bench) in crossed.items()})
