"""Runs of every node on tiny random networks, as functions that sample once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import edit_scene
import identity_files
import recording
import scene
import sketch_scene
import stories
import tiny
import tiny_joint
import torch
from text_encoders import text_encoder

Run = Callable[[], Any]


def sampled(model: Any, positive: list, negative: list, **more: Any) -> Run:
    latent = {"samples": torch.zeros(1, model.model.latent_format.latent_channels, 8, 8)}
    return partial(tiny.sample, model, positive, negative, **({"steps": 3, "latent": latent} | more))


def scene_of(name: str) -> tuple[Any, Any, list]:
    """MODEL, CLIP and an empty negative: of a UNet, or of a tiny transformer with the encoder it goes with."""
    if name not in tiny_joint.CONFIGS:
        return scene.family(name)
    clip = text_encoder({"flux-dev": "flux"}.get(name, name))
    return sketch_scene.model(name), clip, scene.negative(clip)


def regions(model: Any, clip: Any, negative: list, _: Path) -> Run:
    graph = scene.region_prompt(model, clip)
    return sampled(graph.model, graph.positive, negative)


def edit(model: Any, clip: Any, negative: list, _: Path) -> Run:
    graph = edit_scene.attention_edit(model, clip, size=(8, 8), blend_words="cat\ndog")
    return sampled(graph.model, graph.positive, graph.negative, latent=graph.latent)


def story(model: Any, clip: Any, negative: list, _: Path) -> Run:
    told = stories.shared(model, clip, keep_bank=True)
    return sampled(told.model, told.positive, negative, latent=told.latent)


def record(model: Any, clip: Any, negative: list, _: Path) -> Run:
    graph = scene.region_prompt(model, clip)
    return sampled(recording.recorded(graph.model, graph.positive), graph.positive, negative)


def identity(model: Any, clip: Any, negative: list, folder: Path) -> Run:
    adapter = identity_files.adapter(folder / "adapter.safetensors", identity_files.published(unet=False))
    directed, positive = identity_files.identity(model, clip, adapter, scene.PROMPT, localise=0.5)
    return sampled(directed, positive, negative)


def sketch(checkpointing: str, model: Any, clip: Any, negative: list, _: Path) -> Run:
    patched = sketch_scene.sketch(model, checkpointing=checkpointing)
    return sampled(patched, scene.encode(clip, "a red hat"), negative)


def inversion(method: str, model: Any, clip: Any, negative: list, _: Path) -> Run:
    from attention_director.bridge.inversion.invert import InversionSettings, invert

    settings = InversionSettings(method, 3, "normal")

    def run() -> Any:
        with torch.inference_mode():
            return invert("node", model, clip, sketch_scene.Vae(), torch.rand(1, 64, 64, 3), "a red cat", settings)

    return run


def training(model: Any, clip: Any, negative: list, _: Path) -> Run:
    from attention_director.nodes.train_predictor import AttnDirTrainPredictor

    pictures = torch.rand(2, 64, 64, 3)
    given = dict(model=model, clip=clip, vae=sketch_scene.vae_of(model), images=pictures, texts="a disc", steps=3,
                 batch_size=1, learning_rate=1e-3, seed=0, maps=pictures)

    def run() -> Any:
        with torch.inference_mode():
            return AttnDirTrainPredictor.execute(**{name: [value] for name, value in given.items()})

    return run
