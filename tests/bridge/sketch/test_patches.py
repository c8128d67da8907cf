"""Other packs' patches in the forward that is differentiated: their effect stays, whatever they do to a tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import sketch_scene as s
import tiny
import torch
from attention_director.bridge.run.install import install
from attention_director.core.call import Attend, AttentionCall, RowSpan
from attention_director.core.network import LayerAddress
from attention_director.core.schedule import Schedule
from recording import assert_maps, heat_of, recorded
from scene import PROMPT, assert_differs, assert_same, encode, family, host_encode, region_prompt

FEW: dict[str, Any] = dict(steps=2)


def scene() -> tuple[Any, list, list]:
    model, clip, negative = family("sd15")
    return model, host_encode(clip, PROMPT), negative


def test_freeu_v2_acts_beside_the_guidance() -> None:
    from comfy_extras.nodes_freelunch import FreeU_V2

    model, positive, negative = scene()
    both = FreeU_V2.execute(s.sketch(model), 1.3, 1.4, 0.9, 0.2).args[0]
    picture = tiny.sample(both, positive, negative, **FEW)
    assert_differs(picture, tiny.sample(s.sketch(model), positive, negative, **FEW))
    assert_differs(picture, tiny.sample(FreeU_V2.execute(model, 1.3, 1.4, 0.9, 0.2).args[0], positive, negative, **FEW))


def test_what_needs_cond_and_uncond_in_one_batch_keeps_its_effect() -> None:
    """NAG reads the negative's rows to change the positive's."""
    from comfy_extras.nodes_nag import NAGuidance

    model, positive, negative = scene()
    both = NAGuidance.execute(s.sketch(model), 5.0, 0.5, 1.5).args[0]
    alone = tiny.sample(s.sketch(model), positive, negative, **FEW)
    assert_differs(tiny.sample(both, positive, negative, **FEW), alone)


def scaled(x: torch.Tensor) -> torch.Tensor:
    """In place and out of it: a product that autograd keeps, written into what it was made of."""
    part = x[:, ::2]
    part.mul_(1 + 0.05 * torch.tanh(part * part.mean()))
    x[:, 1::2] = x[:, 1::2] * (1 + 0.02 * torch.tanh(x).mean())
    return x


def out_of_place(x: torch.Tensor) -> torch.Tensor:
    return scaled(x.clone())


KINDS = ["input_block_patch", "input_block_patch_after_skip", "middle_block_after_patch", "output_block_patch",
         "emb_patch", "attn1_patch", "attn2_patch", "attn1_output_patch", "attn2_output_patch", "middle_patch",
         "attn1 slot", "attn2 slot"]


def patched(model: Any, kind: str, change: Any) -> Any:
    """The model with a patch of that kind, which changes every tensor of its own."""
    clone = model.clone()
    attend = torch.nn.functional.scaled_dot_product_attention

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (4, -1)).transpose(1, 2)

    def slot(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, _options: dict) -> torch.Tensor:
        return attend(heads(change(q)), heads(change(k)), heads(change(v))).transpose(1, 2).flatten(2)

    if kind.endswith("slot"):
        getattr(clone, f"set_model_{kind.split()[0]}_replace")(slot, "input", 1)
    elif kind == "middle_block_after_patch":
        clone.set_model_patch(lambda values: {**values, "h": change(values["h"])}, kind)
    elif kind == "output_block_patch":
        clone.set_model_patch(lambda h, skip, _options: (change(h), change(skip)), kind)
    elif kind == "attn1_patch":  # one tensor is all three
        clone.set_model_patch(lambda n, _k, _v, _options: (changed := change(n), changed, changed), kind)
    elif kind == "attn2_patch":
        clone.set_model_patch(lambda n, k, v, _options: (change(n), k, v), kind)
    elif kind == "emb_patch":
        clone.set_model_patch(lambda emb, _channels, _options: change(emb), kind)
    else:
        clone.set_model_patch(lambda x, _options: change(x), kind)
    return clone


@pytest.mark.parametrize("kind", KINDS)
def test_a_patch_may_write_into_what_it_is_given(kind: str) -> None:
    """The same picture as by one that works on copies of its own; with regions around the slots of attention."""
    model, clip, negative = family("sd15")
    positive = host_encode(clip, PROMPT)
    if kind.endswith("slot"):
        graph = region_prompt(model, clip)
        model, positive = (graph.model, graph.positive) if kind == "attn1 slot" else (model, positive)
    found = tiny.sample(s.sketch(patched(model, kind, scaled)), positive, negative, **FEW)
    assert_same(found, tiny.sample(s.sketch(patched(model, kind, out_of_place)), positive, negative, **FEW))
    assert_differs(found, tiny.sample(s.sketch(model), positive, negative, **FEW), 1e-3)


@dataclass(eq=False)
class Count:
    calls: int = 0
    layers: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Counting:
    """A method whose attention depends on how often it was called in the run, as a running mean of maps does."""

    key: str = "counting"
    label: str = "Counting"
    schedule: Schedule = field(default_factory=Schedule)

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return True

    def selects(self, layer: LayerAddress) -> bool:
        return True

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        state = call.scratch.of(self.key, Count)
        state.calls += 1
        state.layers.append(str(call.layer))
        return attend(call) * (1 + 0.3 * torch.tensor(float(state.calls)).sin())


def test_what_a_method_remembers_is_put_back_where_blocks_are_computed_again() -> None:
    model, positive, negative = scene()
    model = install(model, Counting())
    left = [s.scratch_of_a_run(s.sketch(model, checkpointing=how), positive, negative, **FEW)["counting", Count]
            for how in ("off", "on")]
    off, on = (tiny.sample(s.sketch(model, checkpointing=how), positive, negative, **FEW) for how in ("off", "on"))
    assert left[0].calls == left[1].calls == len(left[1].layers) == 2 * 32
    assert_same(off, on)


def test_a_record_counts_each_layer_once_where_blocks_are_computed_again(store: Any) -> None:
    """In half of the steps, which would weigh more than the others in the mean."""
    model, clip, negative = family("sd15")
    positive = encode(clip, PROMPT)
    means = []
    for checkpointing in ("off", "on"):
        noted = recorded(s.sketch(model, checkpointing=checkpointing, end=0.5), positive)
        samples = tiny.sample(noted, positive, negative)
        means.append(heat_of(noted, samples).mean)
    assert_maps(means[1], means[0])
