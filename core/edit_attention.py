"""Method: Prompt-to-Prompt, arXiv 2208.01626. Written from the paper; no code copied.

The paper edits attention probabilities: A' = g e (a A_src M + (1 - a) A_tgt) + (1 - g) A_tgt, with g the
window, e the re-weighting and a what is copied, all one a token. Nothing renormalises, so A' V is linear
in V and two plain attentions with mixed values give it exactly:

    A' V = attend(q_src, k_src, M diag(g e a) V) + attend(q_tgt, k_tgt, diag(g e (1 - a) + 1 - g) V)

Self-attention copies the map whole: attend(q_src, k_src, V_tgt).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from .call import Attend, AttentionCall, RowSpan, take_rows
from .local_blend import LocalBlend
from .method import spans_of
from .network import LayerAddress, Layers, Network
from .schedule import Schedule
from .text import PromptTag
from .token_map import TokenMap


@dataclass(frozen=True, eq=False)
class TargetEdit:
    """One target prompt. map: what its tokens copy. factors: float64 [T], the re-weighting of each token.

    windows: (token positions, when their columns are edited), later ones win over earlier and over the
    node's own window.
    """

    map: TokenMap
    factors: torch.Tensor
    windows: tuple[tuple[tuple[int, ...], Schedule], ...] = ()

    def gate(self, window: Schedule, progress: float) -> tuple[bool, ...]:
        """g: which tokens' columns are edited at this point of the run."""
        open_ = [window.weight(progress) > 0.0] * len(self.factors)
        for positions, own in self.windows:
            for position in positions:
                open_[position] = own.weight(progress) > 0.0
        return tuple(open_)

    def mixes(self, gate: Sequence[bool]) -> tuple[torch.Tensor, torch.Tensor]:
        """(M diag(g e a) [T_src, T], g e (1 - a) + 1 - g [T]), both float64."""
        g = torch.tensor(gate, dtype=torch.float64)
        copied = self.map.copied
        return (self.map.sources * (g * self.factors * copied),
                g * self.factors * (1.0 - copied) + 1.0 - g)


@dataclass(frozen=True, eq=False)
class _Mixing:
    """The value mixing of one model call's rows.

    first: for each row the row whose q and k it takes. targets: the rows edited, with copied [n, T, T]; second:
    those of them that also keep attention of their own, with kept [m, T].
    """

    first: tuple[int, ...]
    targets: tuple[int, ...]
    copied: torch.Tensor
    second: tuple[int, ...]
    kept: torch.Tensor


@dataclass(frozen=True, eq=False)
class EditAttention:
    """Copies the source prompt's attention into the target prompts.

    Image i of a batch reads prompt i mod P; prompt 0 is the source and its rows are never changed.
    edits: one per target. cross_window, self_window: when it copies image-to-text attention and
    image-to-image attention. self_floor, self_max: see ``self_limit``. copied: the layers
    whose image-to-image attention targets take from the source, None for all that have one.
    """

    key: str
    edits: tuple[TargetEdit, ...]
    cross_window: Schedule
    self_window: Schedule
    self_floor: int = 16
    self_max: int = 0
    blend: LocalBlend | None = None
    label: str = "AttentionEdit"
    copied: Layers | None = None

    def fitted(self, network: Network, latent_grid: tuple[int, int]) -> EditAttention:
        """The method for one network and size of latents."""
        copied = network.copied(self_limit(latent_grid, self.self_floor, self.self_max))
        return replace(self, copied=copied, blend=self.blend and self.blend.fitted(network, latent_grid))

    @property
    def prompts(self) -> int:
        return 1 + len(self.edits)

    @property
    def edits_words(self) -> bool:
        return not self.cross_window.empty or any(not own.empty for edit in self.edits for _, own in edit.windows)

    @property
    def windows(self) -> list[Schedule]:
        """When each part of it acts."""
        return [self.cross_window, self.self_window, *(own for edit in self.edits for _, own in edit.windows)]

    @property
    def schedule(self) -> Schedule:
        """From the first of its windows to the last; a local blend looks on all through the run."""
        if self.blend is not None:
            return Schedule(0.0, 1.0)
        return Schedule(min((w.start for w in self.windows if not w.empty), default=0.0),
                        max((w.end for w in self.windows if not w.empty), default=0.0))

    def selects(self, layer: LayerAddress) -> bool:
        if layer.reads("image", "text"):
            return self.edits_words or (self.blend is not None and self.blend.reads(layer))
        return not self.self_window.empty and (self.copied is None or layer in self.copied)

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return bool(spans_of(self.key, rows))

    def check_run(self, rows: Sequence[RowSpan], images: int) -> None:
        """Raises ValueError for a batch that is not a multiple of the prompts."""
        if images % self.prompts:
            raise ValueError(f"{images} latent{'s' * (images != 1)} for {self.prompts} prompts; "
                             "connect this node's latent output to the sampler")

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        if not call.blocks("image", "text"):
            return attend(self._with_source_maps(call))
        if self.blend is not None and self.blend.reads(call.layer):
            self._remember(call, attend)
        return self._edited(call, attend)

    def _with_source_maps(self, call: AttentionCall) -> AttentionCall:
        """Image-to-image attention of targets with q and k of their source."""
        if not self.self_window.weight(call.step.progress):
            return call
        first = self._first(call, self._pairs(call.rows))
        return call.looking_as(first, call.v, call.probe)

    def _edited(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        """Image-to-text attention with mixed values; a second attention only for rows that keep some of their own."""
        mixing = self._mixing(call)
        if mixing is None:
            return attend(call)
        out = attend(call.looking_as(mixing.first, _mixed(call.v, mixing, call),
                                     None if call.probe is None else _mixed(call.probe, mixing, call)))
        if not mixing.second:
            return out
        rest = call.take(mixing.second)
        part = attend(replace(rest, v=_kept(rest.v, mixing), residual=None,
                              probe=None if rest.probe is None else _kept(rest.probe, mixing)))
        return out.index_add(0, call.index(mixing.second), part)

    def _remember(self, call: AttentionCall, attend: Attend) -> None:
        """Add this layer's edited maps of the blend words to the run's; the words are read as values."""
        assert self.blend is not None
        ours = call.take(tuple(row for span in spans_of(self.key, call.rows) for row in range(span.start, span.stop)))
        words = self.blend.words_as_values(ours)
        unseen = None if ours.probe is None else torch.zeros_like(ours.probe)
        maps = self._edited(replace(ours, v=words, probe=unseen, residual=None), attend)
        images = tuple(image for span in ours.rows for image in span.images)
        self.blend.add(self.key, ours, images, maps[..., :2].float().mean(1).transpose(1, 2).unflatten(2, ours.grid))

    def _pairs(self, rows: Sequence[RowSpan]) -> tuple[tuple[int, int, int], ...]:
        """(target row, its source's row, number of its edit), for rows whose source is in the call."""
        pairs: list[tuple[int, int, int]] = []
        spans = spans_of(self.key, rows)
        where = {(id(s.tag), image): row for s in reversed(spans) for row, image in enumerate(s.images, s.start)}
        for span in spans:
            for row, image in enumerate(span.images, span.start):
                number = image % self.prompts
                source = row - number
                if image - number < span.first:
                    source = where.get((id(span.tag), image - number), row)
                if number and source != row:
                    pairs.append((row, source, number - 1))
        return tuple(pairs)

    @staticmethod
    def _first(call: AttentionCall, pairs: Sequence[tuple[int, int, int]]) -> tuple[int, ...]:
        first = list(range(call.q.shape[0]))
        for row, source, _ in pairs:
            first[row] = source
        return tuple(first)

    def _mixing(self, call: AttentionCall) -> _Mixing | None:
        progress = call.step.progress
        gates = call.scratch.once((self.key, "gates", progress),
                                  lambda: tuple(edit.gate(self.cross_window, progress) for edit in self.edits))
        cache_key = (self.key, "mixing", gates, call.row_ids, call.v.device, call.v.dtype)
        return call.scratch.once(cache_key, lambda: self._make_mixing(call, gates))

    def _make_mixing(self, call: AttentionCall, gates: Sequence[Sequence[bool]]) -> _Mixing | None:
        pairs = [pair for pair in self._pairs(call.rows) if any(gates[pair[2]])]
        if not pairs:
            return None
        tags = {row: span.tag for span in spans_of(self.key, call.rows) for row in range(span.start, span.stop)}
        copied, kept = zip(*(self._whole_row(tags[row], number, gates[number]) for row, _, number in pairs),
                           strict=True)
        second = [n for n, own in enumerate(kept) if own.any()]
        rows = tuple(row for row, _, _ in pairs)
        to = {"device": call.v.device, "dtype": call.v.dtype}
        return _Mixing(self._first(call, pairs), rows, torch.stack(copied).to(**to), tuple(rows[n] for n in second),
                       torch.stack([kept[n] for n in second]).to(**to) if second else torch.empty(0))

    def _whole_row(self, tag: PromptTag | None, number: int, gate: Sequence[bool]) -> tuple[torch.Tensor, torch.Tensor]:
        """The mixes of one target on the whole token axis of a row: [T, T] and [T].

        A repeated prompt's probabilities are dealt out among its repetitions, so each of the source's
        mixes the values of the target's first. Tokens that another node appended copy themselves.
        """
        assert tag is not None
        copied, kept = self.edits[number].mixes(gate)
        row = number + 1
        own = tag.width
        whole = torch.zeros(own + tag.appended, own + tag.appended, dtype=torch.float64)
        for start in tag.starts(0):
            whole[start:start + copied.shape[0], :copied.shape[1]] = copied
        tail = torch.full((tag.appended,), 0.0 if any(gate) else 1.0, dtype=torch.float64)
        if any(gate):
            whole[own:, own:] = torch.eye(tag.appended, dtype=torch.float64)
        return whole, torch.cat((kept.repeat(len(tag.starts(row))), tail))


def _mixed(values: torch.Tensor, mixing: _Mixing, call: AttentionCall) -> torch.Tensor:
    """What rides on the keys [B, H, Nk, D], mixed in the rows that are edited, repetition by repetition."""
    targets, copied = call.index(mixing.targets), mixing.copied.to(values.dtype)
    own = take_rows(values, targets).unflatten(2, (-1, copied.shape[-1]))
    mixed = (copied[:, None, None] @ own).flatten(2, 3)
    # Laid out in memory as the host's own values: rows left alone are then computed as without us, bit for bit.
    return values.transpose(1, 2).index_copy(0, targets, mixed.transpose(1, 2)).transpose(1, 2)


def _kept(values: torch.Tensor, mixing: _Mixing) -> torch.Tensor:
    """What the rows that keep attention of their own keep of what rides on the keys, in every repetition."""
    kept = mixing.kept[:, None, None, :, None]
    return (values.unflatten(2, (-1, mixing.kept.shape[1])) * kept).flatten(2, 3)


def self_limit(latent_grid: tuple[int, int], floor: int, most: int) -> int:
    """Pixels of the largest grid whose self-attention is copied.

    most: side of that grid, 0 for automatic: the quarter of the latent, at least ``floor`` pixels wide.
    At the published sizes that is what was published: 16 x 16 for Stable Diffusion 1.x at 512, 32 x 32
    for SDXL at 1024, and with a floor of 32, 32 x 32 for inverted pictures.
    """
    if most:
        return most * most
    return max(math.ceil(latent_grid[0] / 4) * math.ceil(latent_grid[1] / 4), floor * floor)
