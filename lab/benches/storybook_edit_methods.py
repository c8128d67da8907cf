"""Ways to ask a transformer for an edit. Each gives the edited picture of one source picture; all share its seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import comfy.sample
import comfy.samplers
import numpy as np
import torch
from storybook.cast import PLACES
from storybook.scene import CANVAS_PX
from world.draw import Conditioning, Settings, World, start_noise

from .storybook_edit_cases import Edit, look

NODE = "bench"
NEW_PX = 96  # side of the box for a thing that comes
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
SETTINGS = Settings(8, 4.0, "euler", "simple")


@dataclass(frozen=True, eq=False)
class Source:
    """What is edited. picture: uint8 [H, W, 3]; latent: [1, C, h, w], in the host's scale."""

    picture: np.ndarray
    latent: torch.Tensor
    seed: int


Method = Callable[[World, Edit, Source], np.ndarray]


def encode(world: World, text: str) -> Conditioning:
    from attention_director.bridge.text.prompt import encode as encode_text

    return encode_text(world.clip, text, NODE)


def sample(world: World, model: Any, positive: Conditioning, latent: torch.Tensor, seed: int,
           denoise: float = 1.0) -> torch.Tensor:
    """The last latent of one run of the host's sampler."""
    noise = start_noise([seed], world.latent).expand(len(latent), -1, -1, -1)
    out = comfy.sample.sample(model, noise, SETTINGS.steps, SETTINGS.cfg, SETTINGS.sampler, SETTINGS.scheduler,
                              positive, world.negative, latent, denoise=denoise, disable_pbar=True, seed=seed)
    return out[-1:]


def decode(world: World, latent: torch.Tensor) -> np.ndarray:
    return (world.vae.decode(latent)[0].clamp(0, 1) * 255).round().to("cpu", torch.uint8).numpy()


def drawn(world: World, caption: str, seed: int) -> Source:
    """The caption's picture at a seed."""
    latent = sample(world, world.model, encode(world, caption), torch.zeros(1, *world.latent), seed)
    return Source(decode(world, latent), latent, seed)


def unpatched(world: World, edit: Edit, source: Source) -> np.ndarray:
    """The new prompt with the same seed."""
    return drawn(world, edit.asked, source.seed).picture


def scheduled(start: float) -> Method:
    """The host's prompt scheduling: the old prompt first, the new one from ``start`` of the run on."""
    def method(world: World, edit: Edit, source: Source) -> np.ndarray:
        from nodes import ConditioningSetTimestepRange

        ranges = ConditioningSetTimestepRange()
        positive = (ranges.set_range(encode(world, edit.caption), 0.0, start)[0]
                    + ranges.set_range(encode(world, edit.asked), start, 1.0)[0])
        return decode(world, sample(world, world.model, positive, torch.zeros_like(source.latent), source.seed))

    return method


def sdedit(denoise: float) -> Method:
    """Image to image (SDEdit): noise the source so far, then draw the new prompt."""
    def method(world: World, edit: Edit, source: Source) -> np.ndarray:
        return decode(world, sample(world, world.model, encode(world, edit.asked), source.latent, source.seed, denoise))

    return method


@dataclass(eq=False)
class FlowEdit(comfy.samplers.Sampler):
    """FlowEdit (arXiv 2412.08629, algorithm 1, one noise a step), written from the paper; in a sampler's place.

    Z <- Z + (t' - t)(V_target(Z + Z_src - X) - V_source(Z_src)), Z_src = (1 - t) X + t N with fresh N. skipped: of the
    steps, from the noisiest; guidance: of source and target.
    """

    seed: int
    skipped: int
    guidance: tuple[float, float]
    generator: torch.Generator = field(default_factory=torch.Generator)

    def sample(self, model_wrap, sigmas, extra_args, callback, noise, latent_image=None, denoise_mask=None,
               disable_pbar=False) -> torch.Tensor:
        del callback, denoise_mask, disable_pbar, noise
        assert latent_image is not None
        conds, levels = model_wrap.conds, sigmas.tolist()
        self.generator.manual_seed(self.seed)

        def velocity(name: str, x: torch.Tensor, t: float, cfg: float) -> torch.Tensor:
            lists = [conds[name], conds["negative"]]
            given, empty = comfy.samplers.calc_cond_batch(model_wrap.inner_model, lists, x, x.new_full((1,), t),
                                                          extra_args["model_options"])
            return (x - (empty + cfg * (given - empty))) / t

        source = z = latent_image
        for t, after in zip(levels[self.skipped:], levels[self.skipped + 1:], strict=False):
            fresh = torch.randn(source.shape, generator=self.generator)
            there = (1 - t) * source + t * fresh
            change = (velocity("positive", z + there - source, t, self.guidance[1])
                      - velocity("source", there, t, self.guidance[0]))
            z = z + (after - t) * change
        return z


def flow_edit(steps: int, skipped: int, guidance: tuple[float, float]) -> Method:
    def method(world: World, edit: Edit, source: Source) -> np.ndarray:
        guider = comfy.samplers.CFGGuider(world.model)
        guider.inner_set_conds({"positive": encode(world, edit.asked), "negative": world.negative,
                                "source": encode(world, edit.caption)})
        sampling = world.model.get_model_object("model_sampling")
        sigmas = comfy.samplers.calculate_sigmas(sampling, SETTINGS.scheduler, steps)
        latent = guider.sample(torch.zeros_like(source.latent), source.latent,
                               FlowEdit(source.seed, skipped, guidance), sigmas, seed=source.seed)
        return decode(world, latent)

    return method


def edited(world: World, edit: Edit, source: Source, **changes: Any) -> Any:
    """AttentionEdit's outputs, with its settings as its help page advises but for ``changes``."""
    from attention_director.bridge.edit.build import EditOptions, build

    options = EditOptions(**({"targets": edit.asked} | advice(edit) | changes))
    empty = {"samples": torch.zeros_like(source.latent)}
    return build(NODE, "1", world.model, world.clip, edit.caption, empty, options, world.negative)


def attend(**changes: Any) -> Method:
    """AttentionEdit as its help page advises for the kind of edit, but for ``changes``."""
    def method(world: World, edit: Edit, source: Source) -> np.ndarray:
        made = edited(world, edit, source, **changes)
        return decode(world, sample(world, made.model, made.positive, made.latent["samples"], source.seed))

    return method


def placed(world: World, edit: Edit, source: Source) -> np.ndarray:
    """As advised, and behind it Region Prompt with a box for the thing that comes, where there is most room."""
    from attention_director.bridge.regions.build import build
    from attention_director.bridge.regions.presets import STRONG
    from attention_director.bridge.regions.region import make_region

    assert edit.new is not None
    made = edited(world, edit, source)
    region = make_region(NODE, edit.new.phrase, as_mask(roomiest_box(source.picture)), 1.0)
    directed = build(NODE, "2", made.model, world.clip, made.positive, (region,), 1.0, STRONG, CANVAS_PX, CANVAS_PX)
    return decode(world, sample(world, directed.model, directed.positive, made.latent["samples"], source.seed))


def roomiest_box(picture: np.ndarray) -> Box:
    """Beside the one thing of a picture, on its height, at the side that is farther from it."""
    (left, top, right, bottom), = (found.box for found in look(picture).things)
    side = NEW_PX / 2
    x = max((side, CANVAS_PX - side), key=lambda x: abs(x - (left + right) / 2))
    y = min(max((top + bottom) / 2, side), CANVAS_PX - side)
    return x - side, y - side, x + side, y + side


def as_mask(box: Box) -> torch.Tensor:
    mask = torch.zeros(1, CANVAS_PX, CANVAS_PX)
    left, top, right, bottom = map(round, box)
    mask[:, max(0, top):bottom, max(0, left):right] = 1
    return mask


def shapes_alone(world: World, edit: Edit, source: Source) -> np.ndarray:
    """Without the paper's mixing of words: the source's image queries and keys for as long as that mixed."""
    from attention_director.core.schedule import Schedule

    window = Schedule(0.0, {"add": 0.13, "remove": 0.5}.get(edit.kind, 0.3))
    return attend(mixes_words=False, self_window=window)(world, edit, source)


def advice(edit: Edit) -> dict[str, Any]:
    """What the help page says of this kind of edit."""
    from attention_director.core.schedule import Schedule

    first, new = (thing.phrase if thing else "" for thing in (edit.first, edit.new))
    if edit.kind == "remove":
        return {"self_window": Schedule(0.0, 0.5), "blend_words": first, "blend_start": 0.5, "blend_threshold": 0.5}
    told = {"mixes_words": True, "cross_window": Schedule(0.0, 0.4), "blend_start": 0.5, "blend_threshold": 0.5,
            "self_window": Schedule(0.0, 0.0 if edit.kind == "add" else 0.13)}
    if edit.kind == "place":
        return told | {"blend_words": f"{PLACES[edit.source.place]}\n{PLACES[edit.target.place]}",
                       "keep_words": "\n".join(thing.phrase for thing in edit.kept)}
    return told | {"blend_words": "\n".join(filter(None, (first, new)))}


VARIANTS: dict[str, Method] = {
    "unpatched": unpatched,
    "schedule-20": scheduled(0.2),
    "schedule-40": scheduled(0.4),
    "sdedit-40": sdedit(0.4),
    "sdedit-60": sdedit(0.6),
    "sdedit-80": sdedit(0.8),
    "flow-edit": flow_edit(16, 6, (4.0, 8.0)),
    "ours": attend(),
    "ours-shapes": shapes_alone,
    "ours-blend": attend(blend_words="", keep_words=""),
}
MAIN = ("unpatched", "ours")  # the others are measured on fewer edits


def ways_of(kind: str, every: bool) -> dict[str, Method]:
    """All that are measured on an edit of a kind, or the main ones."""
    chosen = VARIANTS if every else {name: VARIANTS[name] for name in MAIN}
    return chosen | ({"ours-placed": placed} if kind == "add" else {})
