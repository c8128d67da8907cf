"""The storybook world: what a scene holds, what its captions say, how it is rendered."""

from __future__ import annotations

import hashlib
import math
from random import Random

import numpy as np
import pytest
import torch
from storybook import caption as captions
from storybook.atlas import read_atlas
from storybook.cast import CLASSES, COLOURED, COLOURS, PEOPLE, PHRASES, PLACES, WITH_LOOKS, look_of
from storybook.render import Renderer, stack, to_bytes
from storybook.scene import APART, CANVAS_PX, MOST_THINGS, SIZE_PX, TURN, Scene, Scenes, Thing
from storybook.words import CLIP, NEUTRAL, T5, stock_tables, words

ATLAS = read_atlas()
SOME = Scenes(ATLAS, 0).some(0, 1500)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(ATLAS, torch.device("cpu"))


def test_the_atlas_holds_the_whole_cast() -> None:
    assert set(ATLAS.phrases) == set(PHRASES) and len(CLASSES) == 48
    assert ATLAS.pixels.shape == (184, 128, 128, 4) and ATLAS.pixels.dtype == np.uint8
    assert (ATLAS.pixels[..., :3] <= ATLAS.pixels[..., 3:]).all(), "colours are stored times alpha"
    assert {ATLAS.colour_of(i) for i, p in enumerate(ATLAS.phrases) if look_of(p)[0] in COLOURED} == set(range(6))
    assert all(ATLAS.colour_of(i) == -1 for i, p in enumerate(ATLAS.phrases) if p in WITH_LOOKS)


@pytest.mark.parametrize("thing", COLOURED)
def test_coloured_things_have_their_colours(thing: str) -> None:
    """Of the pixels that differ between the six, most have the hue that the phrase names."""
    sprites = {colour: ATLAS.pixels[ATLAS.looks(f"{colour} {thing}")[0]].astype(float) for colour in COLOURS}
    paint = np.std([sprite[..., :3] for sprite in sprites.values()], 0).max(-1) > 40
    assert paint.mean() > 0.08
    red, green, blue = (({name: sprite[paint].mean(0)[i] for name, sprite in sprites.items()}) for i in range(3))
    assert red["red"] > 2 * green["red"] and red["orange"] > 1.25 * green["orange"] > 1.25 * blue["orange"]
    assert min(red["yellow"], green["yellow"]) > 1.5 * blue["yellow"] and red["yellow"] < 1.35 * green["yellow"]
    assert green["green"] > 1.5 * max(red["green"], blue["green"])
    assert blue["blue"] > 1.5 * max(red["blue"], 0.7 * green["blue"])
    assert min(red["purple"], blue["purple"]) > 1.4 * green["purple"]


def test_one_person_in_seven_is_held_out_and_never_sampled() -> None:
    people = [i for i, phrase in enumerate(ATLAS.phrases) if phrase in PEOPLE]
    assert len(ATLAS.held_out) == math.ceil(len(people) / 7) and ATLAS.held_out <= set(people)
    seen = {thing.sprite for scene in SOME for thing in scene.things}
    assert not seen & ATLAS.held_out
    assert len(seen) > 0.97 * (len(ATLAS) - len(ATLAS.held_out))
    others = Scenes(ATLAS, 0, which="held out").some(0, 600)
    worn = {thing.sprite for scene in others for thing in scene.things if thing.phrase in PEOPLE}
    assert worn and worn <= ATLAS.held_out


def test_a_number_is_a_scene_and_kinds_differ() -> None:
    assert Scenes(ATLAS, 3)[7] == Scenes(ATLAS, 3)[7]
    assert len({Scenes(ATLAS, 3)[7], Scenes(ATLAS, 4)[7], Scenes(ATLAS, 3)[8], Scenes(ATLAS, 3, "gate")[7]}) == 4


def test_sizes_places_and_overlaps_are_in_bounds() -> None:
    for scene in SOME:
        low, high = SIZE_PX[len(scene.things)]
        for i, thing in enumerate(scene.things):
            assert low <= thing.size <= high and abs(thing.turn) <= TURN
            assert thing.size / 2 <= min(thing.x, thing.y) and max(thing.x, thing.y) <= CANVAS_PX - thing.size / 2
            for other in scene.things[:i]:
                assert math.hypot(thing.x - other.x, thing.y - other.y) > APART * (thing.size + other.size)
    assert {scene.place for scene in SOME} == set(PLACES)
    assert {len(scene.things) for scene in SOME} == set(range(1, MOST_THINGS + 1))
    assert {thing.flipped for scene in SOME for thing in scene.things} == {True, False}


def test_one_scene_in_eight_shows_a_look_twice() -> None:
    variants = [scene for scene in SOME if len({thing.sprite for thing in scene.things}) < len(scene.things)]
    assert 0.1 < len(variants) / len(SOME) < 0.16
    for scene in SOME:
        phrases = [thing.phrase for thing in scene.things]
        assert all(phrase in WITH_LOOKS for phrase in phrases if phrases.count(phrase) > 1)


def test_captions_name_what_is_there_and_where() -> None:
    rng = Random(0)
    forms = set()
    for scene in SOME[:600]:
        caption = captions.any_caption(scene, rng)
        named = sorted(words for words, part in caption.pieces if 0 <= part < captions.PLACE_PART)
        assert named == sorted(thing.phrase for thing in scene.things)
        for phrase, part in caption.pieces:
            assert part < 0 or part == captions.PLACE_PART or scene.things[part].phrase == phrase
        said = [words for words, part in caption.pieces if part == captions.PLACE_PART]
        assert said in ([], [PLACES[scene.place]])
        assert all(phrase in caption.text for phrase in named) and "  " not in caption.text and " ," not in caption.text
        joined = {form for form in (" and ", " with ", " next to ", ", ") if form in caption.text}
        forms |= joined | {bool(said), caption.text.split(" of ")[0] in ("a picture", "a drawing", "a photo")}
    assert forms == {" and ", " with ", " next to ", ", ", True, False}


def test_the_plain_caption_reads_like_english() -> None:
    things = tuple(Thing(0, phrase, 60, 60, 60) for phrase in ("cat", "orange car", "owl"))
    assert captions.plain_caption(Scene("beach", things)).text == "a cat, an orange car and an owl on a beach"
    assert captions.plain_caption(Scene("night", things[:1])).text == "a cat at night"


def test_held_out_captions_are_never_trained_on() -> None:
    rng = Random(1)
    some = [captions.any_caption(scene, rng) for scene in SOME]
    share = sum(caption.held_out for caption in some) / len(some)
    assert 0.04 < share < 0.09
    assert not any(captions.training_caption(scene, rng).held_out for scene in SOME)


@pytest.mark.parametrize("layout", [T5, CLIP], ids=lambda layout: layout.name)
def test_every_words_tokens_belong_to_its_thing(layout) -> None:
    table = words(layout)
    rng = Random(2)
    some = [captions.any_caption(scene, rng) for scene in SOME[:300]]
    rows, parts = table.encode([*some, None])
    assert rows.shape == parts.shape == (301, layout.length)
    for b, caption in enumerate(some):
        for part in set(parts[b][parts[b] >= 0].tolist()):
            wanted = [row for word, own in caption.words() if own == part for row in table.rows[word]]
            assert rows[b][parts[b] == part].tolist() == wanted
    assert (parts[-1] == captions.NOBODY).all()
    assert rows[-1][len(table.begin)] == table.end and (rows[-1][len(table.begin) + 1:] == table.pad).all()
    assert NEUTRAL in {row for filler in captions.FILLERS for row in table.rows[filler]}


def test_the_word_table_says_what_the_stock_tokenizers_say() -> None:
    import json

    from comfy.sd1_clip import SDTokenizer
    from comfy.text_encoders.sd3_clip import T5XXLTokenizer
    from storybook.words import FILE

    assert json.loads(FILE.read_text()) == stock_tables()
    text = captions.any_caption(SOME[0], Random(5))
    for layout, tokenizer in ((T5, T5XXLTokenizer(min_length=64)), (CLIP, SDTokenizer())):
        table = words(layout)
        for caption in [captions.any_caption(scene, Random(9)) for scene in SOME[:40]] + [text]:
            [stock] = tokenizer.tokenize_with_weights(caption.text)
            ids = [(table.ids[row - 1] if row else None) for row in table.encode([caption])[0][0].tolist()]
            assert [own for own in ids] == [token if own is not None else None
                                            for own, (token, _) in zip(ids, stock, strict=True)]


def test_a_scene_is_rendered_alike_in_any_batch(renderer: Renderer) -> None:
    whole, alone = renderer(SOME[:6]), renderer(SOME[4:5])
    for name in ("pictures", "cover", "boxes"):
        assert torch.equal(getattr(whole, name)[4], getattr(alone, name)[0])
    again = renderer(SOME[:6])
    assert hashlib.sha256(to_bytes(whole.pictures)).digest() == hashlib.sha256(to_bytes(again.pictures)).digest()


def test_things_stand_where_the_scene_says(renderer: Renderer) -> None:
    out = renderer(SOME[:24])
    for b, scene in enumerate(SOME[:24]):
        empty = renderer([Scene(scene.place, (), scene.dice)]).pictures[0]
        changed = (out.pictures[b] - empty).abs().amax(0) > 0.02
        covered = torch.nn.functional.interpolate(out.cover[b].sum(0)[None, None], 256)[0, 0] > 0
        assert not (changed & ~covered).any() and changed.any()
        for i, thing in enumerate(scene.things):
            left, top, right, bottom = out.boxes[b, i].tolist()
            assert abs((left + right) / 2 - thing.x) < 0.25 * thing.size
            assert 0.4 * thing.size < max(right - left, bottom - top) < 1.2 * thing.size
        assert not out.boxes[b, len(scene.things):].any() and not out.cover[b, len(scene.things):].any()


def test_a_flip_mirrors_a_thing(renderer: Renderer) -> None:
    sprite = ATLAS.looks("red car")[0]
    plain, flipped = (renderer([Scene("white", (Thing(sprite, "red car", 128, 128, 120, flip),))]).pictures
                      for flip in (False, True))
    assert not torch.allclose(plain, flipped, atol=0.1)
    assert torch.allclose(plain, flipped.flip(-1), atol=1e-3)


def test_what_is_in_front_hides_what_is_behind(renderer: Renderer) -> None:
    behind, front = (Thing(ATLAS.looks(phrase)[0], phrase, x, 128, 120)
                     for phrase, x in (("panda", 118), ("apple", 138)))
    both = renderer([Scene("white", (behind, front))]).cover[0]
    alone = renderer([Scene("white", (behind,)), Scene("white", (front,))]).cover
    assert torch.equal(both[1], alone[1, 0])
    assert both[0].sum() < 0.6 * alone[0, 0].sum()
    assert (both.sum(0) <= 1 + 1e-6).all()


def test_stacking_keeps_every_number() -> None:
    batch = stack(SOME[:5])
    assert len(batch) == 5 and (batch.sprite[0, len(SOME[0].things):] == -1).all()
    assert batch.pose[0, 0].tolist() == pytest.approx(
        [SOME[0].things[0].x, SOME[0].things[0].y, SOME[0].things[0].size, -1 if SOME[0].things[0].flipped else 1,
         SOME[0].things[0].turn], rel=1e-6)
