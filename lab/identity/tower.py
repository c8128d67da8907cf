"""The vision tower in training. Real towers come from a CLIP file; the tiny world's learns its trade here.

What CLIP learned from captions, this one learns from the renderer: to say which coat a creature wears.
"""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import nn
from world.nets import initialise
from world.render import render
from world.scene import BACKGROUNDS, CREATURE, PATTERNS, Coat, Scene, Thing, sample_coat
from world.training import (
    Log,
    MovingAverage,
    autocast,
    learning_rate,
    resume,
    save_state,
    save_training,
    seed_step,
)

from .references import augmented
from .store import reference_crop

TINY = {"hidden_act": "quick_gelu", "hidden_size": 128, "image_size": 64, "intermediate_size": 512,
        "model_type": "clip_vision_model", "num_attention_heads": 2, "num_channels": 3, "num_hidden_layers": 4,
        "patch_size": 8, "projection_dim": 128}
COATS, STEPS, BATCH, PEAK_LR = 8000, 800, 64, 8e-4


def build_tower(config: dict) -> nn.Module:
    """The host's CLIP vision model with torch's default initial weights."""
    import comfy.ops
    from comfy.clip_model import CLIPVisionModelProjection

    net = initialise(CLIPVisionModelProjection(config, torch.float32, None, comfy.ops.disable_weight_init))
    nn.init.normal_(net.vision_model.embeddings.class_embedding, std=0.02)
    nn.init.normal_(net.vision_model.embeddings.position_embedding.weight, std=0.02)
    return net


def tower_vectors(net: nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    """What the host's forward gives as image_embeds, with sums out of place so that gradients flow.

    pixels: [n, 3, S, S] normalised. Returns [n, C].
    """
    vision = net.vision_model
    x = vision.pre_layrnorm(vision.embeddings(pixels))
    for layer in vision.encoder.layers:
        x = x + _attention(layer.self_attn, layer.layer_norm1(x))
        x = x + layer.mlp(layer.layer_norm2(x))
    return net.visual_projection(vision.post_layernorm(x[:, 0]))


def _attention(attn: nn.Module, x: torch.Tensor) -> torch.Tensor:
    q, k, v = (proj(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
               for proj in (attn.q_proj, attn.k_proj, attn.v_proj))
    weights = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), dim=-1)
    return attn.out_proj((weights @ v).transpose(1, 2).flatten(2))


def coat_targets(coat: Coat) -> list[float]:
    """A coat as numbers: both tones, period, direction, pattern. Directions of rings and dots are free."""
    turn = math.radians(coat.angle * (1 if coat.pattern == "halves" else 2 if coat.pattern == "stripes" else 4))
    tones = [c / 255 for c in (*coat.light, *coat.dark)]
    directed = coat.pattern != "rings"
    return [*tones, (coat.period - 0.42) / 0.18, *((math.cos(turn), math.sin(turn)) if directed else (0.0, 0.0)),
            float(PATTERNS.index(coat.pattern))]


def coat_crops(seed: int, count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Creatures alone: crops uint8 [n, S, S, 4] and their numbers, float [n, 10]."""
    crops, targets = [], []
    for index in range(count):
        rng = Random(f"{seed}/coat/{index}")
        thing = Thing(CREATURE, "", 64.0, 64.0, rng.uniform(22, 40), sample_coat(rng))
        picture, masks = render(Scene(rng.choice(list(BACKGROUNDS)), (thing,)))
        crops.append(reference_crop(picture, masks[0], size))
        targets.append(coat_targets(thing.coat))
    return torch.from_numpy(np.stack(crops)), torch.tensor(targets)


def naming_loss(named: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """named: [n, 9 + patterns]; targets: [n, 10]."""
    numbers = (named[:, :9] - targets[:, :9]).square()
    patterns = nn.functional.cross_entropy(named[:, 9:], targets[:, 9].long())
    return 4 * numbers[:, :6].mean() + 0.2 * numbers[:, 6].mean() + numbers[:, 7:].mean() + 0.5 * patterns


def naming_tower(folder: Path, seed: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Weights of a tower that names coats; kept in ``folder``."""
    from attention_director.bridge.identity.vision import squared

    path = folder / "tower.pt"
    if path.exists():
        return torch.load(path, weights_only=True)
    torch.manual_seed(seed)
    crops, targets = coat_crops(seed, COATS, TINY["image_size"])
    head = nn.Linear(TINY["projection_dim"], 9 + len(PATTERNS))
    net = nn.ModuleDict({"tower": build_tower(TINY), "head": head}).to(device)
    optimiser = torch.optim.AdamW(net.parameters(), lr=PEAK_LR, weight_decay=0.05)
    average, state = MovingAverage(net, 0.98), folder / "tower-state.pt"
    log = Log(folder / "training.log", "tower", STEPS)
    for step in range(resume(state, net, optimiser, average), STEPS):
        seed_step(seed, step)
        chosen = torch.randint(0, len(crops), (BATCH,))
        pixels = squared(augmented(crops[chosen]), TINY["image_size"]).to(device)
        optimiser.param_groups[0]["lr"] = learning_rate(step, STEPS, PEAK_LR, 50)
        with autocast(device):
            loss = naming_loss(net["head"](tower_vectors(net["tower"], pixels)).float(), targets[chosen].to(device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        average.update(net, step)
        if (step + 1) % 50 == 0:
            log.show(step + 1, loss=float(loss.detach()))
            save_training(state, net, optimiser, average, step + 1)
    weights = {k.removeprefix("tower."): v.cpu() for k, v in average.values.items() if k.startswith("tower.")}
    save_state(path, weights)
    state.unlink(missing_ok=True)
    return weights
