"""A person's files by the host's own loaders, as its nodes use them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import comfy.sd
import comfy.utils
import folder_paths

from ..errors import DirectorError
from ..untrusted import reading
from .studio import NODE


def load(model: Path, clips: Sequence[Path] = (), vae: Path | None = None, clip_type: str = "") -> tuple[Any, Any, Any]:
    """MODEL, CLIP, VAE of a checkpoint, or of a diffusion model with its text encoders and its VAE.

    clip_type: as in the host's Load CLIP; "" for the one that goes by the model's own name. Raises DirectorError.
    """
    with reading(NODE, "the model cannot be loaded", "look whether ComfyUI itself loads it."):
        parts = _parts(model, bool(clips), vae is not None)
        text = _text_encoder(parts[0], clips, clip_type) if clips else parts[1]
        picture = _vae(vae) if vae is not None else parts[2]
    if text is None or picture is None:
        what, flag = ("text encoder", "--clip") if text is None else ("VAE", "--vae")
        raise DirectorError(NODE, f"the file contains no {what}; name one with {flag}.")
    return parts[0], text, picture


def _parts(path: Path, own_clip: bool, own_vae: bool) -> Sequence[Any]:
    """What a file holds: all three, or with a text encoder of its own beside it a diffusion model alone."""
    if own_clip:
        return comfy.sd.load_diffusion_model(str(path)), None, None
    embeddings = folder_paths.get_folder_paths("embeddings")
    return comfy.sd.load_checkpoint_guess_config(str(path), output_vae=not own_vae, output_clip=True,
                                                 embedding_directory=embeddings)


def _text_encoder(model: Any, clips: Sequence[Path], clip_type: str) -> Any:
    return comfy.sd.load_clip([str(path) for path in clips], folder_paths.get_folder_paths("embeddings"),
                              clip_type_of(model, clip_type))


def clip_type_of(model: Any, named: str = "") -> Any:
    """The host's kind of text encoder for a model: the one of the same name, else the one that looks at the file alone.

    Raises DirectorError for a name that is none.
    """
    kinds = comfy.sd.CLIPType.__members__
    if named and named.upper() not in kinds:
        raise DirectorError(NODE, f'there is no clip type "{named}"; take one of Load CLIP\'s.')
    config = model.model.model_config
    names = (named, config.unet_config.get("image_model") or "", *(kind.__name__ for kind in type(config).__mro__))
    return next((kinds[name.upper()] for name in names if name.upper() in kinds), comfy.sd.CLIPType.STABLE_DIFFUSION)


def _vae(path: Path) -> Any:
    weights, metadata = comfy.utils.load_torch_file(str(path), return_metadata=True)
    made = comfy.sd.VAE(sd=weights, metadata=metadata)
    made.throw_exception_if_invalid()
    return made
