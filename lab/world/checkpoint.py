"""The one file that ships: UNet, text encoder and VAE in half precision, keyed as SD1.5 files are."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .nets import TEXT_CONFIG, UNET_CONFIG
from .scene import BACKGROUNDS, CANVAS_PX, COLOURS, CREATURE, SHAPES
from .text import Words

TEXT = "cond_stage_model.transformer.text_model."
TOKEN_TABLE = TEXT + "embeddings.token_embedding."


def checkpoint_tensors(vae: dict[str, torch.Tensor], weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Averaged weights of both trainers under the names of an SD1.5 checkpoint.

    The token table is stored as its trained rows: ``token_embedding.rows`` [1 + n, C], neutral row
    first, and ``token_embedding.ids`` [n], the CLIP token each further row belongs to.
    """
    out = {f"first_stage_model.{k}": v for k, v in vae.items() if k.startswith("taesd_")}
    for key, value in weights.items():
        if key.startswith("unet."):
            out["model.diffusion_model." + key.removeprefix("unet.")] = value
        elif key == "text.model.embeddings.token_embedding.weight":
            out[TOKEN_TABLE + "rows"] = value
        else:
            out[TEXT + key.removeprefix("text.model.")] = value
    half = {k: v.detach().to("cpu", torch.float16).contiguous() for k, v in out.items()}
    return half | {TOKEN_TABLE + "ids": torch.tensor(Words().ids, dtype=torch.int32)}


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """(VAE weights, UNet and text weights) of a file that ``write_checkpoint`` wrote, by the trainers' names."""
    vae, weights = {}, {}
    for key, value in load_file(str(path)).items():
        if key.startswith("first_stage_model."):
            vae[key.removeprefix("first_stage_model.")] = value.float()
        elif key.startswith("model.diffusion_model."):
            weights["unet." + key.removeprefix("model.diffusion_model.")] = value.float()
        elif key == TOKEN_TABLE + "rows":
            weights["text.model.embeddings.token_embedding.weight"] = value.float()
        elif key != TOKEN_TABLE + "ids":
            weights["text.model." + key.removeprefix(TEXT)] = value.float()
    return vae, weights


def write_checkpoint(path: Path, vae: dict[str, torch.Tensor], weights: dict[str, torch.Tensor],
                     facts: dict[str, object]) -> Path:
    """Write beside, then rename. The metadata holds what a loader and a reader need to know."""
    words = {"colours": list(COLOURS), "shapes": [*SHAPES, CREATURE], "backgrounds": list(BACKGROUNDS)}
    metadata = {
        "format": "pt",
        "attention_director": "tiny world 1",
        "canvas_px": str(CANVAS_PX),
        "unet_config": json.dumps(UNET_CONFIG),
        "clip_l_model_config": json.dumps(TEXT_CONFIG),
        "known_words": json.dumps(words),
        "training": json.dumps(facts),
        "license": "Apache-2.0",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".partial")
    save_file(checkpoint_tensors(vae, weights), str(beside), metadata)
    os.replace(beside, path)
    return path
