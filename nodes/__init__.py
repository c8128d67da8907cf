"""The contents page: every node of the pack, one file each."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .demo_model import AttnDirLoadDemoModel
from .encode import AttnDirEncode
from .identity_inject import IdentityInject
from .identity_subject import AttnDirSubject
from .load_adapter import AttnDirLoadAdapter
from .region import AttnDirRegion
from .region_prompt import RegionPrompt
from .regions_from_boxes import AttnDirRegionsFromBoxes

NODES: tuple[type[io.ComfyNode], ...] = (
    RegionPrompt,
    IdentityInject,
    AttnDirRegion,
    AttnDirRegionsFromBoxes,
    AttnDirSubject,
    AttnDirLoadAdapter,
    AttnDirEncode,
    AttnDirLoadDemoModel,
)


class AttentionDirector(ComfyExtension):
    """What the host loads."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return list(NODES)
