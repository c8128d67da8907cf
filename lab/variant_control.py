"""Shared Subject with a control net: the demo story, every scene in the pose of one drawing.

The tiny world has no trained control net, so this workflow has no demo of its own, only variants.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from workflow_edit import (
    Workflow,
    add,
    connect,
    field,
    of_type,
    remove,
    remove_onwards,
    set_widget,
    socket,
    targets,
)


class Controlled(NamedTuple):
    """starter: of the workflow, behind the family; example: the one it is made from."""

    starter: str
    example: str


CONTROLLED = Controlled("Shared Subject with a control net", "Shared Subject - a story of four scenes")
SKETCH, LOADER, APPLY = 20, 21, 22
ROOM = 400  # what a node of its own needs to the left of the sampler
NOTE = ("Every scene takes the pose of the drawing, by a control net for scribbles or lines of yours: choose it in "
        "Load ControlNet Model. A control net pulls all scenes towards one pose, so its strength is 0.6 here and it "
        "ends at 60% of the run; *variety* 0.7 is what the paper takes beside one.")


def with_control_net(demo: Workflow) -> Workflow:
    """The story's directed half with Apply ControlNet before its sampler; the demo is not changed."""
    workflow = copy.deepcopy(demo)
    (subject,), (encode,) = (of_type(workflow, kind) for kind in ("SharedSubjectAttention", "AttnDirEncode"))
    free = encode["pos"]
    for plain, _ in targets(workflow, encode["id"], 0):
        remove_onwards(workflow, plain)
    remove(workflow, encode["id"])
    (sampler,) = of_type(workflow, "KSampler")
    place_control(workflow, free, sampler["pos"])
    for slot, name in enumerate(("positive", "negative")):
        before = next(link for link in workflow["links"] if link[3] == sampler["id"]
                      and sampler["inputs"][link[4]]["name"] == name)
        connect(workflow, before[1], before[2], APPLY, name)
        connect(workflow, APPLY, slot, sampler["id"], name)
    set_widget(subject, "variety", 0.7)
    for note in of_type(workflow, "MarkdownNote"):
        note["widgets_values"] = [NOTE]
    return workflow


def place_control(workflow: Workflow, free: Sequence[float], before: Sequence[float]) -> None:
    """The drawing, Load and Apply ControlNet. free: where the plain prompt stood; before: the sampler's place,
    which moves to the right with all that lies beyond it."""
    x, y = before
    for node in workflow["nodes"]:
        if node["pos"][0] >= x:
            node["pos"][0] += ROOM
    (latent,) = of_type(workflow, "EmptyLatentImage")
    add(workflow, SKETCH, "AttnDirSketch", (latent["pos"][0], latent["pos"][1] + 242), (320, 442),
        [socket("background", "IMAGE") | {"shape": 7}, *(field(n, "INT") for n in ("width", "height", "line_width"))],
        [("image", "IMAGE"), ("mask", "MASK")], [json.dumps(drawing()), *latent["widgets_values"][:2], 4])
    add(workflow, LOADER, "ControlNetLoader", free, (400, 58), [field("control_net_name")],
        [("CONTROL_NET", "CONTROL_NET")], ["your-control-net.safetensors"])
    add(workflow, APPLY, "ControlNetApplyAdvanced", (x, y), (320, 186),
        [socket("positive", "CONDITIONING"), socket("negative", "CONDITIONING"), socket("control_net", "CONTROL_NET"),
         socket("image", "IMAGE"), socket("vae", "VAE") | {"shape": 7},
         *(field(n, "FLOAT") for n in ("strength", "start_percent", "end_percent"))],
        [("positive", "CONDITIONING"), ("negative", "CONDITIONING")], [0.6, 0, 0.6])
    connect(workflow, LOADER, 0, APPLY, "control_net")
    connect(workflow, SKETCH, 0, APPLY, "image")


def drawing() -> dict[str, Any]:
    """An animal that sits, seen from the front, as the strokes of a Sketch."""
    lines = [oval(0.5, 0.7, 0.2, 0.23), oval(0.5, 0.36, 0.15, 0.13), [[0.38, 0.28], [0.36, 0.12], [0.47, 0.23]],
             [[0.53, 0.23], [0.64, 0.12], [0.62, 0.28]], [[0.69, 0.82], [0.84, 0.74], [0.86, 0.56]]]
    return {"version": 1, "strokes": [{"width": 0.015, "points": points} for points in lines]}


def oval(x: float, y: float, width: float, height: float) -> list[list[float]]:
    """A closed line around a middle; half axes, shares of the canvas."""
    turns = [2 * math.pi * i / 32 for i in range(33)]
    return [[round(x + width * math.cos(t), 4), round(y + height * math.sin(t), 4)] for t in turns]
