"""The fused edits are the paper's edits of probabilities: compared with naive references at 1e-10."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from attention_director.core.call import AttentionCall, RowSpan, take_spans
from attention_director.core.edit_attention import EditAttention, self_limit
from attention_director.core.method import Chain
from attention_director.core.network import LayerAddress
from attention_director.core.regions import RegionRule
from attention_director.core.ruled import with_fixed_rules
from attention_director.core.schedule import Schedule
from edit_cases import ALWAYS, NEVER, cross_call, edit, edited_map, method, probabilities, tag
from region_cases import boxes, innermost, make_call
from region_cases import method as regions

EXACT = 1e-10
SWAP = ("a red cat eats", "a red bi+cycle eats")
ADD = ("a cat eats", "a big black cat eats fish")


def run(call: AttentionCall, made: EditAttention) -> torch.Tensor:
    return Chain().append(made).attend(call, innermost)


def expected(call: AttentionCall, made: EditAttention, row: int, source: int, number: int) -> torch.Tensor:
    """The paper's A_final V of one target row."""
    a_source, a_target = (probabilities(call.q[r], call.k[r]) for r in (source, row))
    planned = made.edits[number]
    gate = torch.tensor(planned.gate(made.cross_window, call.step.progress), dtype=torch.float64)
    return edited_map(a_source, a_target, planned.map, planned.factors, gate) @ call.v[row]


def reaches_unchanged(call: AttentionCall, made: EditAttention, row: int) -> bool:
    """Whether a row enters the innermost attention as it came, bit for bit, and is touched by nothing after.

    What a kernel makes of the same numbers at another address may differ by a rounding on some processors.
    """
    entered: list[AttentionCall] = []

    def same(inner: AttentionCall) -> torch.Tensor:
        entered.append(inner)
        return torch.zeros_like(inner.q)

    left = Chain().append(made).attend(call, same)
    return not left[row].any() and all(torch.equal(getattr(entered[0], name)[row], getattr(call, name)[row])
                                       and getattr(entered[0], name).stride() == getattr(call, name).stride()
                                       for name in "qkv")


def assert_rows(call: AttentionCall, made: EditAttention, targets: dict[int, tuple[int, int]]) -> None:
    """Target rows {row: (source row, edit)} are the paper's, all others untouched."""
    got, plain = run(call, made), innermost(call)
    for row in range(call.q.shape[0]):
        if row in targets:
            torch.testing.assert_close(got[row], expected(call, made, row, *targets[row]), rtol=0, atol=EXACT)
            assert (got[row] - plain[row]).abs().max() > 1e-3, "the edit must do something here"
        else:
            torch.testing.assert_close(got[row], plain[row], rtol=0, atol=EXACT)
            assert reaches_unchanged(call, made, row)


@pytest.mark.parametrize("prompts,kind", [(SWAP, "replace"), (ADD, "refine")], ids=["replace", "refine"])
@pytest.mark.parametrize("factors", [{}, {3: 2.0}, {3: -2.0, 4: 10.0}], ids=["plain", "more", "negative"])
def test_equals_the_paper(prompts: tuple[str, str], kind: str, factors: dict[int, float]) -> None:
    made = method(edit(*prompts, kind, factors))
    assert_rows(cross_call(tag(*prompts), 2), made, {3: (2, 0)})


def test_reweight_alone_edits_a_copy_of_the_source() -> None:
    made = method(edit("a cat eats", "a cat eats", "replace", {2: -1.5}))
    assert_rows(cross_call(tag("a cat eats", "a cat eats"), 2), made, {3: (2, 0)})


def test_several_targets_and_several_groups() -> None:
    """Image i reads prompt i mod P, and its source is image i - i mod P."""
    texts = ("a red cat eats", "a red dog eats", "a red cat eats fish", "a blue cat eats")
    made = method(edit(texts[0], texts[1], "replace"), edit(texts[0], texts[2], "refine", {2: 1.5}),
                  edit(texts[0], texts[3], "replace"))
    assert_rows(cross_call(tag(*texts), 8), made,
                {3: (2, 0), 4: (2, 1), 5: (2, 2), 7: (6, 0), 8: (6, 1), 9: (6, 2)})


def test_the_positive_may_come_first_and_another_conditioning_behind() -> None:
    ours, other = tag(*SWAP), tag(*SWAP, key="another")
    rows = (RowSpan(0, 2, ours), RowSpan(2, 3, None), RowSpan(3, 5, other))
    assert_rows(make_call("cross", (6, 5), rows), method(edit(*SWAP, "replace")), {1: (0, 0)})


WINDOWED = edit(*ADD, "refine", {4: 3.0}, windows=(((2,), Schedule(0.0, 0.2)), ((4, 5), Schedule(0.5, 1.0))))


@pytest.mark.parametrize("progress,open_", [(0.1, (True, True, False)), (0.3, (True, False, False)),
                                            (0.7, (False, False, True))])
def test_windows_of_words_override_their_columns(progress: float, open_: tuple[bool, ...]) -> None:
    """Token 1 follows the node's window (to 0.6), token 2 and tokens 4, 5 their own."""
    made = method(WINDOWED, cross_window=Schedule(0.0, 0.6))
    gate = WINDOWED.gate(made.cross_window, progress)
    assert (gate[1], gate[2], gate[4]) == open_ and gate[4] == gate[5]
    assert_rows(cross_call(tag(*ADD), 2, progress=progress), made, {3: (2, 0)})


def test_outside_every_window_nothing_happens_and_nothing_is_computed_twice() -> None:
    made = method(edit(*ADD, "refine"), cross_window=Schedule(0.0, 0.5), self_window=ALWAYS)
    calls: list[int] = []

    def counting(call: AttentionCall) -> torch.Tensor:
        calls.append(call.q.shape[0])
        return innermost(call)

    late = cross_call(tag(*ADD), 2, progress=0.6)
    assert torch.equal(Chain().append(made).attend(late, counting), innermost(late)) and calls == [4]
    calls.clear()
    Chain().append(made).attend(cross_call(tag(*ADD), 2), counting)
    assert calls == [4, 1], "refine attends again for its target row only"
    calls.clear()
    Chain().append(method(edit(*SWAP, "replace"))).attend(cross_call(tag(*SWAP), 2), counting)
    assert calls == [4], "replace attends once"
    assert made.schedule == Schedule(0.0, 1.0) and method(edit(*SWAP, "replace"), cross_window=NEVER).schedule.empty


@pytest.mark.parametrize("tiles", [1, 3])
def test_repeated_prompts_of_unequal_length(tiles: int) -> None:
    """One chunk against two: the host repeats the short one, and may repeat both once more."""
    long = " ".join(f"w{n}" for n in range(80))
    prompts = tag("a w1 w2", long)
    assert prompts.length == 154
    made = method(edit("a w1 w2", long, "refine", {5: 2.0}))
    single = cross_call(prompts, 2, keys=154)
    short_k, short_v = (x[2, :, :77].repeat(1, 2, 1) for x in (single.k, single.v))
    k, v = (torch.stack((x[0], x[1], short, x[3])) for x, short in ((single.k, short_k), (single.v, short_v)))
    tiled = (x.repeat(1, 1, tiles, 1).transpose(1, 2).contiguous().transpose(1, 2) for x in (k, v))
    call = replace(single, **dict(zip("kv", tiled, strict=True)))  # laid out as the host has it
    planned = made.edits[0]
    source, target = probabilities(call.q[2], k[2][:, :77]), probabilities(call.q[3], k[3])
    gate = torch.ones(154, dtype=torch.float64)
    wanted = edited_map(source, target, planned.map, planned.factors, gate) @ v[3]
    got = run(call, made)
    torch.testing.assert_close(got[3], wanted, rtol=0, atol=EXACT)
    torch.testing.assert_close(got[:3], innermost(call)[:3], rtol=0, atol=EXACT)
    assert all(reaches_unchanged(call, made, row) for row in range(3))


def test_words_that_another_node_appended_are_copied() -> None:
    prompts = tag(*SWAP, appended=77)
    made = method(edit(*SWAP, "replace"))
    call = cross_call(prompts, 2)
    whole = torch.block_diag(made.edits[0].map.sources, torch.eye(77, dtype=torch.float64))
    wanted = probabilities(call.q[2], call.k[2]) @ whole @ call.v[3]
    torch.testing.assert_close(run(call, made)[3], wanted, rtol=0, atol=EXACT)


@pytest.mark.parametrize("progress, acts", [(0.2, True), (0.6, False)])
def test_self_attention_is_copied_whole(progress: float, acts: bool) -> None:
    """A_src V_tgt, inside the window."""
    rows = (RowSpan(0, 2, tag(*SWAP)), RowSpan(2, 4, None))
    call = make_call("self", (16, 16), rows, latent=(64, 64), progress=progress, heads=1, width=8)
    made = method(edit(*SWAP, "replace"), self_window=Schedule(0.0, 0.5))
    got, plain = run(call, made), innermost(call)
    wanted = probabilities(call.q[0], call.k[0]) @ call.v[1] if acts else plain[1]
    torch.testing.assert_close(got[1], wanted, rtol=0, atol=EXACT)
    assert torch.equal(got[[0, 2, 3]], plain[[0, 2, 3]]) and torch.equal(got[1], plain[1]) != acts


class Asked:
    """A network that says how large a grid it was asked for."""

    def copied(self, cells: int) -> frozenset:
        self.cells = cells
        return frozenset({LayerAddress("input", 1, 0, "self")})


@pytest.mark.parametrize("latent, floor, most, cells", [
    ((64, 64), 16, 0, 16 * 16), ((128, 128), 16, 0, 32 * 32), ((64, 64), 32, 0, 32 * 32), ((128, 128), 32, 0, 32 * 32),
    ((64, 96), 16, 0, 16 * 24), ((16, 16), 16, 0, 16 * 16), ((64, 64), 16, 8, 64)])
def test_copies_in_the_layers_of_the_network(latent: tuple[int, int], floor: int, most: int, cells: int) -> None:
    """Published: grids of 16 for Stable Diffusion 1.x at 512, 32 for SDXL at 1024 and for inverted pictures."""
    network = Asked()
    made = method(edit(*SWAP, "replace"), self_window=ALWAYS, self_floor=floor, self_max=most).fitted(network, latent)
    assert network.cells == cells == self_limit(latent, floor, most)
    assert made.selects(LayerAddress("input", 1, 0, "self")) and not made.selects(LayerAddress("input", 0, 0, "self"))


def region_method():
    masks = boxes(12, 10, (0, 0, 12, 4), (0, 5, 12, 10))
    return replace(regions(["red", "eats"], masks, (1.0, 0.7), RegionRule()), key="7/regions")


@pytest.mark.parametrize("kind", ["cross", "self"])
def test_regions_in_the_same_chain_in_either_order(kind: str) -> None:
    """What is copied is the source's map with its regions, the rest the target's with its own."""
    texts = ("a red cat eats", "a red old cat eats")
    ours = replace(tag(*texts), keys=frozenset({"9/edit", "7/regions"}))
    call = make_call(kind, (6, 5), (RowSpan(0, 2, None), RowSpan(2, 4, ours)), latent=(12, 10))
    made = method(edit(*texts, "refine", {2: 1.5}), self_window=ALWAYS)
    maps: list[torch.Tensor] = []

    def looking(inner: AttentionCall) -> torch.Tensor:
        inner = with_fixed_rules(inner)
        scores = inner.q @ inner.k.transpose(-1, -2) * inner.q.shape[-1] ** -0.5
        assert inner.bias is not None
        maps.append(torch.softmax(scores + inner.bias.left @ inner.bias.right.transpose(-1, -2), -1))
        return maps[-1] @ inner.v

    Chain().append(region_method()).attend(call, looking)
    source, target = maps[0][2], maps[0][3]
    planned = made.edits[0]
    if kind == "cross":
        target = edited_map(source, target, planned.map, planned.factors, torch.ones(77, dtype=torch.float64))
    else:
        target = source
    for first, second in ((region_method(), made), (made, region_method())):
        got = Chain().append(first).append(second).attend(call, looking)
        torch.testing.assert_close(got[3], target @ call.v[3], rtol=0, atol=EXACT)
        torch.testing.assert_close(got[2], source @ call.v[2], rtol=0, atol=EXACT)


def test_some_rows_of_a_call() -> None:
    """Rows keep their words, their image and what another pack adds to them, found when it is asked for."""
    ours = tag(*SWAP)
    spans = (RowSpan(0, 2, None, 4), RowSpan(2, 6, ours))
    assert take_spans(spans, (2, 3, 5, 1, 2)) == (RowSpan(0, 2, ours, 0), RowSpan(2, 3, ours, 3),
                                                  RowSpan(3, 4, None, 5), RowSpan(4, 5, ours, 0))
    asked: list[int] = []
    call = make_call("cross", (2, 3), spans)
    call = replace(call, residual=lambda: asked.append(1) or call.q)
    some = call.take((5, 2)).take((1, 1, 0))
    assert torch.equal(some.k, call.k[[2, 2, 5]]) and not asked
    assert some.residual is not None and torch.equal(some.residual(), call.q[[2, 2, 5]])


def test_marks_of_an_observer_are_mixed_as_values_are() -> None:
    """A column of probe is to the map what a column of values is to the output."""
    call = cross_call(tag(*ADD), 2, heads=1, width=8)
    call = replace(call, probe=call.v[..., :3])
    seen: list[torch.Tensor] = []

    def watching(inner: AttentionCall) -> torch.Tensor:
        assert inner.probe is not None
        seen.append(innermost(replace(inner, v=torch.nn.functional.pad(inner.probe, (0, 5)))))
        return innermost(inner)

    out = Chain().append(method(WINDOWED)).attend(call, watching)
    torch.testing.assert_close((seen[0][3] + seen[1][0])[..., :3], out[3][..., :3], rtol=0, atol=EXACT)


@pytest.mark.parametrize("kind", ["cross", "self"])
def test_what_a_row_reads_by_its_sources_map_is_counted_for_the_row(kind: str) -> None:
    """The inner methods see the source's words and image, an observer whose output it is."""
    call = make_call(kind, (4, 4), (RowSpan(0, 1, None), RowSpan(1, 3, tag(*SWAP))))
    entered: list[AttentionCall] = []
    Chain().append(method(edit(*SWAP, "replace"), self_window=ALWAYS)).attend(
        call, lambda inner: entered.append(inner) or innermost(inner))
    assert entered[0].read_by == call.rows
    assert [image for span in entered[0].rows[1:] for image in span.images] == [0, 0]
    assert [image for span in entered[0].take((2, 1)).read_by for image in span.images] == [1, 0]


def test_a_batch_that_is_no_multiple_of_the_prompts() -> None:
    made = method(edit(*SWAP, "replace"), edit(*SWAP, "replace"))
    with pytest.raises(ValueError, match="1 latent for 3 prompts; connect this node's latent output to the sampler"):
        made.check_run([], 1)
    made.check_run([], 6)


def test_layers_are_chosen_by_what_is_open() -> None:
    cross, own = LayerAddress("input", 1, 0, "cross"), LayerAddress("input", 1, 0, "self")
    words = method(edit(*SWAP, "replace"))
    shapes = method(edit(*SWAP, "replace"), cross_window=NEVER, self_window=ALWAYS)
    assert words.selects(cross) and not words.selects(own)
    assert shapes.selects(own) and not shapes.selects(cross)
