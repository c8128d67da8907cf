"""The contents page: every node of the pack, one file each."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .banks import AttnDirBankFromImages, AttnDirLoadBank, AttnDirSaveBank
from .demo_model import AttnDirLoadDemoModel
from .encode import AttnDirEncode
from .region import AttnDirRegion
from .region_prompt import RegionPrompt
from .regions_from_boxes import AttnDirRegionsFromBoxes
from .shared_subject import SharedSubjectAttention

NODES: tuple[type[io.ComfyNode], ...] = (
    RegionPrompt,
    SharedSubjectAttention,
    AttnDirSaveBank,
    AttnDirLoadBank,
    AttnDirBankFromImages,
    AttnDirRegion,
    AttnDirRegionsFromBoxes,
    AttnDirEncode,
    AttnDirLoadDemoModel,
)


class AttentionDirector(ComfyExtension):
    """What the host loads."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return list(NODES)
