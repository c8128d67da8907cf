"""Edits in a joint sequence of text, image and references, against the formulas written out row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from attention_director.core.call import AttentionCall, LowRankBias, RowSpan
from attention_director.core.edit_attention import TargetEdit
from attention_director.core.heat import pixel_maps
from attention_director.core.joint_edit import JointBlendMaps, JointEditAttention
from attention_director.core.joint_regions import JointRegionAttention, JointRule
from attention_director.core.local_blend import BlendMaps, LocalBlend
from attention_director.core.method import Chain, ModelCall
from attention_director.core.network import LayerAddress
from attention_director.core.padding import without_padding
from attention_director.core.rotary import Rotary
from attention_director.core.schedule import Schedule
from attention_director.core.sequence import Padding
from attention_director.core.text import Phrase, PromptTag
from attention_director.core.token_map import TokenMap, no_map, refine_map
from joint_cases import GRID, LAYER, PIXELS, WORDS, joint_call
from layouts import padded
from region_cases import boxes, innermost

KEY = "9/edit"
ALWAYS, NEVER = Schedule(), Schedule(0.0, 0.0)
SHORT, LONG = padded("a red hat and a dog", 9), padded("a big red hat and a blue dog", WORDS)
EVEN = padded("a green hat and a dog", 9)
IMAGE, TEXT = slice(WORDS, WORDS + PIXELS), slice(0, WORDS)
UNEQUAL = (Padding(12, range(12, 12)), Padding(9, range(9, 12)), Padding(12, range(12, 12)))


def edit_call(target=LONG, progress: float = 0.2, seed: int = 0) -> AttentionCall:
    """Row 0 is not ours; row 1 is the source, row 2 the target."""
    call = joint_call(seed, progress)
    own = len(target.tokens)
    tag = PromptTag((SHORT, target), frozenset({KEY, "7/regions"}), length=WORDS, padded=True)
    padding = (*UNEQUAL[:2], Padding(own, range(own, WORDS)))
    return replace(call, rows=(RowSpan(0, 1, None), RowSpan(1, 3, tag)), padding=padding)


def method(factors: dict[int, float] | None = None, target=LONG, words: bool = False, shapes: Schedule = NEVER,
           window: Schedule = ALWAYS, **more) -> JointEditAttention:
    weights = torch.ones(len(target.tokens), dtype=torch.float64)
    for position, factor in (factors or {}).items():
        weights[position] = factor
    made = (refine_map if words else no_map)(SHORT, target)
    return JointEditAttention(KEY, (TargetEdit(made, weights),), window, shapes, mixes_words=words, **more)


def attended(call: AttentionCall) -> torch.Tensor:
    return without_padding(call, innermost)


def run(call: AttentionCall, *methods) -> torch.Tensor:
    return Chain(methods).attend(call, attended)


def softmax(q: torch.Tensor, k: torch.Tensor, unread: Sequence[int], bias: torch.Tensor | float = 0.0) -> torch.Tensor:
    scores = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5 + bias
    scores[..., list(unread)] = -torch.inf
    return torch.softmax(scores, -1)


def with_image_of(call: AttentionCall, name: str, row: int = 2, source: int = 1) -> torch.Tensor:
    """[x_row text; x_source image; x_row references]."""
    x = getattr(call, name)
    return torch.cat((x[row, :, TEXT], x[source, :, IMAGE], x[row, :, IMAGE.stop:]), 1)


def unread(call: AttentionCall, row: int) -> range:
    assert call.padding is not None
    return call.padding[row].unread


def assert_only_the_target_changes(call: AttentionCall, got: torch.Tensor, wanted: torch.Tensor) -> None:
    plain = attended(call)
    torch.testing.assert_close(got[2], wanted, rtol=0, atol=1e-10)
    assert torch.equal(got[:2], plain[:2]) and float((got[2] - plain[2])[:, IMAGE].abs().max()) > 1e-3


@pytest.mark.parametrize("target", [LONG, EVEN], ids=["unequal", "equal"])
def test_structure_is_the_sources_image_queries_and_keys(target) -> None:
    call = edit_call(target)
    wanted = softmax(with_image_of(call, "q"), with_image_of(call, "k"), unread(call, 2)) @ call.v[2]
    assert_only_the_target_changes(call, run(call, method(target=target, shapes=ALWAYS)), wanted)


def test_structure_is_copied_in_its_window_and_layers_alone() -> None:
    early, late = edit_call(progress=0.2), edit_call(progress=0.6)
    made = method(shapes=Schedule(0.0, 0.5))
    assert not torch.equal(run(early, made)[2], attended(early)[2])
    assert torch.equal(run(late, made), attended(late))
    elsewhere = replace(made, copied=frozenset({LayerAddress("single", 3, 0, "joint")}))
    assert not elsewhere.selects(LAYER) and made.selects(LAYER) and not method().selects(LAYER)


def test_copied_tokens_stand_as_behind_the_targets_own_text() -> None:
    """Where an image's first position follows its text's length, the source's tokens move with the target's."""
    turns = (0, -3, 2)
    call, rotary = edit_call(), Rotary((4, 6, 6), 256.0)
    assert call.padding is not None
    padding = tuple(replace(of, turn=turn) for of, turn in zip(call.padding, turns, strict=True))
    moved = replace(call, padding=padding, rotary=rotary)
    delta = torch.tensor([[[5.0, 0.0, 0.0]]])
    q, k = (call.q.clone(), call.k.clone())
    for x in (q, k):
        x[1:2, :, IMAGE] = rotary.turn(x[1:2, :, IMAGE], delta)
    turned = replace(call, q=q, k=k)
    wanted = softmax(with_image_of(turned, "q"), with_image_of(turned, "k"), range(0)) @ call.v[2]
    assert_only_the_target_changes(moved, run(moved, method(shapes=ALWAYS)), wanted)


@pytest.mark.parametrize("progress", [0.2, 0.8], ids=["window open", "window closed"])
def test_outside_the_area_the_source_is_held(progress: float) -> None:
    """v too; behind the window q and k only there."""
    call = edit_call(progress=progress)
    area = torch.zeros(2, *GRID, dtype=torch.bool)
    area[1, 1:4, 1:3] = True
    made = method(shapes=Schedule(0.0, 0.5), blend=LocalBlend((), (), 0.3, 0.1))
    state = made_area(call, made, area)
    got = run(state, made)
    inside, q, k, v = area[1].flatten(), *(getattr(call, name)[2].clone() for name in "qkv")
    for i in range(PIXELS):
        for x, theirs in ((q, call.q[1]), (k, call.k[1]), (v, call.v[1])):
            if not inside[i] or (progress < 0.5 and x is not v):
                x[:, WORDS + i] = theirs[:, WORDS + i]
    assert_only_the_target_changes(state, got, softmax(q, k, range(0)) @ v)


def made_area(call: AttentionCall, made: JointEditAttention, area: torch.Tensor) -> AttentionCall:
    """The call with the area that an earlier one has left."""
    from attention_director.core.joint_edit import HeldArea

    call.scratch.of(made.key, HeldArea).area = area
    return call


def test_the_area_is_that_of_the_maps_before() -> None:
    """Found before a call of the model begins, from the blend's start on."""
    from attention_director.core.joint_edit import HeldArea

    call = edit_call()
    blend = LocalBlend((Phrase("dog", padded("dog", 3)),), (), 0.3, 0.5)
    made = method(blend=blend)
    assert blend.area(KEY, call.scratch, 2) is None
    maps = torch.rand(2, 2, *GRID)
    blend.add(KEY, call, range(2), maps)
    for progress, known in ((0.4, False), (0.5, True)):
        step = replace(call.step, progress=progress)
        made.begin_call(ModelCall(call.rows, step, Chain((made,)), call.scratch))
        area = call.scratch.of(KEY, HeldArea).area
        assert (area is not None) == known
    assert area is not None and torch.equal(area, blend.mask(KEY, call.scratch, GRID, 2))


def test_a_weight_scales_a_words_share_and_renormalises() -> None:
    """+ ln c on one column, for the image's rows alone."""
    call, weights = edit_call(), {4: 3.0, 8: 0.25}
    read = softmax(call.q[2], call.k[2], range(0))
    scaled = read.clone()
    for j, c in weights.items():
        scaled[..., j] *= c
    scaled = scaled / scaled.sum(-1, keepdim=True)
    wanted = torch.cat((read[:, TEXT], scaled[:, IMAGE], read[:, IMAGE.stop:]), 1) @ call.v[2]
    assert_only_the_target_changes(call, run(call, method(weights)), wanted)


def test_a_weight_of_nothing_or_less_multiplies_the_words_value() -> None:
    call, weights = edit_call(), {4: -1.5, 8: 0.0, 2: 2.0}
    read = softmax(call.q[2], call.k[2], range(0))
    up = read.clone()
    up[..., 2] *= 2.0
    up = up / up.sum(-1, keepdim=True)
    for j in (4, 8):
        up[..., j] *= weights[j]
    wanted = torch.cat((read[:, TEXT], up[:, IMAGE], read[:, IMAGE.stop:]), 1) @ call.v[2]
    assert_only_the_target_changes(call, run(call, method(weights)), wanted)


@pytest.mark.parametrize("shapes", [NEVER, ALWAYS], ids=["words alone", "with shapes"])
@pytest.mark.parametrize("weights", [{}, {3: -1.5, 8: 2.0}])
def test_words_are_mixed_as_the_paper_says(shapes: Schedule, weights: dict[int, float]) -> None:
    """A_src on the mapped tokens, the target's own elsewhere and on the picture; other rows read as ever."""
    call, made = edit_call(), method(weights, words=True, shapes=shapes)
    copied: TokenMap = made.edits[0].map
    q, k = (with_image_of(call, name) if shapes is ALWAYS else getattr(call, name)[2] for name in "qk")
    source = softmax(call.q[1], call.k[1], unread(call, 1))
    target = softmax(q, k, range(0))
    mixed = target.clone()
    for j in range(WORDS):
        theirs = sum(float(copied.sources[i, j]) * source[..., i] for i in range(9))
        mixed[..., j] = weights.get(j, 1.0) * (theirs if copied.copied[j] else target[..., j])
    wanted = torch.cat((target[:, TEXT], mixed[:, IMAGE], target[:, IMAGE.stop:]), 1) @ call.v[2]
    assert_only_the_target_changes(call, run(call, made), wanted)


def test_what_the_model_puts_before_a_prompt_copies_itself() -> None:
    """Flux.2 fills each row up from the front: three tokens more before the shorter one."""
    call = edit_call()
    tag = PromptTag((padded("a dog", 4), padded("a red dog", 5)), frozenset({KEY}), length=5, padded=True, before=7)
    call = replace(call, padding=None, rows=(RowSpan(0, 1, None), RowSpan(1, 3, tag)))
    edit = TargetEdit(refine_map(*tag.rows), torch.ones(5, dtype=torch.float64))
    made = JointEditAttention(KEY, (edit,), ALWAYS, NEVER, mixes_words=True)
    source, target = (softmax(call.q[row], call.k[row], range(0)) for row in (1, 2))
    mixed = target.clone()
    for j in range(7):
        mixed[..., j] = source[..., j]
    for i, j in ((8, 7), (9, 8), (10, 10), (11, 11)):
        mixed[..., j] = source[..., i]
    wanted = torch.cat((target[:, TEXT], mixed[:, IMAGE], target[:, IMAGE.stop:]), 1) @ call.v[2]
    assert_only_the_target_changes(call, run(call, made), wanted)


def test_words_follow_their_window() -> None:
    made = method({4: 3.0}, window=Schedule(0.0, 0.5))
    late = edit_call(progress=0.6)
    assert torch.equal(run(late, made), attended(late)) and not method({}).edits_words


@pytest.mark.parametrize("made", [method(shapes=ALWAYS), method({4: 3.0, 8: -1.0}, shapes=ALWAYS),
                                  method({4: 3.0}, words=True, shapes=ALWAYS)], ids=["shapes", "weights", "words"])
def test_regions_in_the_same_chain_in_either_order(made: JointEditAttention) -> None:
    """The rule is of the tokens that are really read."""
    masks = boxes(10, 8, (0, 0, 6, 4), (4, 3, 10, 8))[None]
    phrases = tuple(Phrase(text, padded(text, 4)) for text in ("red hat", "dog"))
    regions = JointRegionAttention("7/regions", phrases, masks, (1.0, 0.7), JointRule(self_strength=0.2), Schedule())
    call = edit_call()
    got = run(call, made, regions)
    torch.testing.assert_close(got, run(call, regions, made), rtol=0, atol=1e-12)
    torch.testing.assert_close(got[:2], run(call, regions)[:2], rtol=0, atol=1e-12)
    assert float((got[2] - run(call, regions)[2]).abs().max()) > 1e-3
    if not made.edits_words:
        q, k = (torch.stack((x[0], x[1], with_image_of(call, name))) for name, x in (("q", call.q), ("k", call.k)))
        torch.testing.assert_close(got[2], run(replace(call, q=q, k=k), regions)[2], rtol=0, atol=1e-10)


@pytest.mark.parametrize("words", [False, True])
def test_the_blend_sees_the_maps_that_are_really_read(words: bool) -> None:
    """exp(s - LSE over the text), mean of the heads, of the edited attention; a running sum."""
    call = edit_call()
    blend = LocalBlend((Phrase("dog", padded("dog", 3)),), (Phrase("hat", padded("hat", 3)),), 0.3, 0.0)
    made, looks = method(words=words, shapes=ALWAYS), JointBlendMaps(KEY, "Edit", blend)
    assert looks.observes(LAYER)
    for _ in range(2):
        run(call, made, looks)
    q, k = with_image_of(call, "q")[:, IMAGE], with_image_of(call, "k")[:, TEXT]
    source = softmax(call.q[1, :, IMAGE], call.k[1, :, TEXT], unread(call, 1))
    target = softmax(q, k, range(0))
    if words:  # "dog" and "hat" are in both prompts
        target = source @ made.edits[0].map.sources.new_zeros(WORDS, WORDS).index_put(
            (torch.tensor([6, 3]), torch.tensor([8, 4])), torch.ones(2, dtype=torch.float64))
    wanted = torch.stack([source[..., [6, 3]].mean(0), target[..., [8, 4]].mean(0)]).transpose(1, 2)
    got = call.scratch.of(KEY, BlendMaps).total
    torch.testing.assert_close(got.double(), 2 * wanted.unflatten(-1, GRID), rtol=0, atol=1e-6)


def test_what_rides_beside_the_values_is_mixed_alike() -> None:
    """A column of probe is to what a pixel reads what a column of values is to the output."""
    call = edit_call(EVEN)
    call = replace(call, padding=None)
    call = replace(call, probe=call.v[:, :1, :, :3].clone(), v=call.v[:, :1].expand(-1, 2, -1, -1))
    call.probe[:, :, WORDS:] = 0.0
    seen: list[torch.Tensor] = []

    def watching(inner: AttentionCall) -> torch.Tensor:
        if inner.probe is not None:
            seen.append(pixel_maps(inner, inner.probe, slice(len(inner.q) - 1, len(inner.q))))
        return innermost(inner)

    Chain((method(words=True, target=EVEN),)).attend(call, watching)
    plain = pixel_maps(call, call.probe, slice(1, 2))
    assert len(seen) == 3 and torch.isfinite(sum(seen[1:])).all() and float((seen[2] - plain).abs().max()) > 0


def test_a_part_of_the_queries_has_their_share_of_everything() -> None:
    call = edit_call()
    left, right = (torch.randn(3, heads, call.queries.length, 2, dtype=torch.float64) for heads in (2, 1))
    call = replace(call, bias=LowRankBias(left, right), residual=lambda: call.q)
    part, whole = call.of_queries(IMAGE), attended(call)
    torch.testing.assert_close(attended(part), whole[:, :, IMAGE], rtol=0, atol=1e-12)
    assert part.residual is not None and torch.equal(part.residual(), call.q[:, :, IMAGE])
    assert part.grid == GRID and part.queries.length == PIXELS and not part.blocks("text", "image")
    block, = part.blocks("image", "text")
    assert block.queries.slice == slice(0, PIXELS) and block.keys.slice == TEXT
