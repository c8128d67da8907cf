"""The pack's nodes as a check wires them, in one place, so that each is asked as a graph would ask it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..edit.build import EditOptions
from ..edit.build import build as edit
from ..regions.build import build as regions
from ..regions.presets import STRONG, RegionOptions
from ..regions.region import make_region
from ..subject.build import build as share
from ..subject.options import SubjectOptions
from ..text.prompt import Conditioning
from .scenes import Edit, Layout, Story
from .studio import Studio

REGIONS, EDIT, SUBJECT, SKETCH, IDENTITY = ("RegionPrompt", "AttentionEdit", "SharedSubjectAttention",
                                            "SketchGuidance", "IdentityInject")


@dataclass(frozen=True, eq=False)
class Directed:
    """What goes to the sampler."""

    model: Any
    positive: Conditioning
    latent: dict[str, Any] | None = None
    negative: Conditioning | None = None


def placed(studio: Studio, layout: Layout, strength: float = 1.0, options: RegionOptions = STRONG,
           model: Any = None) -> Directed:
    """Region Prompt with a box a thing."""
    drawn = tuple(make_region(REGIONS, thing.phrase, thing.mask[None], 1.0) for thing in layout.things)
    side = studio.sampling.side
    made = regions(REGIONS, "", model or studio.model, studio.clip, layout.text, drawn, strength, options, side, side)
    return Directed(made.model, made.positive)


def edited(studio: Studio, change: Edit, targets: str | None = None) -> Directed:
    """Attention Edit; source and target in one batch, only the named things' area may change."""
    options = EditOptions(targets=change.target if targets is None else targets,
                          blend_words=f"{change.before}\n{change.after}" if targets is None else "")
    made = edit(EDIT, "", studio.model, studio.clip, change.source, studio.latent(), options, studio.negative)
    return Directed(made.model, made.positive, made.latent, made.negative)


def told(studio: Studio, story: Story, strength: float = 1.0) -> Directed:
    """Shared Subject over the scenes of a story."""
    made = share(SUBJECT, "", studio.model, studio.clip, "\n".join(story.scenes), "", "", story.subject,
                 studio.latent(), None, SubjectOptions(anchors=min(2, len(story.scenes)), strength=strength))
    return Directed(made.model, made.positive, made.latent)
