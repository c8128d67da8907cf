"""API prompts for the tests; the editor's own files are in workflows/."""

from __future__ import annotations

import json
from typing import Any

from client import Graph

TEXT = "a red circle and a blue square on a white background"
BOXES = {"red circle": (0.05, 0.3, 0.45, 0.7), "blue square": (0.55, 0.3, 0.95, 0.7)}


def canvas(boxes: dict[str, tuple[float, ...]]) -> str:
    regions = [{"phrase": phrase, "strength": 1.0, "boxes": [list(box)]} for phrase, box in boxes.items()]
    return json.dumps({"version": 1, "regions": regions})


def region_inputs(**changes: Any) -> dict[str, Any]:
    return {"model": ["1", 0], "clip": ["1", 1], "text": TEXT, "canvas": canvas(BOXES), "width": 128, "height": 128,
            "strength": 1.0, "preset": "strong", "unbound_words": "everywhere", "uncovered": "background"} | changes


def graph(model: list[Any], positive: list[Any], steps: int, variant: int, nodes: Graph) -> Graph:
    """Demo model, sampler, picture. variant: graphs that differ in it alone draw the same picture, and
    the host does not answer one from its cache of the other."""
    return {
        "1": {"class_type": "AttnDirLoadDemoModel", "inputs": {}},
        "3": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": ""}},
        "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 128, "batch_size": 1}},
        "5": {"class_type": "LatentFromBatch",
              "inputs": {"samples": ["4", 0], "batch_index": 0, "length": 1 + variant}},
        "6": {"class_type": "KSampler", "inputs": {
            "model": model, "positive": positive, "negative": ["3", 0], "latent_image": ["5", 0], "seed": 7,
            "steps": steps, "cfg": 4.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0}},
        "7": {"class_type": "VAEDecode", "inputs": {"samples": ["6", 0], "vae": ["1", 2]}},
        "8": {"class_type": "SaveImage", "inputs": {"images": ["7", 0], "filename_prefix": "test"}},
        **nodes,
    }


def directed(steps: int = 6, variant: int = 0, **changes: Any) -> Graph:
    """With a RegionPrompt; changes are its inputs."""
    node = {"class_type": "RegionPrompt", "inputs": region_inputs(**changes)}
    return graph(["2", 0], ["2", 1], steps, variant, {"2": node})


def plain(steps: int = 6, variant: int = 0) -> Graph:
    """The same prompt without us."""
    node = {"class_type": "CLIPTextEncode", "inputs": {"clip": ["1", 1], "text": TEXT}}
    return graph(["1", 0], ["2", 0], steps, variant, {"2": node})
