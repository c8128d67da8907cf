"""The oracle: which thing of which colour stands where in any picture of the storybook world, and in whose look.

It says "unsure" below a threshold that was set on pictures it had not seen; an unsure thing counts as missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open

from .atlas import Atlas, read_atlas
from .cast import CLASSES, COLOURED, COLOURS, PLACES
from .course import save_whole
from .detector import Detector, Votes, overlap
from .scene import CANVAS_PX, Scene

SHIPPED = Path(__file__).with_name("oracle.safetensors")
CANDIDATE = 0.15  # objectness from which a cell is looked at at all
SAME_THING = 0.45  # IoU from which two votes are for one thing
SURE = 0.5  # before it is calibrated
RIGHT_IOU = 0.5


@dataclass(frozen=True, eq=False)
class Found:
    """One thing. box: left, top, right, bottom in pixels of a 256-pixel canvas; look: unit vector [E]; confidence:
    the least of being a thing, of this class and of this colour; sure: is that enough?"""

    phrase: str
    box: tuple[float, float, float, float]
    look: np.ndarray
    confidence: float
    sure: bool

    def iou(self, box: Sequence[float]) -> float:
        return float(overlap(torch.tensor(self.box), torch.tensor([float(x) for x in box])))


@dataclass(frozen=True, eq=False)
class Seen:
    """All that is in a picture. found: sure and unsure; ``things`` are the sure ones."""

    place: str
    found: tuple[Found, ...]

    @property
    def things(self) -> tuple[Found, ...]:
        return tuple(thing for thing in self.found if thing.sure)

    @property
    def unsure(self) -> int:
        return len(self.found) - len(self.things)

    @property
    def phrases(self) -> Counter[str]:
        return Counter(thing.phrase for thing in self.things)


class Oracle:
    """A trained detector and its threshold, on one device."""

    def __init__(self, net: Detector, threshold: float = SURE, device: torch.device | None = None) -> None:
        self.device = device or torch.device("cpu")
        self.net, self.threshold = net.to(self.device).eval(), threshold

    @torch.inference_mode()
    def look(self, pictures: torch.Tensor, batch: int = 32) -> list[Seen]:
        """What is in each of pictures [B, 3, H, W] in 0..1; another size than 256 is scaled, and its boxes too."""
        out: list[Seen] = []
        for start in range(0, len(pictures), batch):
            part = pictures[start:start + batch].to(self.device).float()
            if part.shape[-2:] != (CANVAS_PX, CANVAS_PX):
                part = F.interpolate(part, (CANVAS_PX, CANVAS_PX), mode="bilinear", antialias=True)
            votes = Votes(*(value.cpu() for value in vars(self.net(part)).values()))
            out += [self.one(votes, b) for b in range(len(part))]
        return out

    def look_at_bytes(self, pictures: np.ndarray) -> list[Seen]:
        """The same for uint8 [B, H, W, 3]."""
        return self.look(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255)

    def one(self, votes: Votes, b: int) -> Seen:
        """The things of one picture: the best vote first, and no second one for the same thing."""
        thing = votes.thing[b].sigmoid()
        order = thing.argsort(descending=True)[:int((thing >= CANDIDATE).sum())]
        boxes = votes.box[b, order]
        same = (overlap(boxes[:, None], boxes[None]) > SAME_THING).tolist()
        kept: list[int] = []
        for number in range(len(order)):
            if not any(same[number][other] for other in kept):
                kept.append(number)
        found = tuple(self.found(votes, b, cell, float(thing[cell])) for cell in order[kept].tolist())
        return Seen(list(PLACES)[int(votes.place[b].argmax())], found)

    def found(self, votes: Votes, b: int, cell: int, thing: float) -> Found:
        """What one cell votes for."""
        kind, colour = votes.kind[b, cell].softmax(-1), votes.colour[b, cell].softmax(-1)
        word = CLASSES[int(kind.argmax())]
        confidence = min(thing, float(kind.max()), float(colour.max()) if word in COLOURED else 1.0)
        phrase = f"{COLOURS[int(colour.argmax())]} {word}" if word in COLOURED else word
        return Found(phrase, tuple(votes.box[b, cell].tolist()), votes.look[b, cell].numpy(), confidence,
                     confidence >= self.threshold)

    def save(self, path: Path, facts: dict[str, str] | None = None) -> Path:
        """In half precision, the threshold with it."""
        weights = {key: value.cpu().half().contiguous() if value.is_floating_point() else value.cpu()
                   for key, value in self.net.state_dict().items()}
        width, embedding = self.net.stem[1][0].out_channels, self.net.prototypes.shape[1]
        save_whole(path, weights, {"threshold": f"{self.threshold:.4f}", "width": str(width),
                                   "embedding": str(embedding), **(facts or {})})
        return path

    @staticmethod
    def read(path: Path, device: torch.device | None = None, atlas: Atlas | None = None) -> Oracle:
        """The oracle of a file that ``save`` wrote."""
        with safe_open(str(path), "pt") as file:
            facts = file.metadata()
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (it is no dict)
        net = Detector(len(atlas or read_atlas()), int(facts["width"]), int(facts["embedding"]))
        net.load_state_dict({key: value.float() if value.is_floating_point() else value
                             for key, value in weights.items()})
        return Oracle(net, float(facts["threshold"]), device)


def matched(found: Sequence[Found], boxes: Sequence[Sequence[float]]) -> list[Found | None]:
    """For each box the thing that overlaps it most, from RIGHT_IOU on; one thing answers for one box."""
    pairs = sorted(((thing.iou(box), i, j) for i, box in enumerate(boxes) for j, thing in enumerate(found)),
                   reverse=True)
    out: list[Found | None] = [None] * len(boxes)
    taken: set[int] = set()
    for iou, i, j in pairs:
        if iou >= RIGHT_IOU and out[i] is None and j not in taken:
            out[i] = found[j]
            taken.add(j)
    return out


def recovered(seen: Seen, scene: Scene, boxes: Sequence[Sequence[float]]) -> list[bool]:
    """For each thing of a rendered scene with its box: is it found, surely, as itself?"""
    return [thing is not None and thing.phrase == wanted.phrase
            for thing, wanted in zip(matched(seen.things, boxes), scene.things, strict=True)]


def shows(seen: Seen, phrases: Sequence[str]) -> bool:
    """Is everything a caption names in the picture? Two dogs ask for two."""
    return not Counter(phrases) - seen.phrases
