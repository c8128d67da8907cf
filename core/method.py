"""What a method is, and how methods stack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch

from .call import Attend, AttentionCall, RowSpan, Scratch, Step
from .network import LayerAddress, Network
from .ruled import with_fixed_rules
from .schedule import Schedule


@runtime_checkable
class Method(Protocol):
    """A frozen value on a model's chain.

    key: names the node that made it. schedule: when it acts. acts_on: on which rows; those whose tag
    carries the key (``spans_of``), or all of a run's for a node that has no prompt. What else a method does
    it says by having the functions of core/hooks.py and bridge/run/hooks.py.
    """

    @property
    def key(self) -> str: ...

    @property
    def label(self) -> str: ...

    @property
    def schedule(self) -> Schedule: ...

    def acts_on(self, rows: Sequence[RowSpan]) -> bool: ...


@runtime_checkable
class AttentionMethod(Method, Protocol):
    """A method that changes attention.

    selects: in which layers. Calling it gives [B, H, Nq, D]; it hands the call on, changed or not,
    to ``attend``.
    """

    def selects(self, layer: LayerAddress) -> bool: ...

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor: ...


@runtime_checkable
class ReplacesTokens(Protocol):
    """Says whether it puts other queries and keys in the place of a layer's own, which no bias may be made of yet."""

    @property
    def replaces_tokens(self) -> bool: ...


@runtime_checkable
class ObservesAttention(Method, Protocol):
    """A method that changes nothing and sees the attention that is really used, wherever it stands.

    observes: in which layers. probe: the keys it counts, [B, 1, Nk, C]; asked once a layer, before any method.
    observe: called with every call that reaches the innermost attention; its probe is what the other methods
    have made of the first, and softmax(q k^T / sqrt(D) + bias) probe, summed over these calls, is what the
    pixels read there.
    """

    def observes(self, layer: LayerAddress) -> bool: ...

    def probe(self, call: AttentionCall) -> torch.Tensor: ...

    def observe(self, call: AttentionCall, probe: torch.Tensor) -> None: ...


@runtime_checkable
class FitsNetwork(Protocol):
    """Chooses its layers once the network and the (h, w) of the latents are known.

    fitted gives the method for this run; the one that was asked stays as it is.
    """

    def fitted(self, network: Network, latent_grid: tuple[int, int]) -> Method: ...


@dataclass(frozen=True)
class Chain:
    """The methods on a model, first installed outermost. Appending gives a new chain.

    A node may put several methods of one key on it, each a part of what the node does.
    """

    methods: tuple[Method, ...] = ()

    def append(self, *methods: Method) -> Chain:
        return Chain((*self.methods, *methods))

    def fitted(self, network: Network, latent_grid: tuple[int, int]) -> Chain:
        """The chain for one run, its methods knowing their layers."""
        return Chain(tuple(m.fitted(network, latent_grid) if isinstance(m, FitsNetwork) else m for m in self.methods))

    def active(self, progress: float, rows: Sequence[RowSpan]) -> Chain:
        """The methods that act at this point of the run on at least one of these rows."""
        return Chain(self.acting(progress, rows))

    def acting(self, progress: float, rows: Sequence[RowSpan]) -> tuple[Method, ...]:
        """The same without a chain of their own."""
        return tuple(m for m in self.methods if m.schedule.active(progress) and m.acts_on(rows))

    def with_instead(self, method: Method, other: Method) -> Chain:
        """The chain with ``other`` in the place of ``method``, and without the other methods of that key."""
        return Chain(tuple(other if m is method else m for m in self.methods if m is method or m.key != method.key))

    def without(self, key: str) -> Chain:
        """The chain without the methods of a key."""
        return Chain(tuple(m for m in self.methods if m.key != key))

    def selects(self, layer: LayerAddress) -> bool:
        """True where some method changes the attention of the layer."""
        return bool(self._at(layer)[0])

    def without_observers(self) -> Chain:
        """The chain for a forward at which nobody looks."""
        return Chain(tuple(m for m in self.methods if not isinstance(m, ObservesAttention)))

    def observers(self, layer: LayerAddress) -> tuple[ObservesAttention, ...]:
        return self._at(layer)[1]

    def wanting(self, layer: LayerAddress) -> tuple[Method, ...]:
        """The methods that change or observe the attention of the layer."""
        changing, observing = self._at(layer)
        return (*changing, *observing)

    def having(self, hook: type) -> tuple[Any, ...]:
        """The methods that have a hook. Asking a protocol is slow, so each is asked once."""
        if hook not in self._hooks:
            self._hooks[hook] = tuple(m for m in self.methods if isinstance(m, hook))
        return self._hooks[hook]

    @cached_property
    def _hooks(self) -> dict[type, tuple[Any, ...]]:
        return {}

    @cached_property
    def _layers(self) -> dict[LayerAddress, tuple[tuple[AttentionMethod, ...], tuple[ObservesAttention, ...]]]:
        return {}

    def _at(self, layer: LayerAddress) -> tuple[tuple[AttentionMethod, ...], tuple[ObservesAttention, ...]]:
        """Who changes and who observes the attention of a layer."""
        found = self._layers.get(layer)
        if found is None:
            found = self._layers[layer] = (tuple(m for m in self._changing if m.selects(layer)),
                                           tuple(m for m in self.having(ObservesAttention) if m.observes(layer)))
        return found

    @cached_property
    def _changing(self) -> tuple[AttentionMethod, ...]:
        """Outermost first: those that replace tokens stand outside those that weigh what is there, in whatever order
        the nodes are."""
        return tuple(sorted(self.having(AttentionMethod),
                            key=lambda m: not (isinstance(m, ReplacesTokens) and m.replaces_tokens)))

    def attend(self, call: AttentionCall, innermost: Attend) -> torch.Tensor:
        """Run the call through every method that selects its layer, then ``innermost``."""
        changing, observing = self._at(call.layer)
        call, attend = _observed(observing, call, innermost)
        for method in reversed(changing):
            attend = _around(method, attend)
        return attend(call)


@dataclass(frozen=True, eq=False)
class ModelCall:
    """What one call of the model knows: whose its rows are, where in the run it is, which methods act.

    extra: a forward that a method asked for, whose output is dropped.
    """

    rows: tuple[RowSpan, ...]
    step: Step
    chain: Chain
    scratch: Scratch
    extra: bool = False


def spans_of(key: str, rows: Sequence[RowSpan]) -> tuple[RowSpan, ...]:
    """The spans whose conditioning carries the key."""
    return tuple(span for span in rows if span.tag is not None and key in span.tag.keys)


def _around(method: AttentionMethod, attend: Attend) -> Attend:
    return lambda call: method(with_fixed_rules(call), attend)


def _observed(observers: Sequence[ObservesAttention], call: AttentionCall, attend: Attend,
              ) -> tuple[AttentionCall, Attend]:
    """The call with the probes of all observers, and ``attend`` with all of them observing."""
    if not observers:
        return call, attend
    probes = [observer.probe(call) for observer in observers]
    widths = [probe.shape[-1] for probe in probes]

    def seen(inner: AttentionCall) -> torch.Tensor:
        assert inner.probe is not None
        looked_at = with_fixed_rules(inner)
        for observer, part in zip(observers, inner.probe.split(widths, -1), strict=True):
            observer.observe(looked_at, part)
        return attend(replace(inner, probe=None))

    return replace(call, probe=torch.cat(probes, -1) if len(probes) > 1 else probes[0]), seen
