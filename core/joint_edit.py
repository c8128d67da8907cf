"""Method: Prompt-to-Prompt (arXiv 2208.01626) for layers in which text and image share one sequence. No code copied.

The maps of two prompts cannot be copied whole there: their text is not the same tokens. So the source's structure comes
by its image's own queries and keys (arXiv 2508.07519; s source, t target, T text, I image):

    O_t = attend([q_t^T; q_s^I], [k_t^T; k_s^I], v_t)

Outside the area of a local blend v is the source's too, and there its q and k stay when the window has closed (as
arXiv 2510.17803). A weight c of a word is + ln c on its keys where pixels read them: scaled, and renormalised. A weight
of 0 or less has no logarithm; it multiplies the word's value. The paper's mixing of words is had on request, for the
image's rows alone (edit_attention.py has g, e, a and M; V1 stands on the source's text):

    O_t^I = attend(q_s^I, k_s, V1) + attend(q_t^I, k_t, V2),  V1 = M diag(g e a) v_t, V2 = diag(g e (1 - a) + 1 - g) v_t
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F

from .call import Attend, AttentionCall, LowRankBias, RowSpan
from .edit_attention import EditAttention
from .heat import fit_grid, pixel_maps, resized
from .local_blend import LocalBlend
from .method import ModelCall, spans_of
from .network import LayerAddress, Network
from .schedule import Schedule
from .sequence import Segment
from .text import PromptTag

Pair = tuple[int, int, int]  # target row, its source's row, number of its edit


@dataclass(eq=False)
class HeldArea:
    """What may change, as far as a run knows before a call of its model: bool [I, h, w], None for everything."""

    area: torch.Tensor | None = None


@dataclass(frozen=True, eq=False)
class _Words:
    """What is done to the words of one target row, None for nothing. log: [Tk], added to the logits of the image's
    queries; kept: [Tk], times the row's own values; copied: [Tk of the source, Tk], which of them the source's read."""

    pair: Pair
    log: torch.Tensor | None
    kept: torch.Tensor | None
    copied: torch.Tensor | None = None

    def to(self, device: torch.device) -> _Words:
        return _Words(self.pair, *(x if x is None else x.to(device) for x in (self.log, self.kept, self.copied)))


@dataclass(frozen=True, eq=False)
class JointEditAttention(EditAttention):
    """Copies the source's image queries and keys into the targets, and weighs the targets' words, in joint layers.

    mixes_words: the words' places are copied too, as the paper does; otherwise cross_window is when weights act.
    """

    mixes_words: bool = False
    acts_in_joint_layers: ClassVar[bool] = True
    replaces_tokens: ClassVar[bool] = True

    @property
    def edits_words(self) -> bool:
        return super().edits_words and (self.mixes_words or any(bool((e.factors != 1.0).any()) for e in self.edits))

    @property
    def windows(self) -> list[Schedule]:
        return super().windows if self.edits_words else [self.self_window]

    def selects(self, layer: LayerAddress) -> bool:
        shapes = self.blend is not None or not self.self_window.empty
        copied = shapes and (self.copied is None or layer in self.copied)
        return layer.reads("text", "image") and (self.edits_words or copied)

    def begin_call(self, call: ModelCall) -> None:
        """The area that the calls before have found."""
        if self.blend is None:
            return
        begun = call.step.progress >= self.blend.start
        area = self.blend.area(self.key, call.scratch, self.prompts) if begun else None
        call.scratch.of(self.key, HeldArea).area = area

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        pairs = self._pairs(call.rows)
        shaped = self._with_source_shapes(call, pairs)
        words = self._open_words(call, pairs) if self.edits_words else ()
        if not words:
            return attend(shaped)
        image, = call.queries.of("image")
        out = attend(_uncounted(shaped, [found.pair[0] for found in words])).clone()
        for found in words:
            out[found.pair[0], :, image.slice] = self._pixels(call, shaped, found, attend)[0].to(out.dtype)
        return out

    def _with_source_shapes(self, call: AttentionCall, pairs: Sequence[Pair]) -> AttentionCall:
        """The call with what its targets' image tokens take from their source's."""
        copies = bool(pairs) and (self.copied is None or call.layer in self.copied)
        everywhere, area = bool(self.self_window.weight(call.step.progress)), self._area(call) if copies else None
        if not copies or not (everywhere or area is not None):
            return call
        image, = call.queries.of("image")
        made = {name: getattr(call, name).clone() for name in ("q", "k", *(("v",) if area is not None else ()))}
        for row, source, _ in pairs:
            outside = None if area is None else ~area[_image_of(call.rows, row)].flatten()[:, None]
            for name, x in made.items():
                theirs, own = x[source, :, image.slice], x[row, :, image.slice]
                if name != "v":
                    theirs = _turned(call, theirs, source, row)
                if outside is not None and not (everywhere and name != "v"):
                    theirs = torch.where(outside, theirs, own)
                x[row, :, image.slice] = theirs
        return replace(call, **made)

    def _area(self, call: AttentionCall) -> torch.Tensor | None:
        """What may change, bool [I, h, w] on the call's own grid; None where everything may."""
        held = call.scratch.has(self.key, HeldArea)
        if held is None or held.area is None:
            return None
        return F.interpolate(held.area[None].to(call.q.dtype), call.grid)[0] > 0.5

    def _open_words(self, call: AttentionCall, pairs: Sequence[Pair]) -> tuple[_Words, ...]:
        """The words of each target row of which some are edited now."""
        progress = call.step.progress
        gates = call.scratch.once((self.key, "gates", progress),
                                  lambda: tuple(edit.gate(self.cross_window, progress) for edit in self.edits))
        place = (self.key, "words", gates, call.row_ids, call.keys, call.q.device)
        return call.scratch.once(place, lambda: self._words(call, pairs, gates))

    def _words(self, call: AttentionCall, pairs: Sequence[Pair], gates: Sequence[Sequence[bool]]) -> tuple[_Words, ...]:
        text, = call.keys.of("text")
        tags = {row: span.tag for span in spans_of(self.key, call.rows) for row in range(span.start, span.stop)}
        found = []
        for pair in pairs:
            tag, gate = tags[pair[0]], torch.tensor(gates[pair[2]], dtype=torch.bool)
            assert tag is not None
            factors = torch.where(gate, self.edits[pair[2]].factors, 1.0)
            if bool(gate.any()) and (self.mixes_words or bool((factors != 1.0).any())):
                words = self._mixed(pair, tag, gate, text) if self.mixes_words else _weighed(pair, tag, factors, text)
                found.append(words.to(call.q.device))
        return tuple(found)

    def _mixed(self, pair: Pair, tag: PromptTag, gate: torch.Tensor, text: Segment) -> _Words:
        """The paper's mixes on the text of a joint layer. What the model puts before the prompts copies itself."""
        number = pair[2] + 1
        mixes = self.edits[pair[2]].mixes(gate.tolist())
        theirs, ours = (tag.front(row) for row in (0, number))
        copied = torch.zeros(text.length, text.length, dtype=torch.float64)
        kept = torch.ones(text.length, dtype=torch.float64)
        before = torch.arange(min(theirs, ours))
        copied[before, before], kept[before] = 1.0, 0.0
        copied[theirs:theirs + len(mixes[0]), ours:ours + len(mixes[1])] = mixes[0]
        kept[ours:ours + len(mixes[1])] = mixes[1]
        return _Words(pair, None, kept, copied)

    @staticmethod
    def _pixels(call: AttentionCall, shaped: AttentionCall, words: _Words, attend: Attend) -> torch.Tensor:
        """What the image's queries of one target row read: [1, H, N, D]."""
        row, source, _ = words.pair
        (image,), (text,) = call.queries.of("image"), call.keys.of("text")
        reading = shaped.take((row,)).of_queries(image.slice)
        pixels = attend(_with_log(_scaled(reading, words.kept, text), words.log, text))
        if words.copied is None:
            return pixels
        copying = call.take((source,)).of_queries(image.slice)
        return pixels + attend(_copied(copying, reading, words.copied, text))


def _uncounted(call: AttentionCall, rows: list[int]) -> AttentionCall:
    """The call with nothing to be counted in some rows, whose pixels are attended apart."""
    if call.probe is None:
        return call
    probe = call.probe.clone()
    probe[rows] = 0.0
    return replace(call, probe=probe)


def _image_of(rows: Sequence[RowSpan], row: int) -> int:
    """The number of a row's image."""
    return next(span.first + row - span.start for span in rows if span.start <= row < span.stop)


def _turned(call: AttentionCall, tokens: torch.Tensor, source: int, row: int) -> torch.Tensor:
    """The source's image tokens [H, N, D] as they would stand behind the target's text."""
    if call.rotary is None or call.padding is None:
        return tokens
    turn = call.padding[row].turn - call.padding[source].turn
    if not turn:
        return tokens
    delta = torch.zeros(1, 1, len(call.rotary.axes), device=tokens.device)
    delta[..., 0] = turn
    return call.rotary.turn(tokens[None], delta)[0]


def _weighed(pair: Pair, tag: PromptTag, factors: torch.Tensor, text: Segment) -> _Words:
    """Weights alone. factors: [T] of the target's own tokens."""
    whole = torch.ones(text.length, dtype=torch.float64)
    front = tag.front(pair[2] + 1)
    whole[front:front + len(factors)] = factors
    up = whole > 0.0
    return _Words(pair, torch.where(up, whole, 1.0).log() if bool((whole[up] != 1.0).any()) else None,
                  None if bool(up.all()) else torch.where(up, 1.0, whole))


def _scaled(call: AttentionCall, kept: torch.Tensor | None, text: Segment) -> AttentionCall:
    """The call with the values of its text, and what rides beside them, times ``kept`` [Tk]."""
    if kept is None:
        return call

    def scale(x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[:, :, text.slice] *= kept.to(x.dtype)[:, None]
        return x

    return replace(call, v=scale(call.v), probe=None if call.probe is None else scale(call.probe))


def _with_log(call: AttentionCall, log: torch.Tensor | None, text: Segment) -> AttentionCall:
    """The call with ``log`` [Tk] on the logits of its text: one column."""
    if log is None:
        return call
    wide = torch.promote_types(call.q.dtype, torch.float32)
    right = torch.zeros(1, 1, call.k.shape[2], 1, dtype=wide, device=call.q.device)
    right[0, 0, text.slice, 0] = log.to(wide)
    left = torch.ones(*call.q.shape[:3], 1, dtype=wide, device=call.q.device)
    return replace(call, bias=LowRankBias(left, right) + call.bias)


def _copied(source: AttentionCall, target: AttentionCall, copied: torch.Tensor, text: Segment) -> AttentionCall:
    """The source's attention reading the target's values where its words are copied, and nothing else."""
    def laid(x: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(x)
        out[:, :, text.slice] = copied.to(x.dtype) @ x[:, :, text.slice]
        return out

    return replace(source, v=laid(target.v), probe=None if target.probe is None else laid(target.probe),
                   readers=target.read_by, residual=None)


@dataclass(frozen=True, eq=False)
class JointBlendMaps:
    """Looks on where a joint layer's pixels read the blend words, for the local blend of the same key.

    All its layers are as fine as the picture's tokens; maps of more than 32 x 32 cells are averaged to that.
    """

    key: str
    label: str
    blend: LocalBlend
    schedule: Schedule = Schedule()
    acts_in_joint_layers: ClassVar[bool] = True

    def fitted(self, network: Network, latent_grid: tuple[int, int]) -> JointBlendMaps:
        return replace(self, blend=self.blend.fitted(network, latent_grid))

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return bool(spans_of(self.key, rows))

    def observes(self, layer: LayerAddress) -> bool:
        return layer.reads("text", "image") and self.blend.reads(layer)

    def probe(self, call: AttentionCall) -> torch.Tensor:
        place = (self.key, "marks", call.row_ids, call.keys, call.q.device)
        wide = torch.promote_types(call.q.dtype, torch.float32)
        return call.scratch.once(place, lambda: self.blend.marks(spans_of(self.key, call.rows), call.keys,
                                                                 len(call.q)).to(call.q.device, wide))

    @torch.no_grad()  # no graph keeps what is only looked at
    def observe(self, call: AttentionCall, probe: torch.Tensor) -> None:
        for span in spans_of(self.key, call.read_by):
            maps = pixel_maps(call, probe, slice(span.start, span.stop))
            self.blend.add(self.key, call, span.images, resized(maps, fit_grid(call.grid)))
