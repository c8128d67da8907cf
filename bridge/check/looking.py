"""What the model itself sees in a finished picture: one undirected step on it, with some noise put back.

So plain and directed pictures are asked alike, and a method is not judged by the attention that it forced itself.
Where words are read there is DAAM's measure (arXiv 2210.04885); features of a picture from one noisy step are DIFT's
(arXiv 2306.03881).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import comfy.sample
import comfy.samplers
import torch
import torch.nn.functional as F

from ...core.call import Attend, AttentionCall, RowSpan
from ...core.heat import landing, resized, standing_out
from ...core.network import LayerAddress, Network
from ...core.schedule import Schedule
from ..record.build import build as record
from ..record.recorder import recorders_of
from ..record.store import RecordStore
from ..run.install import install
from ..run.run import chain_of
from ..text.prompt import Conditioning
from .studio import NODE, SEED, Studio

# How far into a run the noise is that is put back: what stands where is settled and still asked; and where details
# are. The second, and which layers' features count, as shares of the network, were chosen on the demo model's
# creatures, see lab/NOTES.md.
SETTLED, DETAILED = 0.6, 0.85
LATE = 0.75
MOST_LAYERS, GRID = 4, (24, 24)


@dataclass(frozen=True, eq=False)
class Seen:
    """Of B pictures. maps: [B, P, h, w], how much of its text each pixel reads in each phrase. features: by layer,
    [B, C, h, w], where they were asked for. strangeness: mean square of what the model would change in them."""

    maps: torch.Tensor
    strangeness: float
    features: tuple[torch.Tensor, ...] = ()

    def landings(self, masks: torch.Tensor) -> torch.Tensor:
        """Landing scores [B, P] of the phrases in their regions. masks: [P, H, W] in 0..1."""
        return landing(self.maps, resized(masks[None].float(), (self.maps.shape[-2], self.maps.shape[-1])))

    def areas(self, size: tuple[int, int]) -> torch.Tensor:
        """Where each phrase stands out: bool [B, P, *size]."""
        out = (standing_out(self.maps) > 0).float()
        return resized(out, size) > 0.5


@dataclass(frozen=True, eq=False)
class FeatureReader:
    """Keeps what image tokens get from attention in a few late layers of the network."""

    kept: dict[LayerAddress, torch.Tensor] = field(default_factory=dict)
    layers: frozenset[LayerAddress] = frozenset()
    key: str = f"/{NODE}/features"
    label: str = NODE
    schedule: Schedule = field(default_factory=Schedule)
    acts_in_joint_layers: bool = True
    needs_places: bool = True

    def acts_on(self, rows: Sequence[RowSpan]) -> bool:
        return True

    def fitted(self, network: Network, latent_grid: tuple[int, int]) -> FeatureReader:
        fit = [layer for layer in network.layers if layer.reads("image", "image") and layer.fraction >= LATE]
        return replace(self, layers=frozenset(fit[::-(-len(fit) // MOST_LAYERS)]))

    def selects(self, layer: LayerAddress) -> bool:
        return layer in self.layers

    def __call__(self, call: AttentionCall, attend: Attend) -> torch.Tensor:
        out = attend(call)
        image, = call.queries.of("image")
        maps = F.normalize(out[:, :, image.slice].transpose(1, 2).flatten(2).float(), dim=-1)
        self.kept[call.layer] = resized(maps.transpose(1, 2).unflatten(-1, call.grid), GRID).cpu()
        return out


def look(studio: Studio, samples: torch.Tensor, positive: Conditioning, phrases: Sequence[str],
         features: bool = False) -> Seen:
    """Look at pictures, given as the sampler gave them, with the prompt they were made with.

    features: look at details, and keep the features of late layers too.
    """
    store = RecordStore(1)
    model = record(NODE, "", studio.model, positive, "\n".join(phrases), 0.0, 1.0, store).model
    recorder, = recorders_of(chain_of(model.model_options))
    reader = FeatureReader()
    if features:
        model = install(model, reader)
    sampling = studio.model.get_model_object("model_sampling")
    sigmas = torch.tensor([float(sampling.percent_to_sigma(DETAILED if features else SETTLED)), 0.0])
    noise = comfy.sample.prepare_noise(samples, SEED, [0] * len(samples))
    out = comfy.sample.sample_custom(model, noise, 1.0, comfy.samplers.ksampler("euler"), sigmas, positive,
                                     studio.negative, samples, disable_pbar=True, seed=SEED)
    found = store.of(out, {recorder.key})
    assert found is not None
    strangeness = float((out.float() - samples.float().to(out.device)).square().mean())
    return Seen(found.heats[recorder.key].mean, strangeness, tuple(reader.kept.values()))


def likeness(features: Sequence[torch.Tensor], others: Sequence[torch.Tensor], areas: torch.Tensor) -> float:
    """How alike the heroes of B pictures are: mean cosine of all pairs and layers, -1..1.

    features: by layer, [B, C, h, w]. others: of pictures to compare with, whose mean and that of these is what
    pictures have in common and is taken away. areas: bool [B, H, W], where the hero of each is.
    """
    found = []
    for own, other in zip(features, others, strict=True):
        common = torch.cat((own, other)).mean((0, 2, 3), keepdim=True)
        masks = resized(areas[:, None].float(), (own.shape[-2], own.shape[-1]))
        heroes = ((own - common) * masks).sum((2, 3)) / masks.sum((2, 3)).clamp(min=1e-6)
        found += [float(F.cosine_similarity(heroes[a], heroes[b], dim=0))
                  for a, b in combinations(range(len(heroes)), 2)]
    return sum(found) / len(found)
