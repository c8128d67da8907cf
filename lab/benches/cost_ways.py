"""What bench cost compares beside the nodes of cost.py: methods that do little, subjects, and a joint layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

NODE = "bench"
PROMPT = "a red circle and a blue square"
WORDS = 512  # of a joint layer
THINGS = ("red circle", "blue square", "green star")
Made = tuple[Any, Any]


@dataclass(frozen=True, eq=False)
class Idle:
    """A method that is at work in some layers and does nothing there. where: is it this layer?"""

    where: Callable[[Any], bool]
    key: str = "1/idle"
    label: str = NODE
    acts_in_joint_layers: bool = True

    @property
    def schedule(self) -> Any:
        from attention_director.core.schedule import Schedule

        return Schedule()

    def acts_on(self, rows: Sequence[Any]) -> bool:
        return True

    def selects(self, layer: Any) -> bool:
        return self.where(layer)

    def __call__(self, call: Any, attend: Any) -> torch.Tensor:
        return attend(call)


def idle(where: Callable[[Any], bool]) -> Callable[[Any, Any], Made]:
    def make(model: Any, clip: Any) -> Made:
        from attention_director.bridge.run.install import install
        from attention_director.bridge.text.prompt import encode

        return install(model, Idle(where)), encode(clip, PROMPT, NODE)

    return make


def identity(localise: bool) -> Callable[[Any, Any], Made]:
    """IdentityInject around the model, with or without localise; an adapter changes weights, not what they cost."""
    def make(model: Any, clip: Any) -> Made:
        from attention_director.bridge.identity.method import IdentityRun
        from attention_director.bridge.run.install import install
        from attention_director.bridge.text.prompt import encode, take_prompt, tokenise_phrase, with_key
        from attention_director.core.localise import LocaliseSubjects
        from attention_director.core.schedule import Schedule

        key, phrases = "1/identity", [tokenise_phrase(clip, words, NODE) for words in ("red circle", "blue square")]
        conditioning, tag = take_prompt(clip, encode(clip, PROMPT, NODE), NODE)
        methods: list[Any] = [IdentityRun(key, NODE, 2, Schedule())]
        if localise:
            masks = torch.zeros(1, 2, 64, 64, dtype=torch.bool)
            methods.append(LocaliseSubjects(key, tuple(phrases), 1.0, Schedule(), masks, torch.zeros(2).bool()))
        return install(model, *methods), with_key(conditioning, tag, key)

    return make


def shared(two_pass: bool, side: int) -> Callable[[Any, Any], Made]:
    """Four scenes of two anchors."""
    def make(model: Any, clip: Any) -> Made:
        from attention_director.bridge.subject.build import build
        from attention_director.bridge.subject.options import SubjectOptions

        scenes = "\n".join(f"a red circle {place}" for place in ("here", "there", "in a box", "on a square"))
        made = build(NODE, "1", model, clip, scenes, "", "", "red circle",
                     {"samples": torch.zeros(1, 4, side, side)}, None, SubjectOptions(two_pass=two_pass))
        return made.model, made.positive

    return make


def joint_prompt(network: Any, key: str = "") -> Any:
    """A prompt of WORDS tokens as a joint network reads it, encoded at random; its regions' words are known."""
    from attention_director.bridge.text.prompt import TAG_KEY
    from attention_director.core.text import PromptTag

    draw = torch.Generator().manual_seed(5)
    context = torch.randn(1, WORDS, network.params.context_in_dim, generator=draw)
    pooled = torch.randn(1, network.params.vec_in_dim, generator=draw)
    tag = PromptTag((_layout(" and ".join(THINGS)),), frozenset({key}))
    return [[context, {"pooled_output": pooled, **({TAG_KEY: tag} if key else {})}]]


def joint_regions(model: Any, _clip: Any) -> Made:
    """Three regions in joint layers, as preset strong has it."""
    from attention_director.bridge.regions.presets import STRONG
    from attention_director.bridge.run.install import install
    from attention_director.core.joint_regions import JointRegionAttention
    from attention_director.core.text import Phrase

    key, masks = "1/regions", torch.zeros(1, 3, 64, 64, dtype=torch.bool)
    for n, (top, left) in enumerate(((8, 4), (8, 36), (36, 20))):
        masks[0, n, top:top + 24, left:left + 24] = True
    phrases = tuple(Phrase(thing, _layout(thing)) for thing in THINGS)
    method = JointRegionAttention(key, phrases, masks, (1.0,) * 3, STRONG.joint.rule, STRONG.joint.schedule)
    return install(model, method), joint_prompt(model.model.diffusion_model, key)


def _layout(text: str) -> Any:
    """A token for each word of one space between, then padding."""
    from attention_director.core.text import TextLayout

    starts = [0, *(i + 1 for i, letter in enumerate(text) if letter == " ")]
    words = [(start, start + len(word)) for start, word in zip(starts, text.split(" "), strict=True)]
    return TextLayout(text, (*words, *[None] * (WORDS - len(words))))
