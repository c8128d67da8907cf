"""Train the oracle's detector on renders and on their round trips through the VAEs, never on what a model generated."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from .course import Budget, Course, Log, autocast
from .detector import Answers, Detector, losses
from .nets.vae import Vae
from .oracle import SURE, Oracle, matched
from .render import Renderer, SceneBatch, stack
from .scene import Scenes

THROUGH_VAES = 0.3  # of a batch: a round trip takes the time of four steps of the detector
LATENT_NOISE = 0.2  # of a standardised latent, at most
WRONG_AT_MOST = 0.002  # of the things it is sure of, on the pictures the threshold is set by
THRESHOLDS = (0.3, 0.95)


@torch.no_grad()
def round_trip(vae: Vae, pictures: torch.Tensor, noise: float = LATENT_NOISE) -> torch.Tensor:
    """Pictures through a VAE, each with some noise on its latent, as a sampler leaves it."""
    with autocast(pictures.device):
        latents = vae.latents(pictures)
        strength = noise * torch.rand(len(latents), 1, 1, 1, device=latents.device)
        return vae.pictures(latents + strength * torch.randn_like(latents))


@torch.no_grad()
def varied(pictures: torch.Tensor, vaes: Sequence[Vae]) -> torch.Tensor:
    """Most of a batch as it is, the rest through the VAEs; all with a little other light, some a little blurred."""
    count = round(len(pictures) * THROUGH_VAES)
    parts = [pictures[:len(pictures) - count]] if vaes else [pictures]
    share = -(-count // max(1, len(vaes)))
    for number, vae in enumerate(vaes):
        begin = len(pictures) - count + number * share
        if begin < len(pictures):
            parts.append(round_trip(vae, pictures[begin:begin + share]))
    out = torch.cat(parts)
    light = torch.rand(2, len(out), 1, 1, 1, device=out.device) - 0.5
    out = (out - 0.5) * (1 + 0.16 * light[0]) + 0.5 + 0.08 * light[1]
    soft = F.avg_pool2d(F.pad(out, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    mix = torch.rand(len(out), 1, 1, 1, device=out.device) ** 2
    return (out * (1 - mix) + soft * mix).clamp(0, 1)


def train_oracle(folder: Path, name: str, net: Detector, renderer: Renderer, scenes: Scenes, vaes: Sequence[Vae],
                 budget: Budget, log: Log, batch: int, pool: int) -> Oracle:
    """Train (or go on training) on random batches of ``pool`` scenes, then set the threshold."""
    device = renderer.device
    net.to(device, memory_format=torch.channels_last if device.type == "cuda" else torch.preserve_format)
    course = Course(folder, name, net, budget, log, scenes.seed, decay=0.01)
    answers = Answers.of(scenes.atlas, device)
    known = stack(scenes.some(0, pool)).to(device)
    for _ in course:
        net.train()
        index = torch.randint(0, pool, (batch,), device=device)
        some = SceneBatch(*(value[index] for value in vars(known).values()))
        rendered = renderer(some)
        with autocast(device):
            votes = net(varied(rendered.pictures, vaes))
        terms = losses(votes, net.prototypes, rendered, some, answers)
        course.learn(sum(terms.values(), torch.zeros((), device=device)))
        course.tell(100, **terms)
    course.settle()
    settle_norms(net, renderer, known, vaes, batch)
    oracle = Oracle(net, SURE, device)
    oracle.threshold = calibrate(oracle, renderer, Scenes(scenes.atlas, scenes.seed, "calibrate", which="all"), vaes,
                                 max(2, min(400, pool // 8)))
    course.finish()
    log.say(f"{name}: sure from {oracle.threshold:.3f} on")
    oracle.save(folder / "oracle.safetensors")
    return oracle


@torch.no_grad()
def settle_norms(net: Detector, renderer: Renderer, known: SceneBatch, vaes: Sequence[Vae], batch: int,
                 rounds: int = 40) -> None:
    """Batch norms' means and deviations for the averaged weights; those kept in training belong to others."""
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all rounds
    net.train()
    for number in range(max(2, min(rounds, len(known) // batch))):
        part = known[slice(number * batch % len(known), number * batch % len(known) + batch)]
        with autocast(renderer.device):
            net(varied(renderer(part).pictures, vaes))
    net.eval()


def calibrate(oracle: Oracle, renderer: Renderer, scenes: Scenes, vaes: Sequence[Vae], count: int) -> float:
    """The least confidence from which at most WRONG_AT_MOST of the things are wrong, on renders and round trips."""
    votes: list[tuple[float, bool]] = []
    for start in range(0, count, 64):
        some = scenes.some(start, min(start + 64, count))
        rendered = renderer(some)
        for pictures in (rendered.pictures, *(round_trip(vae, rendered.pictures, 0.0) for vae in vaes)):
            for seen, scene, boxes in zip(oracle.look(pictures), some, rendered.boxes.tolist(), strict=True):
                own = matched(seen.found, boxes[:len(scene.things)])
                right = {id(thing) for thing, wanted in zip(own, scene.things, strict=True)
                         if thing is not None and thing.phrase == wanted.phrase}
                votes += [(thing.confidence, id(thing) in right) for thing in seen.found]
    return threshold(votes)


def threshold(votes: Sequence[tuple[float, bool]], wrong_at_most: float = WRONG_AT_MOST) -> float:
    """From (confidence, right) pairs, within THRESHOLDS: as low as the share of wrong ones allows."""
    low, high = THRESHOLDS
    wrong = total = 0
    best = high
    for confidence, right in sorted(votes, reverse=True):
        total, wrong = total + 1, wrong + (not right)
        if wrong <= wrong_at_most * total:
            best = confidence
    return min(high, max(low, best))
