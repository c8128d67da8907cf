"""Pictures drawn with an adapter in training: the reference, the plain model, the adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from world.draw import World, draw

PREVIEWS = 3


def draw_preview(base: tuple[Any, Any, Any], adapter_file: Path, path: Path) -> None:
    """A sheet of unseen creatures, one and two in a prompt: references, plain, injected at the same seed."""
    from attention_director.bridge.identity.adapter import load_adapter
    from attention_director.bridge.text.prompt import encode
    from benches.identity import ours, unpatched
    from benches.identity_cases import sample_case

    with torch.inference_mode():
        world = World(*base, encode(base[1], "", "preview"))
        ask = ours(load_adapter("preview", adapter_file)[0])
        rows = []
        for case in [sample_case(n, creatures) for creatures in (1, 2) for n in range(PREVIEWS)]:
            references = case.references()
            cells = [(picture[0] * 255).byte().numpy() for picture in references]
            cells += [np.full_like(cells[0], 255)] * (2 - len(cells))
            cells += [draw(world, *way(world, case, references), [case.seed]).pictures[0] for way in (unpatched, ask)]
            rows.append(np.concatenate(cells, axis=1))
    sheet = np.concatenate([np.concatenate(rows[:PREVIEWS]), np.concatenate(rows[PREVIEWS:])], axis=1)
    cv2.imwrite(str(path), sheet[..., ::-1])
