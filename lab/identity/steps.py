"""One training step: which pictures, which words fused, and the loss (FastComposer, section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from world.train_unet import loss_weight
from world.training import seed_step

from .creatures import Crew
from .losses import WatchedAttention, half_masked
from .references import augmented
from .store import Store
from .student import Student


@dataclass(frozen=True)
class Recipe:
    """The paper's numbers. balanced: weigh noise levels as the tiny world's own training does (1 for the paper)."""

    batch: int = 16
    empty: float = 0.1
    keep: float = 0.9
    masked: float = 0.5
    localisation: float = 1e-3
    balanced: bool = False


@dataclass(frozen=True, eq=False)
class Batch:
    """latents [B, 4, h, w]; context [B, T, C]; rows, positions: long [n], where subjects are; masks
    [n, h, w] and pixels [n, S, S, 3] of those; union [B, 1, h, w] of all subjects; masked: this batch
    counts the subjects only."""

    latents: torch.Tensor
    context: torch.Tensor
    rows: torch.Tensor
    positions: torch.Tensor
    masks: torch.Tensor
    pixels: torch.Tensor
    union: torch.Tensor
    masked: bool

    def to(self, device: torch.device) -> Batch:
        return Batch(**{k: v.to(device) if torch.is_tensor(v) else v for k, v in vars(self).items()})


def draw_batch(store: Store, recipe: Recipe, seed: int, crew: Crew, step: int) -> Batch:
    """Pictures, dropped captions and dropped subjects of one step of one process.

    The chance is not the one that draws noise levels: with one seed for both a picture would meet few of them.
    """
    seed_step(~seed, step * crew.size + crew.rank)
    chosen = torch.randint(0, len(store), (recipe.batch,))
    context = store.context[chosen].float()
    dropped = torch.rand(recipe.batch) < recipe.empty
    context[dropped] = store.empty.float()
    places = store.positions[chosen]
    kept = (places >= 0) & (torch.rand(places.shape) < recipe.keep) & ~dropped[:, None]
    rows, slots = kept.nonzero(as_tuple=True)
    masks = store.masks[chosen].float()
    union = (masks * kept[..., None, None]).amax(1, keepdim=True)
    pixels = augmented(store.crops[chosen[rows], slots])
    return Batch(store.latents[chosen].float(), context, rows, places[rows, slots], masks[rows, slots], pixels, union,
                 bool(torch.rand(()) < recipe.masked))


def step_loss(student: Student, batch: Batch, alphas: torch.Tensor, recipe: Recipe) -> tuple[torch.Tensor, ...]:
    """(whole loss, noise part, localisation part) of a batch; alphas: cumulative, [1000]."""
    from attention_director.bridge.identity.vision import squared

    pixels = squared(batch.pixels, batch.pixels.shape[1])
    context = student.fused(batch.context, batch.rows, batch.positions, pixels)
    x = batch.latents
    t = torch.randint(0, len(alphas), (len(x),), device=x.device)
    alpha = alphas[t][:, None, None, None]
    noise = torch.randn_like(x)
    watched = WatchedAttention(context.shape[1], x.shape[-2] * x.shape[-1], batch.rows, batch.positions)
    predicted = student.unet(alpha.sqrt() * x + (1 - alpha).sqrt() * noise, t, context,
                             transformer_options={"optimized_attention_override": watched})
    error = half_masked((predicted.float() - noise).square(), batch.union, batch.masked).mean((1, 2, 3))
    weight = loss_weight((alpha / (1 - alpha)).flatten()) if recipe.balanced else torch.ones_like(error)
    noise_loss, place_loss = (weight * error).mean(), watched.loss(batch.masks)
    return noise_loss + recipe.localisation * place_loss, noise_loss, place_loss
