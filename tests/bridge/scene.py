"""Graphs of the pack's nodes on tiny models, as short as a test can say them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import tiny
import torch

PROMPT = "a red hat and a blue dog on the grass"
OFF: dict[str, Any] = {"strength": 0.0}
CUSTOM = {"preset": "custom", "cross_strength": 1.0, "self_strength": 0.3, "size_adaptation": 1.0, "decay_power": 0.0,
          "start_percent": 0.0, "end_percent": 1.0, "reencode_phrases": False}


class Graph(NamedTuple):
    model: Any
    positive: list
    masks: torch.Tensor
    preview: torch.Tensor
    plain: list | None = None


def custom(**changes: Any) -> dict[str, Any]:
    """The preset that reveals its numbers; here without re-encoding and all through the run."""
    assert set(changes) <= set(CUSTOM)
    return CUSTOM | changes


def left(height: int = 64, width: int = 64) -> torch.Tensor:
    mask = torch.zeros(1, height, width)
    mask[:, :, :width * 2 // 5] = 1
    return mask


def right(height: int = 64, width: int = 64) -> torch.Tensor:
    mask = torch.zeros(1, height, width)
    mask[:, height // 4:, width // 2:] = 1
    return mask


def regions(*parts: tuple[Any, ...]) -> tuple:
    """Regions of (phrase, mask[, strength]), first in front."""
    from attention_director.nodes.region import AttnDirRegion

    made: tuple = ()
    for phrase, mask, *strength in reversed(parts or (("red hat", left()), ("blue dog", right()))):
        made = AttnDirRegion.execute(phrase, mask, strength[0] if strength else 1.0, made).args[0]
    return made


def region_prompt(model: Any, clip: Any, text: Any = PROMPT, parts: tuple | None = None, *, strength: float = 1.0,
                  preset: Any = None, canvas: str = "", width: int = 512, height: int = 512, **extra: Any) -> Graph:
    """RegionPrompt.execute as the host calls it."""
    from attention_director.nodes.region_prompt import RegionPrompt

    preset = {"preset": preset} if isinstance(preset, str) else preset or custom()
    out = RegionPrompt.execute(model, clip, text, canvas, width, height, strength, preset,
                               regions=regions() if parts is None else parts, **extra)
    return Graph(*out.args)


def encode(clip: Any, text: str, lines: bool = False) -> list:
    from attention_director.nodes.encode import AttnDirEncode

    return AttnDirEncode.execute(clip, text, lines).args[0]


def host_encode(clip: Any, text: str) -> list:
    from nodes import CLIPTextEncode

    return CLIPTextEncode().encode(clip, text)[0]


def negative(clip: Any, text: str = "") -> list:
    return host_encode(clip, text)


def family(name: str = "sd15") -> tuple[Any, Any, list]:
    """MODEL, CLIP and an empty negative of a family."""
    clip = tiny.clip(name)
    return tiny.model(name), clip, negative(clip)


def assert_same(a: torch.Tensor, b: torch.Tensor) -> None:
    """Equal pictures up to the rounding of float32, on pictures of a spread of about a hundred."""
    torch.testing.assert_close(a, b, rtol=0, atol=2e-2)


def assert_differs(a: torch.Tensor, b: torch.Tensor, least: float = 0.5) -> None:
    assert a.shape == b.shape and a.isfinite().all() and b.isfinite().all()
    assert float((a - b).abs().max()) > least


@contextmanager
def options_seen(model: Any) -> Iterator[list[dict]]:
    """The transformer options of every forward of a model inside the block."""
    seen: list[dict] = []
    hook = model.model.diffusion_model.register_forward_pre_hook(
        lambda _module, _args, kwargs: seen.append(kwargs["transformer_options"]), with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


def dispatched(options: dict) -> bool:
    """True when one of our dispatchers stands in these options."""
    slots = options.get("patches_replace", {})
    return any(type(patch).__name__ == "Dispatcher" for which in slots.values() for patch in which.values())


def frozen(value: Any) -> Any:
    """A deep, comparable copy of options or conditioning: tensors by value, other objects by identity."""
    if isinstance(value, torch.Tensor):
        return ("tensor", tuple(value.shape), value.detach().clone().flatten().tolist())
    if isinstance(value, dict):
        return {k: frozen(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [frozen(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else id(value)
