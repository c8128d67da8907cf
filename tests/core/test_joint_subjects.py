"""Keys shared in joint layers: turned, read by the subject's own pixels, against the joint mask over unroped keys."""

from __future__ import annotations

from dataclasses import replace

import naive_joint_subjects as naive
import pytest
import torch
from attention_director.core.attention import attend_with_bias, explicit_attention
from attention_director.core.call import AttentionCall, LowRankBias, RowSpan, Scratch, Step
from attention_director.core.correspondence import alike, inject
from attention_director.core.heat import pixel_maps
from attention_director.core.network import LayerAddress
from attention_director.core.padding import without_padding
from attention_director.core.readers import Readers
from attention_director.core.rotary import Rotary, cells_of
from attention_director.core.sequence import Axis, Padding, Segment
from attention_director.core.shared_keys import SharedKeys, at_places, attend_shared, without_positions
from attention_director.core.subject_places import boxes, by_boxes, by_matches

GRID, TEXT, IMAGES, HEADS = (4, 5), 3, 3, 2
CELLS = GRID[0] * GRID[1]
LENGTH = TEXT + CELLS + 1  # one token behind the image that is nobody's
ROTARY = Rotary((4, 6, 6), 100.0, (5.0, 2.0, -1.0))
AXIS = Axis((Segment("text", 0, TEXT), Segment("image", TEXT, TEXT + CELLS, GRID)), LENGTH)
IMAGE = slice(TEXT, TEXT + CELLS)


def attend(call: AttentionCall) -> torch.Tensor:
    return without_padding(call, lambda part: attend_with_bias(part.q, part.k, part.v, part.bias, explicit_attention))


def stand(turned: tuple[int, ...] = (0,) * IMAGES) -> torch.Tensor:
    """Positions of all tokens of each image, [I, L, 3]."""
    out = torch.zeros(IMAGES, LENGTH, 3, dtype=torch.float64)
    out[:, :TEXT, 0] = torch.arange(TEXT).double()
    out[:, IMAGE] = ROTARY.positions(cells_of(GRID, torch.device("cpu"))).double()
    out[:, IMAGE, 0] += torch.tensor(turned).double()[:, None]
    return out


def scene(spans: int = 2, padding: tuple[Padding, ...] | None = None,
          bias: LowRankBias | None = None) -> tuple[AttentionCall, tuple[torch.Tensor, ...]]:
    """A call of roped q and k, and what they are before."""
    torch.manual_seed(3)
    plain = tuple(torch.randn(spans * IMAGES, HEADS, LENGTH, 16, dtype=torch.float64) for _ in range(3))
    at = stand(tuple(p.turn for p in padding[:IMAGES]) if padding else (0,) * IMAGES).repeat(spans, 1, 1)
    q, k = (torch.stack([naive.rope(x, p, ROTARY.axes, ROTARY.theta) for x, p in zip(t, at, strict=True)])
            for t in plain[:2])
    rows = tuple(RowSpan(s * IMAGES, (s + 1) * IMAGES, None) for s in range(spans))
    call = AttentionCall(q, k, plain[2], LayerAddress("joint", 0, 0, "joint"), AXIS, AXIS, (8, 10), rows,
                         Step(0.5, 0.5), Scratch(), bias, padding=padding, rotary=ROTARY)
    return call, plain


def masks() -> tuple[torch.Tensor, torch.Tensor]:
    """Where the subject is in each image, of unlike sizes, and what dropout leaves."""
    drawn = torch.zeros(IMAGES, *GRID, dtype=torch.bool)
    drawn[0, :2, :4], drawn[1, 2:, 3:], drawn[2, 1:, 1:3] = True, True, True
    drawn[0, 0, 3] = False
    whole = drawn.flatten(1)
    return whole, whole & (torch.rand(whole.shape, generator=torch.Generator().manual_seed(1)) < 0.7)


def groups_of(call: AttentionCall, anchors: int) -> list[SharedKeys]:
    whole, kept = masks()
    cells = cells_of(GRID, torch.device("cpu")).double()
    box = boxes(whole, cells)
    out = []
    for others in {tuple(a for a in range(anchors) if a != i) for i in range(IMAGES)}:
        members = [i for i in range(IMAGES) if tuple(a for a in range(anchors) if a != i) == others]
        if not others:
            continue
        pairs = [(a, int(n)) for a in others for n in kept[a].nonzero().flatten()]
        positions = torch.tensor([n for _, n in pairs])
        source = torch.stack([box[a] for a, _ in pairs])
        counts = whole[members].sum(1).tolist()
        out.append(SharedKeys(
            tuple(s.start + i for s in call.rows for i in members), len(members),
            torch.tensor([[s.start + a for a, _ in pairs] for s in call.rows]), positions,
            readers=Readers(whole[members], min(counts), max(counts)),
            places=torch.stack([by_boxes(cells[positions], source, box[i, None]) for i in members])))
    return out


def alone(groups: list[SharedKeys], rows: int) -> tuple[int, ...]:
    return tuple(set(range(rows)) - {row for group in groups for row in group.rows})


@pytest.mark.parametrize("strength", [1.0, 0.4])
def test_a_key_stands_for_as_many_pixels_as_it_gains(strength: float) -> None:
    call, plain = scene(1)
    gains = [1.0, 2.5, 4.0]
    groups = [replace(group, gains=torch.tensor([gains[row] for row in group.rows])) for group in groups_of(call, 2)]
    found = attend_shared(call, attend, groups, alone(groups, len(call.q)), strength)
    wanted = naive.shared_attention(*plain, stand(), (ROTARY.axes, ROTARY.theta), IMAGE, *masks(), GRID, 2, strength,
                                    gains)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("anchors", [1, 2, 3])
@pytest.mark.parametrize("strength", [1.0, 0.4, 2.0])
def test_turned_and_gathered_is_roped_anew_and_masked(anchors: int, strength: float) -> None:
    call, plain = scene()
    groups = groups_of(call, anchors)
    found = attend_shared(call, attend, groups, alone(groups, len(call.q)), strength)
    for span in call.rows:
        part = slice(span.start, span.stop)
        wanted = naive.shared_attention(*(x[part] for x in plain), stand(), (ROTARY.axes, ROTARY.theta), IMAGE,
                                        *masks(), GRID, anchors, strength)
        torch.testing.assert_close(found[part], wanted, rtol=0, atol=1e-6)
        outside = ~masks()[0]
        for i in range(IMAGES):
            own = attend(call.take((span.start + i,)))[0]
            torch.testing.assert_close(found[span.start + i, :, :TEXT], own[:, :TEXT], rtol=0, atol=1e-12)
            torch.testing.assert_close(found[span.start + i, :, IMAGE][:, outside[i]], own[:, IMAGE][:, outside[i]],
                                       rtol=0, atol=1e-12)


def test_images_behind_texts_of_unequal_length() -> None:
    """Each image stands behind its own text, and a key is turned there; padding is left out."""
    padding = tuple(Padding(TEXT - lack, range(TEXT - lack, TEXT), -lack) for lack in (0, 2, 1)) * 2
    call, plain = scene(2, padding)
    groups = groups_of(call, 2)
    found = attend_shared(call, attend, groups, alone(groups, len(call.q)), 1.0)
    for lack, row in ((0, 0), (2, 1), (1, 2)):
        shorter = [torch.cat((x[:, :, :TEXT - lack], x[:, :, TEXT:]), 2) for x in plain]
        at = stand((0, -2, -1))
        at = torch.cat((at[:, :TEXT - lack], at[:, TEXT:]), 1)
        image = slice(TEXT - lack, TEXT - lack + CELLS)
        wanted = naive.shared_attention(*(x[:IMAGES] for x in shorter), at, (ROTARY.axes, ROTARY.theta), image,
                                        *masks(), GRID, 2, 1.0)[row]
        torch.testing.assert_close(found[row, :, IMAGE], wanted[:, image], rtol=0, atol=1e-6)


def test_a_bank_of_keys_without_positions_is_the_live_run() -> None:
    call, _ = scene()
    groups = groups_of(call, 1)
    live = attend_shared(call, attend, groups, alone(groups, len(call.q)), 0.7)
    keys = without_positions(call)

    def banked(group: SharedKeys) -> tuple[torch.Tensor, torch.Tensor]:
        return at_places(call, group, group.gather(keys)), group.gather(call.v, TEXT)

    kept = [replace(group, sources=None, positions=None) for group in groups]
    stores = dict(zip(map(id, kept), groups, strict=True))
    found = attend_shared(call, attend, kept, alone(groups, len(call.q)), 0.7, lambda g: banked(stores[id(g)]))
    torch.testing.assert_close(found, live, rtol=0, atol=1e-6)


def test_biases_of_other_methods_and_observers_follow() -> None:
    """A bias per query goes with its query, and what words get is counted once for every pixel."""
    torch.manual_seed(4)
    left = torch.randn(IMAGES, HEADS, LENGTH, 2, dtype=torch.float64)
    right = torch.randn(1, 1, LENGTH, 2, dtype=torch.float64)
    right[:, :, TEXT:] = 0.0  # on words alone, as regions' are
    call, _ = scene(1, bias=LowRankBias(left, right))
    probe = torch.zeros(IMAGES, 1, LENGTH, 2, dtype=torch.float64)
    probe[:, :, 0, 0], probe[:, :, 2, 1] = 1.0, 1.0
    groups, total = groups_of(call, 2), torch.zeros(IMAGES, 2, *GRID, dtype=torch.float64)

    def seen(part: AttentionCall) -> torch.Tensor:
        rows = [image for span in part.rows for image in span.images]
        assert part.probe is not None and part.probe.shape[2] == part.k.shape[2]
        total[rows] += pixel_maps(part, part.probe, slice(0, len(part.q)))
        return attend(replace(part, probe=None))

    watched = replace(call, probe=probe)
    found = attend_shared(watched, seen, groups, alone(groups, len(call.q)), 1.0)
    torch.testing.assert_close(total, pixel_maps(call, probe, slice(0, IMAGES)), rtol=0, atol=1e-12)
    plain = attend_shared(replace(call, bias=None), attend, groups, alone(groups, len(call.q)), 1.0)
    scores = call.q @ call.k.transpose(-1, -2) / 4 + left @ right.transpose(-1, -2)
    wanted = scores.softmax(-1) @ call.v
    torch.testing.assert_close(found[:, :, :TEXT], wanted[:, :, :TEXT], rtol=0, atol=1e-12)
    assert float((found - plain).abs().max()) > 0.05


def test_boxes_and_their_map() -> None:
    whole, _ = masks()
    cells = cells_of(GRID, torch.device("cpu")).double()
    box = boxes(torch.cat((whole, torch.zeros(1, CELLS, dtype=torch.bool))), cells)
    assert box[0].tolist() == [0.5, 1.5, 2.0, 4.0] and box[3].tolist() == [0.0] * 4
    lists = [[tuple(map(int, c)) for c in cells[mask]] for mask in whole]
    for source in range(IMAGES):
        for target in range(IMAGES):
            found = by_boxes(cells, box[source, None], box[target, None])
            wanted = [naive.affine(tuple(c), lists[source], lists[target]) for c in cells.tolist()]
            assert torch.allclose(found, torch.tensor(wanted, dtype=torch.float64), atol=1e-12)


def test_what_is_alike_is_matched_and_mixed_by_its_cosine() -> None:
    draw = torch.Generator().manual_seed(6)
    own, pool = (torch.nn.functional.normalize(torch.randn(n, 6, generator=draw).double(), dim=-1) for n in (9, 12))
    pool[3] = torch.nn.functional.normalize(own[2] + 0.3 * own[3], dim=-1)
    valid, mask = torch.ones(1, 12, dtype=torch.bool), torch.ones(1, 9, dtype=torch.bool)
    valid[0, 7], mask[0, 4] = False, False
    found = alike(own, pool, valid, mask)
    x, other = torch.randn(9, 5, generator=draw).double(), torch.randn(12, 5, generator=draw).double()
    mixed = inject(x, other, found, 0.8)
    opened = 0
    for n in range(9):
        cosines = [float(own[n] @ pool[p]) if p != 7 else -1.0 for p in range(12)]
        best = max(range(12), key=cosines.__getitem__)
        wanted = x[n]
        if n != 4 and cosines[best] > 0.5:
            wanted, opened = (1 - 0.8 * cosines[best]) * x[n] + 0.8 * cosines[best] * other[best], opened + 1
        torch.testing.assert_close(mixed[n], wanted, rtol=0, atol=1e-12)
    assert 1 <= opened < 9
    index, gate = by_matches(pool, own, mask[0])
    for p in range(12):
        cosines = [float(own[n] @ pool[p]) if n != 4 else -1.0 for n in range(9)]
        assert int(index[p]) == max(range(9), key=cosines.__getitem__) and bool(gate[p]) == (max(cosines) > 0.5)
