"""Method: ConsiStory (arXiv 2402.03286), maps of the subjects. Written from the paper; no code copied."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ...core.call import Attend, AttentionCall, RowSpan
from ...core.heat import pixel_maps
from ...core.network import LayerAddress
from ...core.subject_masks import subject_probe
from ...core.text import columns
from .sampling_pass import Part


@dataclass(frozen=True, eq=False)
class MapReader(Part):
    """Reads where the pictures attend to the subjects' words. Changes nothing."""

    def selects(self, layer: LayerAddress) -> bool:
        return layer in self.sampling.layers.maps

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        this = self.sampling
        if this.fits(call) and call.grid == this.layers.map_grid:
            for span in this.ours(call.rows):
                maps = this.state(call.scratch).maps
                maps.add(pixel_maps(call, self._probe(call, span), slice(span.start, span.stop), maps.pending))
        return attend(call)

    def _probe(self, call: AttentionCall, span: RowSpan) -> torch.Tensor:
        """Where the subjects stand among the call's keys, once a run: the host may repeat a short prompt there."""
        def find() -> torch.Tensor:
            text, tag = call.keys.of("text")[0], span.tag
            assert tag is not None
            tokens = [[columns(tag, image % len(tag.rows), phrase, text) for phrase in self.sampling.phrases]
                      for image in span.images]
            probe = subject_probe(tokens, call.k.shape[2])
            probe = torch.nn.functional.pad(probe, (0, 0, 0, 0, 0, 0, span.start, len(call.q) - span.stop))
            return probe.to(call.q.device, torch.promote_types(call.q.dtype, torch.float32))

        return call.scratch.once(("subject probe", self.key, id(span.tag), call.row_ids, call.keys), find)
