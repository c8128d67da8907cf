"""The contents page: every node of the pack, one file per topic."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .attention_edit import AttentionEdit
from .banks import AttnDirBankFromImages, AttnDirLoadBank, AttnDirSaveBank
from .demo_model import AttnDirLoadDemoModel
from .encode import AttnDirEncode
from .example_image import AttnDirExampleImage
from .identity_inject import IdentityInject
from .identity_subject import AttnDirSubject
from .inversion import AttnDirInversion
from .load_adapter import AttnDirLoadAdapter
from .predictor import AttnDirLoadPredictor, AttnDirSavePredictor
from .readout import AttnDirReadout
from .record import AttnDirRecord
from .region import AttnDirRegion
from .region_prompt import RegionPrompt
from .regions_from_boxes import AttnDirRegionsFromBoxes
from .self_check import AttnDirSaveSelfCheck, AttnDirSelfCheck
from .shared_subject import SharedSubjectAttention
from .sketch import AttnDirSketch
from .sketch_guidance import SketchGuidance
from .train_predictor import AttnDirTrainPredictor

NODES: tuple[type[io.ComfyNode], ...] = (
    RegionPrompt,
    AttentionEdit,
    SharedSubjectAttention,
    SketchGuidance,
    IdentityInject,
    AttnDirRegion,
    AttnDirRegionsFromBoxes,
    AttnDirInversion,
    AttnDirSaveBank,
    AttnDirLoadBank,
    AttnDirBankFromImages,
    AttnDirSketch,
    AttnDirLoadPredictor,
    AttnDirSavePredictor,
    AttnDirTrainPredictor,
    AttnDirSubject,
    AttnDirLoadAdapter,
    AttnDirEncode,
    AttnDirRecord,
    AttnDirReadout,
    AttnDirExampleImage,
    AttnDirLoadDemoModel,
    AttnDirSelfCheck,
    AttnDirSaveSelfCheck,
)


class AttentionDirector(ComfyExtension):
    """What the host loads."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return list(NODES)
