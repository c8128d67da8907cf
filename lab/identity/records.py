"""What the trainer learns from: pictures with captions, and the subjects that stand in them.

A folder of your own is a JSONL file with pictures beside it, one line a picture:

    {"image": "0001.jpg", "caption": "a man and a woman reading",
     "subjects": [{"phrase": "man", "mask": "0001-man.png"}, {"phrase": "woman", "mask": "0001-woman.png"}]}

phrase: words of the caption ("man#2" for the second man); mask: white where the subject is. Paths are
relative to the JSONL file and stay in its folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import cv2
import numpy as np
from world.caption import caption
from world.render import render
from world.scene import BACKGROUNDS, COLOURS, CREATURE, SHAPES, Scene, Thing, place_things, sample_coat

MAX_SUBJECTS = 4  # the paper's cap in training


@dataclass(frozen=True, eq=False)
class Record:
    """picture: uint8 [H, W, 3] RGB. phrases: words of the caption; masks: bool [subjects, H, W]."""

    picture: np.ndarray
    caption: str
    phrases: tuple[str, ...]
    masks: np.ndarray


def creature_scene(rng: Random, creatures: int, shapes: int) -> Scene:
    """So many creatures with coats of their own among so many coloured shapes of different looks."""
    looks = rng.sample([(c, s) for c in COLOURS for s in SHAPES], shapes)
    places = place_things(rng, creatures + shapes)
    things = [Thing(CREATURE, "", *place, sample_coat(rng)) for place in places[:creatures]]
    things += [Thing(s, c, *place) for (c, s), place in zip(looks, places[creatures:], strict=True)]
    rng.shuffle(things)
    return Scene(rng.choice(list(BACKGROUNDS)), tuple(things))


def creature_record(seed: int, index: int) -> Record:
    """Training picture ``index`` of the tiny world: one creature or two, often with a shape beside."""
    rng = Random(f"{seed}/identity/{index}")
    creatures = 1 if rng.random() < 0.55 else 2
    scene = creature_scene(rng, creatures, rng.choice((0, 0, 1)))
    picture, masks = render(scene)
    kept = [i for i, thing in enumerate(scene.things) if thing.coat]
    phrases = tuple(f"{CREATURE}#{n}" for n, _ in enumerate(kept, 1))
    return Record(picture, caption(scene, rng, fillers=0.0), phrases, masks[kept])


def world_records(seed: int, count: int) -> Iterator[Record]:
    for index in range(count):
        yield creature_record(seed, index)


def _inside(folder: Path, name: str) -> Path:
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise SystemExit(f"{name} lies outside {folder}; keep pictures and masks beside the JSONL file")
    return path


def _read(path: Path, flags: int) -> np.ndarray:
    found = cv2.imread(str(path), flags)
    if found is None:
        raise SystemExit(f"{path} is missing or no picture")
    return found


def _squared(picture: np.ndarray, size: int, way: int) -> np.ndarray:
    """The middle square of a picture, resized."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return cv2.resize(picture[top:top + side, left:left + side], (size, size), interpolation=way)


def folder_record(folder: Path, line: str, size: int) -> Record:
    """One line of the JSONL file; subjects whose mask is empty in the middle square are left out."""
    entry = json.loads(line)
    picture = _read(_inside(folder, entry["image"]), cv2.IMREAD_COLOR)[..., ::-1]
    found = [(s["phrase"], _squared(_read(_inside(folder, s["mask"]), cv2.IMREAD_GRAYSCALE), size,
                                    cv2.INTER_AREA) > 127) for s in entry.get("subjects", ())[:MAX_SUBJECTS]]
    found = [(phrase, mask) for phrase, mask in found if mask.any()]
    masks = np.stack([mask for _, mask in found]) if found else np.zeros((0, size, size), bool)
    return Record(np.ascontiguousarray(_squared(picture, size, cv2.INTER_AREA)), entry["caption"],
                  tuple(phrase for phrase, _ in found), masks)


def folder_records(jsonl: Path, size: int) -> Iterator[Record]:
    with jsonl.open(encoding="utf-8") as lines:
        for line in lines:
            if line.strip():
                yield folder_record(jsonl.parent, line, size)
