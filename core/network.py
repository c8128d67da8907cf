"""Where attention layers sit in a network, and what a family of networks says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from .sequence import Kind

LayerKind = Literal["self", "cross", "joint"]

# (kind of the queries, kind of the keys) of the blocks that a layer of each kind has.
_BLOCKS: dict[str, frozenset[tuple[Kind, Kind]]] = {
    "self": frozenset({("image", "image")}),
    "cross": frozenset({("image", "text")}),
    "joint": frozenset({("image", "image"), ("image", "text"), ("text", "image"), ("text", "text")}),
}


@dataclass(frozen=True)
class LayerAddress:
    """One attention layer.

    stage, block, depth: the family's own words for where it is, for files and messages. kind: which blocks
    the layer has (``reads``). fraction: 0 the first, 1 the last layer of the network.
    """

    stage: str
    block: int
    depth: int
    kind: LayerKind
    fraction: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        return f"{self.stage} {self.block}.{self.depth} {self.kind}"

    def reads(self, queries: Kind, keys: Kind) -> bool:
        """True where tokens of kind ``queries`` read tokens of kind ``keys`` in this layer."""
        return (queries, keys) in _BLOCKS[self.kind]


Layers = frozenset[LayerAddress]


@dataclass(frozen=True, eq=False)
class SubjectLayers:
    """Which layers share a subject between images, for latents of one size (ConsiStory).

    latent_grid: (h, w). maps: where its words show where it is, on the grid map_grid. shares: where its keys are
    shared, and on which grid. injects: where the outputs of corresponding patches are mixed, on link_grid.
    features: the name of the place where the features for the correspondence are read, on link_grid too.
    matches: where the outputs of attention take the place of such features, as in joint layers; empty where there
    are features. banked: the layers of which a bank keeps what is shared and injected, all where it is empty; apart:
    how far apart in the run the noise levels are that it keeps.
    """

    latent_grid: tuple[int, int]
    maps: Layers
    map_grid: tuple[int, int]
    shares: Mapping[LayerAddress, tuple[int, int]]
    injects: Layers
    link_grid: tuple[int, int]
    features: str
    matches: Layers = frozenset()
    banked: Layers = frozenset()
    apart: float = 1.0 / 64

    @property
    def joint(self) -> bool:
        """True where text and image share the attention: keys carry positions, and outputs tell what corresponds."""
        return bool(self.matches)

    def banks(self, layer: LayerAddress) -> bool:
        """True where a bank keeps something of the layer."""
        return not self.banked or layer in self.banked

    @property
    def shared_grids(self) -> tuple[tuple[int, int], ...]:
        """The grids on which keys are shared, finest first."""
        return tuple(sorted(set(self.shares.values()), reverse=True))


class Network(Protocol):
    """A loaded network and latents of one size: which of its layers do what.

    The family that owns the network answers; no method takes the size of a grid for a layer.
    """

    @property
    def latent_grid(self) -> tuple[int, int]:
        """(h, w) of the latents."""
        ...

    @property
    def layers(self) -> tuple[LayerAddress, ...]:
        """All attention layers, in the order they are called."""
        ...

    def words(self, cells: int) -> Layers:
        """Where maps of words are read: the layers of at most ``cells`` image tokens, else the coarsest."""
        ...

    def copied(self, cells: int) -> Layers:
        """Where an edit takes the source's image-to-image attention: layers of at most ``cells`` image tokens."""
        ...

    def blend(self, side: float) -> Layers:
        """Where a local blend reads its words: layers whose grid is nearest to ``side`` tokens a side."""
        ...
