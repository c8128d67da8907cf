"""Attention Director for ComfyUI. The nodes are imported when the host asks for them, not before."""

WEB_DIRECTORY = "./web"


async def comfy_entrypoint():
    """The extension, for the host's loader."""
    from .nodes import AttentionDirector

    return AttentionDirector()
