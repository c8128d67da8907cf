"""Method: ConsiStory (arXiv 2402.03286), shared keys and query blending. Written from the paper; no code copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from ...core.call import Attend, AttentionCall
from ...core.method import ModelCall
from ...core.network import LayerAddress
from ...core.shared_keys import attend_shared, blend_queries
from .groups import Sharing
from .sampling_pass import Part


@dataclass(frozen=True, eq=False)
class KeySharer(Part):
    """Lets the pictures read the subject's keys of the anchors."""

    def selects(self, layer: LayerAddress) -> bool:
        return layer in self.sampling.layers.shares

    def forwards(self, call: ModelCall) -> Sequence[PlainQueries]:
        """A forward without shared keys, whose queries keep the layout of a picture generated alone. Where keys carry
        positions they keep it themselves."""
        sharing = self.sampling.state(call.scratch).sharing.values()
        blends = (not self.sampling.layers.joint and self.sampling.options.plain_queries(call.step) > 0.0
                  and any(found.groups for found in sharing))
        return (PlainQueries(self.sampling),) if blends else ()

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        this = self.sampling
        sharing = this.state(call.scratch).sharing.get(call.grid)
        if sharing is None or not sharing.serves(call.layer) or call.grid != this.layers.shares[call.layer]:
            return attend(call)
        return self._share(call, attend, sharing) if this.fits(call) else attend(call)

    def _share(self, call: AttentionCall, attend: Attend, sharing: Sharing) -> torch.Tensor:
        options = self.sampling.options
        plain = self.sampling.state(call.scratch).queries.pop(call.layer, None)
        if plain is not None:
            call = replace(call, q=blend_queries(call.q, plain, options.plain_queries(call.step)))
        banked = partial(sharing.banked, call) if sharing.banked else None
        return attend_shared(call, attend, sharing.groups, sharing.unshared, options.strength, banked)


@dataclass(frozen=True, eq=False)
class PlainQueries(Part):
    """Stands in for all parts in a forward without them, and remembers the decoder's queries of it."""

    def selects(self, layer: LayerAddress) -> bool:
        return layer in self.sampling.layers.shares

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        self.sampling.state(call.scratch).queries[call.layer] = call.q
        return attend(call)
