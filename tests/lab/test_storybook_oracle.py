"""The storybook oracle: from votes to things, what counts as right, line-ups, the gate."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from storybook import gate
from storybook.atlas import read_atlas
from storybook.cast import CLASSES, COLOURS, PLACES, WITH_LOOKS
from storybook.detector import CELL_PX, Answers, Detector, Votes, cell_centres, losses, overlap, owners
from storybook.measure import LINE_UP, alone, line_up, nearest
from storybook.oracle import Found, Oracle, Seen, matched, recovered, shows
from storybook.render import Renderer, stack
from storybook.scene import CANVAS_PX, Scene, Scenes, Thing
from storybook.train_oracle import THRESHOLDS, threshold

ATLAS = read_atlas()
CPU = torch.device("cpu")
SIDE = CANVAS_PX // CELL_PX


def perfect_votes(scenes: list[Scene], boxes: torch.Tensor, sure: float = 9.0) -> Votes:
    """What a detector without mistakes would say of scenes with boxes [B, 4, 4]; ``sure`` is the size of its logits."""
    batch, answers = stack(scenes), Answers.of(ATLAS, CPU)
    owner = owners(boxes, batch.sprite, SIDE)
    sprite = torch.gather(batch.sprite, 1, owner.clamp(min=0)).clamp(min=0)
    one_hot = torch.nn.functional.one_hot
    box = torch.gather(boxes, 1, owner.clamp(min=0)[..., None].expand(-1, -1, 4))
    return Votes(torch.where(owner >= 0, sure, -9.0), 2 * sure * one_hot(answers.kind[sprite], len(CLASSES)).float(),
                 2 * sure * one_hot(answers.colour[sprite].clamp(min=0), len(COLOURS)).float(), box,
                 one_hot(sprite, len(ATLAS)).float(), 9.0 * one_hot(batch.place, len(PLACES)).float())


class Answering(torch.nn.Module):
    """A detector that has its votes ready."""

    def __init__(self, votes: Votes) -> None:
        super().__init__()
        self.votes = votes

    def forward(self, pictures: torch.Tensor) -> Votes:
        assert pictures.shape[1:] == (3, CANVAS_PX, CANVAS_PX)
        return self.votes


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return Scenes(ATLAS, 5, "test", which="all").some(0, 24)


@pytest.fixture(scope="module")
def boxes(scenes: list[Scene]) -> torch.Tensor:
    return Renderer(ATLAS, CPU)(scenes).boxes


def test_every_thing_has_cells_that_vote_for_it(scenes: list[Scene], boxes: torch.Tensor) -> None:
    owner = owners(boxes, stack(scenes).sprite, SIDE)
    centre = cell_centres(SIDE, CPU)
    for b, scene in enumerate(scenes):
        assert set(range(len(scene.things))) <= set(owner[b].tolist()) <= {-2, -1, *range(len(scene.things))}
        for i in range(len(scene.things)):
            left, top, right, bottom = boxes[b, i]
            own = centre[owner[b] == i]
            assert ((own[:, 0] > left) & (own[:, 0] < right) & (own[:, 1] > top) & (own[:, 1] < bottom)).all()


def test_perfect_votes_become_the_scenes_things(scenes: list[Scene], boxes: torch.Tensor) -> None:
    oracle = Oracle(Answering(perfect_votes(scenes, boxes)))
    for seen, scene, own in zip(oracle.look(torch.zeros(24, 3, 256, 256)), scenes, boxes.tolist(), strict=True):
        assert seen.place == scene.place and not seen.unsure
        assert seen.phrases.total() == len(scene.things)
        assert recovered(seen, scene, own[:len(scene.things)]) == [True] * len(scene.things)
        assert shows(seen, [thing.phrase for thing in scene.things])
        for thing, found in zip(scene.things, matched(seen.things, own[:len(scene.things)]), strict=True):
            assert found is not None and int(found.look.argmax()) == thing.sprite


def test_an_unsure_thing_counts_as_missing(scenes: list[Scene], boxes: torch.Tensor) -> None:
    votes = perfect_votes(scenes, boxes, sure=0.5)
    seen = Oracle(Answering(votes), threshold=0.9).look(torch.zeros(24, 3, 256, 256))
    assert all(picture.found and picture.unsure == len(picture.found) and not picture.things for picture in seen)
    assert not any(any(recovered(picture, scene, own[:len(scene.things)]))
                   for picture, scene, own in zip(seen, scenes, boxes.tolist(), strict=True))
    assert not shows(seen[0], [scenes[0].things[0].phrase])


def test_another_size_of_picture_is_looked_at_as_256(scenes: list[Scene], boxes: torch.Tensor) -> None:
    oracle = Oracle(Answering(perfect_votes(scenes[:1], boxes[:1])))
    assert oracle.look(torch.zeros(1, 3, 384, 512))[0].place == scenes[0].place


def found(phrase: str, box: tuple[float, float, float, float], sure: bool = True) -> Found:
    return Found(phrase, box, np.ones(1), 1.0, sure)


def test_one_thing_answers_for_one_box() -> None:
    dog, cat = found("dog", (0, 0, 100, 100)), found("cat", (10, 0, 110, 100))
    assert matched([dog, cat], [(0, 0, 100, 100), (5, 0, 105, 100)]) == [dog, cat]
    assert matched([dog], [(0, 0, 100, 100), (2, 0, 102, 100)]) == [dog, None]
    assert matched([dog], [(80, 80, 180, 180)]) == [None]
    scene = Scene("beach", (Thing(0, "cat", 50, 50, 100), Thing(0, "dog", 55, 50, 100)))
    assert recovered(Seen("beach", (dog, cat)), scene, [(0, 0, 100, 100), (10, 0, 110, 100)]) == [False, False]


def test_two_dogs_ask_for_two() -> None:
    one = Seen("beach", (found("dog", (0, 0, 9, 9)), found("dog", (20, 0, 29, 9), sure=False)))
    assert shows(one, ["dog"]) and not shows(one, ["dog", "dog"]) and not shows(one, ["cat"])


def test_overlap_is_intersection_over_union() -> None:
    a = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 10, 10]])
    b = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]])
    assert overlap(a, b).tolist() == pytest.approx([1, 1 / 3, 0], abs=1e-5)


def test_the_threshold_is_as_low_as_the_wrong_ones_allow() -> None:
    votes = [(0.99 - 0.001 * i, True) for i in range(500)] + [(0.40, False), (0.39, False)]
    assert threshold(votes, 0.001) == pytest.approx(0.491)
    assert threshold(votes, 0.002) == pytest.approx(0.40)
    assert threshold([(0.9, False)] * 9, 0.002) == THRESHOLDS[1]
    assert threshold([(0.1, True)] * 9, 0.002) == THRESHOLDS[0]


def test_losses_fall_to_nothing_for_perfect_votes_and_reach_every_head(scenes: list[Scene]) -> None:
    rendered, batch, answers = Renderer(ATLAS, CPU)(scenes[:4]), stack(scenes[:4]), Answers.of(ATLAS, CPU)
    perfect = losses(perfect_votes(scenes[:4], rendered.boxes), torch.eye(len(ATLAS)), rendered, batch, answers)
    net = Detector(len(ATLAS), 16)
    terms = losses(net(rendered.pictures), net.prototypes, rendered, batch, answers)
    assert set(terms) == {"thing", "kind", "colour", "box", "look", "place"}
    assert float(perfect["box"]) < 1e-4 and float(perfect["thing"]) < 1e-3 and float(perfect["look"]) < 1e-2
    assert all(float(terms[name].detach()) > 2 * float(perfect[name]) for name in terms)
    sum(terms.values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_an_oracle_is_saved_with_its_threshold(tmp_path: Path, scenes: list[Scene]) -> None:
    oracle = Oracle(Detector(len(ATLAS), 16).eval(), 0.73)
    again = Oracle.read(oracle.save(tmp_path / "oracle.safetensors"))
    assert again.threshold == 0.73
    pictures = Renderer(ATLAS, CPU)(scenes[:2]).pictures
    with torch.inference_mode():
        assert torch.allclose(oracle.net(pictures).kind, again.net(pictures).kind, atol=0.05)


def test_line_ups_hold_twenty_of_whom_one_is_right() -> None:
    rng = Random(0)
    for word in WITH_LOOKS:
        sprite = ATLAS.looks(word, "all")[3]
        people = line_up(sprite, ATLAS, rng)
        assert len(people) == len(set(people)) == LINE_UP and sprite in people
        assert sum(ATLAS.phrases[i] == word for i in people) == min(LINE_UP, len(ATLAS.looks(word, "all")))
    known = {i: np.eye(len(ATLAS))[i] for i in people}
    assert nearest(known[sprite], people, known) == sprite
    assert nearest(known[sprite], [i for i in people if i != sprite], {}) is None
    assert alone(sprite, ATLAS, rng).things[0].sprite == sprite


def test_the_gate_asks_for_held_out_captions_that_say_their_place() -> None:
    some = gate.jobs(ATLAS, 30)
    assert some == gate.jobs(ATLAS, 30)
    assert [len(job.phrases) for job in some] == [1, 2, 3] * 10
    assert all(job.caption.held_out and PLACES[job.place] in job.caption.text for job in some)
    assert len({job.seed for job in some}) == 30
    assert all(sorted(job.phrases) == sorted(w for w, part in job.caption.pieces if 0 <= part < 4) for job in some)


def test_the_gate_counts_by_number_of_things() -> None:
    some = gate.jobs(ATLAS, 6)

    def answer(job: gate.Job, phrases: tuple[str, ...], place: str | None = None) -> Seen:
        return Seen(place or job.place, tuple(found(p, (0, 0, 9, 9)) for p in phrases))

    right = [answer(job, job.phrases) for job in some]
    assert gate.score(some, right) == {"one": 1, "two": 1, "three": 1, "place": 1, "added": 0, "unsure": 0, "n": 6}
    other = "castle" if "castle" not in some[0].phrases else "key"
    wrong = [answer(some[0], (other,), "nowhere"), *right[1:4], answer(some[4], some[4].phrases[:1]), right[5]]
    row = gate.score(some, wrong)
    assert (row["one"], row["two"], row["three"]) == (0.5, 0.5, 1.0)
    assert row["place"] == pytest.approx(5 / 6) and row["added"] == pytest.approx(1 / 6)
    assert any("NOT YET" in line for line in gate.report(row))
