"""Maps of the subjects' words, wherever the host puts these words among a layer's keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from attention_director.bridge.families.unet import UNetNetwork
from attention_director.bridge.run.run import chain_of
from attention_director.bridge.subject.map_reader import MapReader
from attention_director.bridge.subject.sampling_pass import ConsiStoryPass
from attention_director.bridge.text.prompt import TAG_KEY
from attention_director.core.call import AttentionCall, RowSpan, Scratch, Step
from attention_director.core.sequence import Axis, Segment, image_axis, text_axis
from attention_director.core.text import PromptTag
from scene import family
from stories import shared

SIZE = (16, 16)
WIDTH = 8


@pytest.fixture
def scenes() -> tuple[ConsiStoryPass, PromptTag]:
    """A pass over the three scenes, and their prompt."""
    model, clip, _ = family()
    told = shared(model, clip)
    method: Any = chain_of(told.model.model_options).methods[0]
    layers = UNetNetwork(model.model.diffusion_model, SIZE).subject
    sampling = ConsiStoryPass(method.key, method.label, 3, method.options, layers, method.phrases)
    return sampling, told.positive[0][1][TAG_KEY]


def maps(sampling: ConsiStoryPass, tag: PromptTag, keys: torch.Tensor, axis: Axis) -> torch.Tensor:
    """What one layer shows of the subject, [3, S, h, w]. keys: [3, 1, Nk, D]."""
    grid, layer = sampling.layers.map_grid, next(iter(sampling.layers.maps))
    queries = torch.randn(3, 1, grid[0] * grid[1], WIDTH, generator=torch.Generator().manual_seed(2)).double()
    call = AttentionCall(queries, keys, keys, layer, image_axis(grid), axis, SIZE, (RowSpan(0, 3, tag),),
                         Step(1.0, 0.5), Scratch())
    assert MapReader(sampling)(call, lambda inner: inner.q) is queries, "it changes nothing"
    found = sampling.state(call.scratch).maps.pending
    assert found is not None
    return found


def random_keys(count: int) -> torch.Tensor:
    return torch.randn(3, 1, count, WIDTH, generator=torch.Generator().manual_seed(count)).double()


def test_a_map_is_the_attention_to_the_subjects_words(scenes: Any) -> None:
    sampling, tag = scenes
    keys = random_keys(77)
    first = maps(sampling, tag, keys, text_axis(77))
    words, = (phrase.find(tag.rows[1]) for phrase in sampling.phrases)
    queries = torch.randn(3, 1, first[0, 0].numel(), WIDTH, generator=torch.Generator().manual_seed(2)).double()
    read = (queries @ keys.transpose(-1, -2) * WIDTH ** -0.5).softmax(-1)[1, 0, :, list(words)].mean(-1)
    torch.testing.assert_close(first[1, 0].flatten(), read, rtol=0, atol=1e-12)


@pytest.mark.parametrize("appended", [0, 5])
def test_a_prompt_that_the_host_repeats_gives_the_same_map(scenes: Any, appended: int) -> None:
    """Beside a longer negative a short prompt comes twice, with what another node appended; each copy gets half."""
    sampling, tag = scenes
    tag, length = replace(tag, appended=appended), 77 + appended
    keys = random_keys(length)
    once = maps(sampling, tag, keys, text_axis(length))
    twice = maps(sampling, tag, keys.repeat(1, 1, 2, 1), text_axis(2 * length))
    torch.testing.assert_close(2 * twice, once, rtol=0, atol=1e-12)
    assert float(once.std()) > 0


def test_words_behind_other_keys_are_found(scenes: Any) -> None:
    """In a joint layer text need not come first; only what a pixel reads of the text is divided."""
    sampling, tag = scenes
    keys = random_keys(77)
    silent = torch.zeros(3, 1, 4, WIDTH).double()
    behind = Axis((Segment("image", 0, 4, (2, 2)), Segment("text", 4, 81)), 81)
    found = maps(sampling, tag, torch.cat((silent, keys), 2), behind)
    first = maps(sampling, tag, torch.cat((keys, silent), 2), Axis((Segment("text", 0, 77),), 81))
    for where in (found, first):
        torch.testing.assert_close(where, maps(sampling, tag, keys, text_axis(77)), rtol=0, atol=1e-12)
