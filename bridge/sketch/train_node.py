"""The training node's work: inputs as the host gives them, progress, previews, and the interrupt."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.utils
import torch
from PIL import Image

from ...core.lines import areas_of, thinned
from ..convert import require_pictures
from ..errors import DirectorError
from ..run.status import send_status
from ..untrusted import as_text, require_number, within
from .drawing import read_picture
from .edges import edges_of
from .examples import Examples, encode_examples
from .predictor import MAX_LINE_PX, Predictor
from .train import Trained, TrainingOptions, check_model, predict, train

PREVIEW_PX = 512
SHOWN = 4
PREVIEWS = 10  # in a whole training
PREVIEW_PROGRESS = 0.4
LOOKED_AT = 16  # maps, to tell what kind they are and how wide their lines

log = logging.getLogger("attention_director")


@dataclass(frozen=True, eq=False)
class Request:
    """What the node was given. images, maps: IMAGE batches [N, H, W, C], one or many."""

    model: Any
    clip: Any
    vae: Any
    images: tuple[torch.Tensor, ...]
    texts: tuple[str, ...]
    maps: tuple[torch.Tensor, ...] = ()
    predictor: Predictor | None = None
    steps: int = 3000
    batch_size: int = 4
    learning_rate: float = 1e-4
    seed: int = 0
    maps_are: str = "auto"
    edge_threshold: float = 0.1
    edge_thickness: int = 2


def run(node: str, unique_id: str, request: Request) -> tuple[Trained, torch.Tensor]:
    """(what was trained, the preview IMAGE). Raises DirectorError before any training for what cannot be."""
    check_model(node, request.model)
    if request.clip is None or request.vae is None:
        raise DirectorError(node, "the clip or vae input is empty; wire those of the checkpoint.")
    _check(node, request)
    pictures = [picture for batch in request.images for picture in batch[..., :3]]
    maps, kind, line_px = _maps(node, request, pictures)
    examples = encode_examples(node, request.model, request.clip, request.vae, pictures, request.texts, maps)
    options = TrainingOptions(request.steps, request.batch_size, request.learning_rate, request.seed, kind, line_px)
    bar = comfy.utils.ProgressBar(request.steps)

    def tell(step: int, loss: float, so_far: Any) -> None:
        shown = None
        if request.steps >= PREVIEWS and step % (request.steps // PREVIEWS) == 0 and step < request.steps:
            shown = ("JPEG", _as_image(_preview(node, request, examples, so_far(), pictures, 1)), PREVIEW_PX)
            send_status(f"{unique_id}/training", node, f"step {step} of {request.steps}; loss {loss:.4f}")
        bar.update_absolute(step, request.steps, shown)

    trained = train(node, request.model, examples, options, request.predictor, tell)
    ending = "interrupted after" if trained.interrupted else "trained"
    send_status(f"{unique_id}/training", node, f"{ending} {len(trained.losses)} steps; loss "
                                               f"{_mean(trained.losses[-50:]):.4f}")
    return trained, _preview(node, request, examples, trained.predictor, pictures, SHOWN)


def _check(node: str, request: Request) -> None:
    """Linked numbers pass by the widgets' limits, and a list may be empty. Raises DirectorError."""
    for name, most in (("steps", 1_000_000), ("batch_size", 1024), ("edge_thickness", MAX_LINE_PX)):
        require_number(node, name, getattr(request, name), 1, most)
    require_number(node, "edge_threshold", request.edge_threshold, 0, 1)
    if not within(request.learning_rate, 0, 1e30):
        raise DirectorError(node, f"learning_rate is {as_text(request.learning_rate)}; give one such as 0.0001.")
    if not request.images:
        raise DirectorError(node, "there are no images; wire some.")
    for batch in request.images:
        require_pictures(node, "images", batch)
    for batch in request.maps:
        require_pictures(node, "maps", batch)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _maps(node: str, request: Request, pictures: list[torch.Tensor]) -> tuple[list[torch.Tensor], str, int]:
    """(one map [H, W] a picture, "edges" or "map", width of the lines)."""
    given = [one for batch in request.maps for one in batch]
    start = request.predictor
    if not given:
        if start is not None and start.map_kind != "edges":
            raise DirectorError(node, "the predictor to go on with was trained on other maps than edges; wire maps.")
        width = start.line_px if start else request.edge_thickness
        return ([edges_of(p[None], request.edge_threshold, width, node)[0] for p in pictures], "edges", width)
    if len(given) != len(pictures):
        raise DirectorError(node, f"{len(given)} maps for {len(pictures)} images; give one map an image.")
    kind = start.map_kind if start else _kind(request.maps_are, given)
    fitted = [_fit(read_picture(one[None], "auto", kind), picture)
              for one, picture in zip(given, pictures, strict=True)]
    return fitted, kind, start.line_px if start else _line_px(fitted) if kind == "edges" else 1


def _kind(maps_are: str, maps: list[torch.Tensor]) -> str:
    """Nearly black and white, mostly one of them, and the other in strokes, not in areas: lines."""
    if maps_are != "auto":
        return "edges" if maps_are == "lines" else "map"
    greys = [one[..., :3].mean(-1) for one in maps]
    grey = torch.cat([one.flatten() for one in greys])
    clear = float(((grey < 0.1) | (grey > 0.9)).float().mean())
    bright = float((grey > 0.5).float().mean())
    drawn = [(one > 0.5) != (bright > 0.5) for one in greys[:LOOKED_AT]]
    wide = sum(int(areas_of(d[None]).sum()) for d in drawn) / max(1, sum(int(d.sum()) for d in drawn))
    return "edges" if clear > 0.85 and min(bright, 1 - bright) < 0.25 and wide < 0.25 else "map"


def _line_px(maps: list[torch.Tensor]) -> int:
    """The usual width of lines: area over the length of their middle lines."""
    drawn = [one > 0.5 for one in maps[:LOOKED_AT]]
    area, length = sum(int(d.sum()) for d in drawn), sum(int(thinned(d[None]).sum()) for d in drawn)
    return min(MAX_LINE_PX, max(1, round(area / max(1, length))))


def _fit(one: torch.Tensor, picture: torch.Tensor) -> torch.Tensor:
    """A map [1, H, W] at its picture's size: [H, W]."""
    size = picture.shape[:2]
    if tuple(one.shape[-2:]) == tuple(size):
        return one[0]
    return torch.nn.functional.interpolate(one[:, None], size=size, mode="area")[0, 0]


def _preview(node: str, request: Request, examples: Examples, predictor: Predictor,
             pictures: list[torch.Tensor], count: int) -> torch.Tensor:
    """Rows of picture, true map, predicted map, decoded by the VAE: IMAGE [1, H, W, 3]."""
    rows = []
    first = pictures[0].shape
    for i in [i for i, p in enumerate(pictures) if p.shape == first][:count]:
        found = predict(node, request.model, predictor, examples, i, PREVIEW_PROGRESS, request.seed)
        both = torch.cat((examples.maps[i][None], found.cpu()))
        decoded = request.vae.decode(request.model.model.latent_format.process_out(both)).float().cpu().clamp(0, 1)
        tiles = [pictures[i].float().cpu(), *decoded]
        size = min(t.shape[0] for t in tiles), min(t.shape[1] for t in tiles)
        rows.append(torch.cat([t[:size[0], :size[1], :3] for t in tiles], 1))
    return torch.cat(rows)[None]


def _as_image(picture: torch.Tensor) -> Image.Image:
    return Image.fromarray((picture[0] * 255).round().to(torch.uint8).numpy())
