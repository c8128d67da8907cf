"""Calls of the model that hold a part of the run's pictures: tiles, crops, windows, some rows of a batch.

Wrappers of other packs cut the latents after the host has said whose rows they are and before the model sees them.
A method would take a part for the whole, so it is refused before a picture is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from ...core.hooks import needs_places
from ...core.method import Method
from ..errors import DirectorError
from .run import Run


def refuse_tiles(run: Run, x: torch.Tensor, methods: Iterable[Method]) -> None:
    """Raise DirectorError where x [..., h, w] is smaller than the run's latents and a method needs places."""
    (h, w), (height, width) = (int(side) for side in x.shape[-2:]), run.network.latent_grid
    if h >= height and w >= width:
        return
    for method in filter(needs_places, methods):
        raise DirectorError(method.label, f"this run gives the model parts of the picture ({w}x{h} of {width}x{height} "
                                          "in latents), and the node cannot know what belongs in each; bypass the "
                                          "tiling node, or give its sampler the model from before this node.")


def is_area(run: Run, options: dict[str, Any]) -> bool:
    """True for a call that the host itself makes for conditionings limited to an area."""
    uuids = options.get("uuids") or ()
    return bool(uuids) and all(uuid in run.areas for uuid in uuids)


def refuse_split_batch(run: Run, rows: int, options: dict[str, Any], methods: Iterable[Method]) -> None:
    """Raise DirectorError where the rows are not every image of the batch for each conditioning of the call.

    Then nobody can tell whose a row is. The host's context windows over the batch hold whole conditionings.
    """
    chunks = len(options.get("uuids") or ())
    if not chunks or rows == chunks * run.images or ("context_window" in options and rows % chunks == 0):
        return
    for method in methods:
        raise DirectorError(method.label, f"another node gives the model {rows} rows where this run has {run.images} "
                                          f"for each of {chunks} conditionings, so nobody can tell whose they are; "
                                          "bypass the node that splits the batch.")
