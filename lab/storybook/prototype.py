"""Turn the weights of the project's prototype into a storybook file: a stand-in until the real ones are trained.

``python3 lab/run.py train storybook --from-prototype stage_flux.safetensors`` writes it into the cache folder. It is
for beginning a training with (``--from``), not for shipping: the prototype has six heads of 64, and here two become
one of 128, each pair of dimensions at the place that turns nearly as fast. What they attended to apart they now
attend to together, which a training mends within a few hundred steps: everything else is already there.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors import safe_open

from . import storage
from .nets.flux import FluxConfig
from .words import T5, words

PAIRS = (8, 12, 12)  # of dimensions that turn with the token's number, y and x, in a head of the prototype
BLOCK_NAMES = {"n1": "layer.0.layer_norm", "n2": "layer.1.layer_norm",
               **{name: f"layer.0.SelfAttention.{name}" for name in "qkvo"},
               **{name: f"layer.1.DenseReluDense.{name}" for name in ("wi_0", "wi_1", "wo")}}


def convert(source: Path, out: Path) -> Path:
    """``source``: the prototype's file, ``rows`` of its metadata its token table."""
    with safe_open(str(source), "pt") as file:
        rows = json.loads(file.metadata()["rows"])
        stored = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118  (it is no dict)
    vae = {f"taesd_{'encoder' if key.startswith('enc.') else 'decoder'}.{key[4:]}": value
           for key, value in stored.items() if key.startswith(("enc.", "dec."))}
    vae |= {"mean": stored["mean"], "std": stored["std"]}
    net = {"model." + key[4:]: value for key, value in stored.items() if key.startswith("dit.")}
    net |= {"text." + text_name(key[5:]): value for key, value in stored.items() if key.startswith("text.")}
    net["text.shared.weight"] = table(stored["text.shared.weight"], {int(k): v for k, v in rows.items()})
    facts = {"begun_with": source.name, "prototype": True}
    return storage.write(out, "transformer", vae, wide_heads(net, FluxConfig()), facts)


def places(config: FluxConfig) -> torch.Tensor:
    """For each dimension of a wide head the one of the two narrow heads' 2 * 64 that takes it: int64 [128]."""
    own = [size // 2 for size in config.axes]
    begins, narrow = [sum(own[:axis]) for axis in range(3)], [sum(PAIRS[:axis]) for axis in range(3)]
    takes: dict[int, tuple[int, int]] = {begins[0] + pair: (0, pair) for pair in range(PAIRS[0])}
    spare: list[int] = []
    for axis in (1, 2):
        first = [own[axis] * pair // PAIRS[axis] for pair in range(PAIRS[axis])]  # as fast, or a little faster
        free = [slot for slot in range(own[axis]) if slot not in first]
        for head, slots in ((0, first), (1, free)):
            takes |= {begins[axis] + slot: (head, narrow[axis] + pair)
                      for pair, slot in enumerate(slots[:PAIRS[axis]])}
        spare += [begins[axis] + slot for slot in free[PAIRS[axis]:]]
    takes |= {slot: (1, pair) for pair, slot in enumerate(spare)}  # these hardly turn at all
    width = 2 * sum(PAIRS)
    return torch.tensor([head * width + 2 * pair + i for _, (head, pair) in sorted(takes.items()) for i in (0, 1)])


def wide_heads(net: dict[str, torch.Tensor], config: FluxConfig) -> dict[str, torch.Tensor]:
    """Queries and keys of two heads each laid into one; values and everything else stay as they are."""
    inside = places(config)
    rows = torch.cat([inside + head * len(inside) for head in range(config.heads)])
    out = dict(net)
    for key, value in net.items():
        if ".qkv." in key or "linear1" in key:
            q, k, rest = value.split([config.hidden, config.hidden, len(value) - 2 * config.hidden])
            out[key] = torch.cat([q[rows], k[rows], rest])
        elif key.endswith(("query_norm.weight", "key_norm.weight")):
            out[key] = value.repeat(2)[inside]
    return out


def text_name(key: str) -> str:
    """The host's T5 name of one of the prototype's."""
    if block := re.match(r"blocks\.(\d+)\.(\w+)\.weight", key):
        return f"encoder.block.{block[1]}.{BLOCK_NAMES[block[2]]}.weight"
    return {"bias.weight": "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            "final.weight": "encoder.final_layer_norm.weight"}.get(key, key)


def table(rows: torch.Tensor, place: dict[int, int]) -> torch.Tensor:
    """The prototype's rows in the order of today's; it has no neutral row, so the mean of all stands in for it."""
    neutral = rows.mean(0, keepdim=True)
    own = [rows[place[token]] if token in place else neutral[0] for token in words(T5).ids]
    return torch.cat([neutral, torch.stack(own)])
