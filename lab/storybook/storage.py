"""The two files that ship: model, text encoder and VAE, keyed as SD1.5's and Flux's full checkpoints are.

The token table is kept as its trained rows: ``<table>.rows`` [1 + n, C], the neutral one first, and ``<table>.ids``
[n], the token that each further row belongs to. The transformer's matrices are int8 with a scale a row
(``<key>.scale``), which halves the file; everything else is in half precision.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open

from .cast import COLOURED, COLOURS, PLACES, PLAIN, WITH_LOOKS
from .course import save_whole
from .nets import clip, flux, t5, unet
from .scene import CANVAS_PX
from .words import CLIP, T5, Format, words

FORMAT = "storybook 1"
EXAMPLE = "a cat and a red car on a beach"
SHIFT = 4.0  # of the transformer's noise levels when it generates: what goes where is decided at the noisy ones
Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Names:
    """Prefixes of one model's file, and what its words and latents are. scale, shift: of the host's latent format."""

    model: str
    vae: str
    text: str
    table: str
    words: Format
    scale: float
    shift: float


NAMES = {
    "unet": Names("model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.text_model.",
                  "cond_stage_model.transformer.text_model.embeddings.token_embedding", CLIP, 0.18215, 0.0),
    "transformer": Names("model.diffusion_model.", "vae.", "text_encoders.t5xxl.transformer.",
                         "text_encoders.t5xxl.transformer.shared", T5, 0.3611, 0.1159),
}


def vae_tensors(weights: Weights, names: Names) -> Weights:
    """The host's TAESD with a scale and a shift that make its latents, as the host scales them, standard ones.

    The host's model sees (encoder / vae_scale + vae_shift - shift) * scale, and is to see (encoder - mean) / std.
    """
    scale = names.scale * float(weights["std"])
    shift = names.shift - float(weights["mean"]) / scale
    out = {key: value.half() for key, value in weights.items() if key.startswith("taesd_")}
    return out | {"vae_scale": torch.tensor(scale), "vae_shift": torch.tensor(shift)}


def vae_weights(stored: Weights, names: Names) -> Weights:
    """``vae_tensors`` backwards."""
    scale, shift = float(stored["vae_scale"]), float(stored["vae_shift"])
    out = {key: value.float() for key, value in stored.items() if key.startswith("taesd_")}
    return out | {"std": torch.tensor(scale / names.scale), "mean": torch.tensor((names.shift - shift) * scale)}


def packed(weights: Weights, eight_bit: bool) -> Weights:
    """Half precision, or matrices as int8 with a scale a row."""
    out: Weights = {}
    for key, value in weights.items():
        if eight_bit and value.ndim == 2 and value.dtype.is_floating_point:
            scale = value.float().abs().amax(1).clamp(min=1e-12) / 127
            out[key] = (value.float() / scale[:, None]).round().clamp(-127, 127).to(torch.int8)
            out[f"{key}.scale"] = scale
        else:
            out[key] = value if value.ndim == 0 or not value.dtype.is_floating_point else value.half()
    return out


def unpacked(stored: Weights) -> Weights:
    """What ``packed`` made, int8 matrices as half precision."""
    return {key: (value.float() * stored[f"{key}.scale"][:, None]).half() if value.dtype == torch.int8 else value
            for key, value in stored.items() if not key.endswith(".scale")}


def write(path: Path, model: str, vae: Weights, net: Weights, facts: dict[str, object],
          text_config: dict[str, int] | None = None, model_config: dict[str, object] | None = None) -> Path:
    """One file. vae: of ``Vae``; net: "model.*" and "text.*" of the trained pair. Another size than the usual one
    names its configurations."""
    names = NAMES[model]
    table = "text.shared.weight" if model == "transformer" else "text.embeddings.token_embedding.weight"
    eight_bit = model == "transformer"
    tensors = {names.vae + key: value for key, value in vae_tensors(vae, names).items()}
    tensors |= packed({names.model + key.removeprefix("model."): value for key, value in net.items()
                       if key.startswith("model.")}, eight_bit)
    tensors |= packed({names.text + key.removeprefix("text."): value for key, value in net.items()
                       if key.startswith("text.") and key != table}, eight_bit)
    tensors |= packed({names.table + ".rows": net[table]}, eight_bit)
    tensors[names.table + ".ids"] = torch.tensor(words(names.words).ids, dtype=torch.int32)
    usual = {"unet": (clip.CONFIG, asdict(unet.UnetConfig())), "transformer": (t5.CONFIG, asdict(flux.FluxConfig()))}
    known = {"things": [*PLAIN, *COLOURED, *WITH_LOOKS], "colours": list(COLOURS), "places": list(PLACES)}
    metadata = {"format": "pt", "attention_director": FORMAT, "model": model, "canvas_px": str(CANVAS_PX),
                "text_config": json.dumps(text_config or usual[model][0]),
                "model_config": json.dumps(model_config or usual[model][1]),
                "known_words": json.dumps(known), "example": EXAMPLE, **shift(model),
                "training": json.dumps(facts), "license": "Apache-2.0"}
    save_whole(path, {key: value.detach().cpu().contiguous() for key, value in tensors.items()}, metadata)
    return path


def shift(model: str) -> dict[str, str]:
    """Of the noise levels, for the host's sampler."""
    return {"shift": json.dumps(SHIFT)} if model == "transformer" else {}


def read(path: Path) -> tuple[Weights, dict[str, str]]:
    """(tensors under the file's names, int8 unpacked, and the metadata)."""
    with safe_open(str(path), "pt") as file:
        facts = file.metadata() or {}
        stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (it is no dict)
    return unpacked(stored), facts


def read_for_training(path: Path) -> tuple[Weights, Weights]:
    """(weights of ``Vae``, weights of the pair "model.*" and "text.*") of a file, to go on from."""
    stored, facts = read(path)
    model = facts["model"]
    names = NAMES[model]
    vae = vae_weights({key.removeprefix(names.vae): value for key, value in stored.items()
                       if key.startswith(names.vae)}, names)
    table = "text.shared.weight" if model == "transformer" else "text.embeddings.token_embedding.weight"
    net = {table: rows_by_ids(stored, names)}
    for key, value in stored.items():
        if key.startswith(names.model):
            net["model." + key.removeprefix(names.model)] = value.float()
        elif key.startswith(names.text) and not key.startswith(names.table):
            net["text." + key.removeprefix(names.text)] = value.float()
    return vae, net


def rows_by_ids(stored: Weights, names: Names) -> torch.Tensor:
    """The table's rows in the order of today's words; a word the file does not know gets the neutral row."""
    rows, ids = stored[names.table + ".rows"].float(), stored[names.table + ".ids"].tolist()
    place = {token: number for number, token in enumerate(ids, 1)}
    return rows[[0, *(place.get(token, 0) for token in words(names.words).ids)]]
