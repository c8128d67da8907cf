"""Short runs of tiny networks with joint attention, with a prompt whose words are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import tiny
import tiny_joint
import torch
from layouts import padded

SIZE = (7, 10)  # an odd height: the network pads it to its patch of 2
WORDS = 12
TEXT = "a red hat and a dog"


def tagged(tokens: int = WORDS, key: str = "1/x", **values: Any) -> list[list[Any]]:
    from attention_director.bridge.text.prompt import TAG_KEY
    from attention_director.core.text import PromptTag

    tag = PromptTag((padded(TEXT, tokens),), frozenset({key}))
    return tiny_joint.conditioning(tokens, 5, **{TAG_KEY: tag}, **values)


def sample(model: Any, positive: Any, negative: Any = None, **more: Any) -> torch.Tensor:
    options = {"scheduler": "simple", "steps": 3, "cfg": 3.0, "size": SIZE} | more
    channels = model.model.latent_format.latent_channels
    latent = {"samples": torch.zeros(options.pop("batch", 1), channels, *options.pop("size"))}
    return tiny.sample(model, positive, negative or tiny_joint.conditioning(WORDS, 6), latent=latent, **options)


@dataclass(frozen=True, eq=False)
class Watcher:
    """Selects every layer, changes nothing (or what ``change`` does), and notes each call."""

    seen: list = field(default_factory=list)
    change: Any = None
    key: str = "1/x"
    label: str = "Watcher"
    acts_in_joint_layers: bool = True

    @property
    def schedule(self) -> Any:
        from attention_director.core.schedule import Schedule

        return Schedule()

    def acts_on(self, rows: Any) -> bool:
        from attention_director.core.method import spans_of

        return bool(spans_of(self.key, rows))

    def selects(self, layer: Any) -> bool:
        return True

    def __call__(self, call: Any, attend: Any) -> torch.Tensor:
        self.seen.append(call)
        return attend(self.change(call) if self.change else call)


def watched(watcher: Any, model: Any) -> Any:
    from attention_director.bridge.run.install import install

    return install(model, watcher)
