"""AttentionEdit's work at graph time: encode source and targets, plan each edit, put one method on the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from ...core.edit_attention import EditAttention, TargetEdit
from ...core.joint_edit import JointBlendMaps, JointEditAttention
from ...core.local_blend import LocalBlend, positions_of, without_words
from ...core.schedule import Schedule
from ...core.text import Phrase, PromptTag, TextLayout
from ...core.token_map import TokenMap, extra_words, no_map, refine_map, replace_map
from ..errors import DirectorError
from ..families import family_of
from ..run.install import install, key_of
from ..text.prompt import Conditioning, encode, encode_lines, take_prompt, with_key, with_tag
from ..untrusted import require_number
from .lists import read_weights, read_windows, read_words, require
from .method import EditRun

# Pixels a side that the copied self-attention may have at least: published for generated and inverted pictures.
GENERATED, INVERTED = 16, 32
MOST_GRID = 4096


# Puts a picture's inversion on the model: (node, key, model, prompts, negative) -> (model, negative).
Replay = Callable[[str, str, Any, int, Conditioning | None], tuple[Any, Conditioning | None]]


@dataclass(frozen=True)
class EditOptions:
    """AttentionEdit's settings as they stand on the node; lists are text, one entry per line.

    published: pair words behind a change of length as the code published with the paper does (the node's
    legacy_tail). mixes_words: in joint layers too, words keep the source's places (the node's mix_words).
    """

    targets: str = ""
    edit: str = "auto"
    reweight: str = ""
    cross_window: Schedule = Schedule(0.0, 0.8)
    self_window: Schedule = Schedule(0.0, 0.4)
    blend_words: str = ""
    keep_words: str = ""
    blend_threshold: float = 0.3
    blend_start: float = 0.2
    word_windows: str = ""
    self_max_grid: int = 0
    published: bool = False
    mixes_words: bool = False


@dataclass(frozen=True)
class Outputs:
    """AttentionEdit's outputs."""

    model: Any
    positive: Conditioning
    negative: Conditioning
    latent: dict[str, Any]


def build(node: str, unique_id: str, model: Any, clip: Any, prompt: str | Conditioning, latent: dict[str, Any],
          options: EditOptions, negative: Conditioning | None = None, replay: Replay | None = None) -> Outputs:
    """Source and targets as one batch whose rows share attention. Raises DirectorError; changes no input."""
    joint = family_of(model, node, joint=True).joint
    require_number(node, "self_max_grid", options.self_max_grid, 0, MOST_GRID)
    conditioning, tag = prompts_of(node, clip, prompt, options)
    floor = GENERATED if replay is None else INVERTED
    key = key_of(unique_id, [row.text for row in tag.rows], options, floor)
    attention, kinds = plan(node, key, clip, tag, options, floor, joint)
    negative = encode(clip, "", node) if negative is None else negative
    if replay is not None:
        model, negative = replay(node, key, model, len(tag.rows), negative)
    acts = attention.prompts > 1 and not attention.schedule.empty
    if acts:
        around = EditRun(key, node, attention.schedule, attention.prompts, attention.blend, kinds)
        looks = (JointBlendMaps(key, node, attention.blend),) if joint and attention.blend is not None else ()
        model = install(model, attention, *looks, around)
    if acts or replay is not None:
        conditioning = with_key(conditioning, tag, key)
    assert negative is not None
    return Outputs(model, conditioning, negative, repeat_latent(latent, len(tag.rows)))


def prompts_of(node: str, clip: Any, prompt: str | Conditioning,
               options: EditOptions) -> tuple[Conditioning, PromptTag]:
    """The conditioning of source and targets, one row each. With nothing but weights the source is its own target."""
    targets = [line.strip() for line in options.targets.splitlines() if line.strip()]
    linked = not isinstance(prompt, str)
    if linked and targets:
        raise DirectorError(node, "the linked prompt brings its own rows, so targets must stay empty; list source and "
                                  "targets in Encode Prompt, one prompt per line, or type the source here.")
    if not linked and targets:
        return take_prompt(clip, encode_lines(clip, [prompt, *targets], node), node)
    conditioning, tag = take_prompt(clip, prompt, node)
    if len(tag.rows) > 1 or not _changes(read_weights(node, clip, options.reweight, tag.rows)):
        return conditioning, tag
    return _twice(conditioning, tag)


def _changes(weights: Sequence[tuple[Phrase, float]]) -> bool:
    return any(weight != 1.0 for _, weight in weights)


def _twice(conditioning: Conditioning, tag: PromptTag) -> tuple[Conditioning, PromptTag]:
    """A prompt of one row as source and target."""
    twin = PromptTag((*tag.rows, *tag.rows), tag.keys, tag.width, tag.appended)
    doubled = []
    for cond, values in conditioning:
        pooled = values.get("pooled_output")
        more = {"pooled_output": pooled.repeat(2, 1)} if torch.is_tensor(pooled) and pooled.shape[0] == 1 else {}
        doubled.append([cond.repeat(2, 1, 1), {**values, **more}])
    return with_tag(doubled, twin), twin


def plan(node: str, key: str, clip: Any, tag: PromptTag, options: EditOptions, floor: int,
         joint: bool) -> tuple[EditAttention, tuple[str, ...]]:
    """The attention method for these prompts, and the kind of each edit."""
    source, targets = tag.rows[0], tag.rows[1:]
    weights = read_weights(node, clip, options.reweight, targets or tag.rows)
    windows = read_windows(node, clip, options.word_windows, targets or tag.rows)
    edits, kinds = [], []
    for number, target in enumerate(targets, 1):
        kind, token_map = (token_map_of(node, number, source, target, options) if options.mixes_words or not joint
                           else ("shape", no_map(source, target)))
        edits.append(TargetEdit(token_map, factors_of(target, weights), windows_of(target, windows)))
        kinds.append("reweight" if source.text == target.text else kind)
    blend = local_blend(node, clip, tag, options)
    made = partial(JointEditAttention, mixes_words=options.mixes_words) if joint else EditAttention
    attention = made(key, tuple(edits), options.cross_window, options.self_window, floor, options.self_max_grid, blend,
                     node)
    return attention, tuple(kinds)


def token_map_of(node: str, number: int, source: TextLayout, target: TextLayout,
                 options: EditOptions) -> tuple[str, TokenMap]:
    """("replace" or "refine", the map) of one target; auto replaces where both have as many words."""
    ours, theirs = ([word.text for word in layout.words()] for layout in (target, source))
    same = len(ours) == len(theirs)
    if options.edit == "replace" and not same:
        extra, missing = extra_words(ours, theirs), extra_words(theirs, ours)
        name, words = ("extra", extra) if len(ours) > len(theirs) else ("missing", missing)
        named = f' ({name}: {", ".join(f"{chr(34)}{word}{chr(34)}" for word in words)})' if words else ""
        raise DirectorError(node, f"target {number} has {len(ours)} word{'s' * (len(ours) != 1)}, the source "
                                  f"{len(theirs)}{named}; use edit = refine or auto.")
    if options.edit == "refine" or not same:
        return "refine", refine_map(source, target, options.published)
    return "replace", replace_map(source, target, options.published)


def factors_of(target: TextLayout, weights: Sequence[tuple[Phrase, float]]) -> torch.Tensor:
    """The re-weighting of each token of a target: float64 [T]."""
    factors = torch.ones(len(target.tokens), dtype=torch.float64)
    for phrase, weight in weights:
        factors[list(positions_of(phrase, target))] = weight
    return factors


def windows_of(target: TextLayout, windows: Sequence[tuple[Phrase, Schedule]]) -> tuple[
        tuple[tuple[int, ...], Schedule], ...]:
    placed = ((positions_of(phrase, target), window) for phrase, window in windows)
    return tuple((positions, window) for positions, window in placed if positions)


def local_blend(node: str, clip: Any, tag: PromptTag, options: EditOptions) -> LocalBlend | None:
    """Where targets may differ, None for everywhere."""
    words = read_words(node, clip, options.blend_words)
    keep = read_words(node, clip, options.keep_words)
    for name, phrases in (("blend word", words), ("keep word", keep)):
        for phrase in phrases:
            require(node, name, phrase, tag.rows, "any prompt")
    if keep and not words:
        raise DirectorError(node, "keep_words needs blend_words, which is empty; name the words whose area may change "
                                  "there.")
    if not words or len(tag.rows) < 2:
        return None
    blend = LocalBlend(words, keep, options.blend_threshold, options.blend_start)
    bare = without_words(blend, tag.rows)
    if 0 in bare and len(bare) > 1:
        raise DirectorError(node, f"target {bare[1]} and the source contain no word of blend_words, so nothing could "
                                  "change; add one of their words.")
    return blend


def repeat_latent(latent: dict[str, Any], prompts: int) -> dict[str, Any]:
    """Each picture of a latent ``prompts`` times in a row, with its batch_index and noise_mask."""
    if prompts == 1:
        return latent
    samples = latent["samples"]
    images = samples.shape[0]
    index = [i for i in (latent.get("batch_index") or range(images)) for _ in range(prompts)]
    out = {**latent, "samples": samples.repeat_interleave(prompts, 0), "batch_index": index}
    mask = latent.get("noise_mask")
    if mask is not None and mask.ndim > 2 and mask.shape[0] > 1:
        own = mask[torch.arange(images) % mask.shape[0]]
        out["noise_mask"] = own.repeat_interleave(prompts, 0)
    return out

