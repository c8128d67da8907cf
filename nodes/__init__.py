"""The contents page: every node of the pack, one file each."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .demo_model import AttnDirLoadDemoModel
from .encode import AttnDirEncode
from .predictor import AttnDirLoadPredictor, AttnDirSavePredictor
from .region import AttnDirRegion
from .region_prompt import RegionPrompt
from .regions_from_boxes import AttnDirRegionsFromBoxes
from .sketch import AttnDirSketch
from .sketch_guidance import SketchGuidance
from .train_predictor import AttnDirTrainPredictor

NODES: tuple[type[io.ComfyNode], ...] = (
    RegionPrompt,
    SketchGuidance,
    AttnDirRegion,
    AttnDirRegionsFromBoxes,
    AttnDirEncode,
    AttnDirSketch,
    AttnDirLoadPredictor,
    AttnDirSavePredictor,
    AttnDirTrainPredictor,
    AttnDirLoadDemoModel,
)


class AttentionDirector(ComfyExtension):
    """What the host loads."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return list(NODES)
