"""Turn the weights of the project's prototype into a storybook file: a stand-in until the real ones are trained.

``python3 lab/run.py train storybook --from-prototype stage_flux.safetensors`` writes it into the cache folder. The
prototype has heads of 64, its vocabulary is nearly today's, and what it generates is rough: for trying, not shipping.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open

from . import storage
from .nets.flux import FluxConfig
from .words import T5, words

CONFIG = FluxConfig(axes=(16, 24, 24))
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
    return storage.write(out, "transformer", vae, net, {"begun_with": source.name, "prototype": True},
                         model_config=asdict(CONFIG))


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
