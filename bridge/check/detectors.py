"""A second opinion on what was drawn where: RT-DETR or SAM 3, by the host's own nodes, where a person has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.sd
import folder_paths
import torch

from .case import attempt
from .report import Row
from .scenes import Box, Thing

# Folders of the host, and what the files are called that its own templates take.
PLACES = (("diffusion_models", re.compile(r"rt.?detr", re.IGNORECASE), "RT-DETR"),
          ("checkpoints", re.compile(r"sam.?3(?!\d)", re.IGNORECASE), "SAM 3"))
SURE = 0.4


@dataclass(frozen=True, eq=False)
class Detector:
    """find: (picture [1, H, W, 3], thing) -> boxes of what it takes for that thing."""

    name: str
    find: Callable[[torch.Tensor, Thing], list[Box]]

    def fits(self, picture: torch.Tensor, things: Sequence[Thing]) -> list[float]:
        """How well each thing lies in its box: the best intersection over union, 0 where there is none."""
        return [max((iou(box, thing.box) for box in self.find(picture[None], thing)), default=0.0) for thing in things]


def detector() -> tuple[Detector | None, str]:
    """(the first that a person has, why the one that is there is not to be had)."""
    for folder, name_like, name in PLACES:
        for file in folder_paths.get_filename_list(folder):
            if name_like.search(file):
                found = attempt(name, "", lambda name=name, folder=folder, file=file: LOADERS[name](
                    folder_paths.get_full_path_or_raise(folder, file)))
                return (None, f"{name} is there and could not be loaded") if isinstance(found, Row) else (found, "")
    return None, ""


def rt_detr(path: str) -> Detector:
    from comfy_extras.nodes_rtdetr import RTDETR_detect

    model = comfy.sd.load_diffusion_model(path)

    def find(picture: torch.Tensor, thing: Thing) -> list[Box]:
        found = RTDETR_detect.execute(model, picture, SURE, thing.kind or thing.phrase, 100).args[0][0]
        return list(boxes(found, picture))

    return Detector("RT-DETR", find)


def sam_3(path: str) -> Detector:
    from comfy_extras.nodes_sam3 import SAM3_Detect

    model, clip, *_ = comfy.sd.load_checkpoint_guess_config(path, output_vae=False, output_clip=True)
    if clip is None:
        raise ValueError("the file has no text encoder")

    def find(picture: torch.Tensor, thing: Thing) -> list[Box]:
        asked = clip.encode_from_tokens_scheduled(clip.tokenize(thing.phrase))
        found = SAM3_Detect.execute(model, picture, asked, threshold=SURE, refine_iterations=0).args[1][0]
        return list(boxes(found, picture))

    return Detector("SAM 3", find)


LOADERS: dict[str, Callable[[str], Detector]] = {"RT-DETR": rt_detr, "SAM 3": sam_3}


def boxes(found: Sequence[dict[str, Any]], picture: torch.Tensor) -> Iterator[Box]:
    """The host's boxes in pixels as shares of the picture [1, H, W, 3]."""
    height, width = picture.shape[1:3]
    for box in found:
        left, top = box["x"] / width, box["y"] / height
        yield left, top, left + box["width"] / width, top + box["height"] / height


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes."""
    shared = max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / both if both > 0 else 0.0
