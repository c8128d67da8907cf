"""What every family promises, on tiny networks of random weights: one entry in tests/families.py adds a family.

The methods here are made for the test: they see every layer, and change what can be computed by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import tiny
import torch
from attention_director.bridge.families import FAMILIES, family_of
from attention_director.bridge.run.install import install
from attention_director.bridge.text.words import phrase_without_clip
from attention_director.core.call import AttentionCall, LowRankBias
from attention_director.core.method import spans_of
from attention_director.core.text import columns
from contract_scene import KEY, Everywhere, entries, held_by, ours
from families import Entry
from scene import PROMPT, assert_differs, frozen

GRID = (16, 16)
LONG = "a tree by the water " * 110  # so long that the host evaluates it apart from a short prompt


def plain(call: AttentionCall, attend: Any) -> torch.Tensor:
    return attend(call)


def halved(call: AttentionCall, attend: Any) -> torch.Tensor:
    """Half of what the rows of our prompt attend to, in half of the channels: a norm behind it does not undo that."""
    out = attend(call)
    factors = torch.ones_like(out)
    for span in spans_of(KEY, call.rows):
        factors[span.start:span.stop, ..., ::2] = 0.5
    return out * factors


def run(model: Any, positive: list, negative: list, **options: Any) -> torch.Tensor:
    size, batch = options.pop("size", GRID), options.pop("batch", 1)
    latent = {"samples": torch.zeros(batch, model.model.latent_format.latent_channels, *size)}
    return tiny.sample(model, positive, negative, latent=latent, **({"steps": 1} | options))


@contextmanager
def forwards_of(model: Any) -> Iterator[list[tuple[list[int], torch.Tensor]]]:
    """(list of each row: 0 the positive, output) of every forward of the network in the block."""
    seen: list[tuple[list[int], torch.Tensor]] = []

    def note(_module: Any, args: tuple, kwargs: dict, output: torch.Tensor) -> None:
        lists = kwargs["transformer_options"]["cond_or_uncond"]
        seen.append(([i for i in lists for _ in range(len(output) // len(lists))], output.clone()))

    hook = model.model.diffusion_model.register_forward_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        hook.remove()


def rows_of(forwards: list[tuple[list[int], torch.Tensor]], which: int) -> torch.Tensor:
    return torch.stack([row for lists, output in forwards for number, row in zip(lists, output, strict=True)
                        if number == which])


def calls_of(entry: Entry, text: str = PROMPT, **options: Any) -> list[AttentionCall]:
    """Every call of a layer in one step at cfg 1."""
    calls: list[AttentionCall] = []

    def note(call: AttentionCall, attend: Any) -> torch.Tensor:
        calls.append(call)
        return attend(call)

    run(install(entry.model(), Everywhere(note)), ours(entry.encode(text)), entry.plain(""), **({"cfg": 1.0} | options))
    return calls


@entries
def test_one_family_owns_it_and_a_stranger_is_refused(entry: Entry) -> None:
    network = entry.model().model.diffusion_model
    assert [family.owns(network) for family in FAMILIES].count(True) == 1
    assert family_of(entry.model(), "Contract", joint=True).owns(network)
    assert not any(family.owns(torch.nn.Linear(1, 1)) for family in FAMILIES)


@entries
def test_passing_on_is_bitwise_the_host(entry: Entry) -> None:
    model = entry.model()
    positive, negative = ours(entry.encode(PROMPT)), entry.plain("")
    assert torch.equal(run(install(model, Everywhere(plain)), positive, negative), run(model, positive, negative))


@entries
def test_every_planned_layer_is_called_once_in_order(entry: Entry) -> None:
    model = entry.model()
    planned = family_of(model, "Contract", joint=True).network(model.model.diffusion_model, GRID).layers
    assert len(set(planned)) == len(planned) > 0
    assert [call.layer for call in calls_of(entry)] == list(planned)


@entries
@pytest.mark.parametrize("size", [(16, 16), (9, 15)])
def test_axes_add_up(entry: Entry, size: tuple[int, int]) -> None:
    for call in calls_of(entry, size=size):
        assert call.latent_grid == size
        assert (call.queries.length, call.keys.length) == (call.q.shape[2], call.k.shape[2])
        for axis in (call.queries, call.keys):
            stops = [0, *(segment.stop for segment in axis.segments)]
            assert all(before <= segment.start < segment.stop <= axis.length
                       for before, segment in zip(stops, axis.segments, strict=False))
            assert all(s.grid is not None and s.grid[0] * s.grid[1] == s.length for s in axis.of("image"))
        assert sum(s.length for s in call.keys.of("text")) % entry.text_grid == 0
        assert all(bool(call.blocks(a, b)) == call.layer.reads(a, b)
                   for a in ("image", "text") for b in ("image", "text"))


@entries
@pytest.mark.parametrize("other, cfg", [("", 5.0), (LONG, 5.0), ("", 1.0)], ids=["together", "apart", "cfg 1"])
def test_only_tagged_rows_change(entry: Entry, other: str, cfg: float) -> None:
    model = entry.model()
    positive, negative = ours(entry.encode(PROMPT)), entry.plain(other)
    with forwards_of(model) as host:
        run(model, positive, negative, cfg=cfg, batch=2)
    with forwards_of(model) as directed:
        run(install(model, Everywhere(halved)), positive, negative, cfg=cfg, batch=2)
    assert [lists for lists, _ in host] == [lists for lists, _ in directed]
    assert len(host) == (2 if other else 1)
    assert bool((rows_of(host, 0) - rows_of(directed, 0)).abs().amax((1, 2, 3)).min() > 1e-4)
    if cfg != 1.0:
        torch.testing.assert_close(rows_of(directed, 1), rows_of(host, 1), rtol=0, atol=1e-6)


@entries
def test_unequal_prompts_of_a_batch_are_as_each_alone(entry: Entry) -> None:
    model = entry.model()
    lines, negative = [PROMPT, "a red hat in the rain " + "tree " * 80], entry.plain("")
    directed = install(model, Everywhere(halved))
    batch = run(directed, ours(entry.encode("\n".join(lines), lines=True)), negative, batch=2)
    for row, line in enumerate(lines):
        alone = run(directed, ours(entry.encode(line)), negative, batch=2)
        torch.testing.assert_close(batch[row], alone[row], rtol=1e-4, atol=1e-3)
    assert_differs(batch[0], run(directed, ours(entry.encode(lines[1])), negative, batch=2)[0], least=0.05)


@entries
def test_a_bias_on_a_regions_words_is_the_naive_mask(entry: Entry) -> None:
    """Pixels of the left half read "red hat" three nats more: as a dense mask in an explicit softmax."""
    met = []
    wanted = phrase_without_clip("red hat")

    def biased(call: AttentionCall, attend: Any) -> torch.Tensor:
        blocks = call.blocks("image", "text")
        if not blocks:
            return attend(call)
        left = torch.zeros(call.q.shape[0], 1, call.q.shape[2], 1)
        right = torch.zeros(call.q.shape[0], 1, call.k.shape[2], 1)
        for block in blocks:
            height, width = block.queries.grid
            half = (torch.arange(width) < (width + 1) // 2).float().repeat(height)
            for span in spans_of(KEY, call.rows):
                left[span.start:span.stop, 0, block.queries.slice, 0] = 3.0 * half
                right[span.start:span.stop, 0, list(columns(span.tag, 0, wanted, block.keys)), 0] = 1.0
        heads = call.q.shape[1]
        out = attend(replace(call, bias=LowRankBias(left.expand(-1, heads, -1, -1), right) + call.bias))
        mask = left @ right.transpose(-1, -2)
        scores = call.q.double() @ call.k.double().transpose(-1, -2) * call.q.shape[-1] ** -0.5 + mask
        torch.testing.assert_close(out, (scores.softmax(-1) @ call.v.double()).float(), rtol=1e-4, atol=1e-5)
        met.append(bool(mask.any()))
        return out

    run(install(entry.model(), Everywhere(biased)), ours(entry.encode(PROMPT)), entry.plain(""))
    assert met and all(met)


@entries
def test_another_packs_patch_composes_in_any_order(entry: Entry) -> None:
    model = entry.model()
    positive, negative = ours(entry.encode(PROMPT)), entry.plain("")
    ours_first = run(entry.foreign(install(model, Everywhere(halved))), positive, negative)
    theirs_first = run(install(entry.foreign(model), Everywhere(halved)), positive, negative)
    assert torch.equal(ours_first, theirs_first)
    for alone in (install(model, Everywhere(halved)), entry.foreign(model)):
        assert_differs(ours_first, run(alone, positive, negative), least=0.05)


@entries
def test_an_interrupted_run_leaves_everything_as_it_was(entry: Entry) -> None:
    from comfy.model_management import InterruptProcessingException

    model = entry.model()
    positive, negative = ours(entry.encode(PROMPT)), entry.plain("")
    calls = iter(range(3))

    def stop(call: AttentionCall, attend: Any) -> torch.Tensor:
        if next(calls, None) is None:
            raise InterruptProcessingException
        return attend(call)

    patched, network = install(model, Everywhere(stop)), model.model.diffusion_model
    plain_picture = run(model, positive, negative)
    before = held_by(network), frozen(model.model_options), frozen(patched.model_options)
    with pytest.raises(InterruptProcessingException):
        run(patched, positive, negative)
    assert (held_by(network), frozen(model.model_options), frozen(patched.model_options)) == before
    assert torch.equal(run(model, positive, negative), plain_picture)
