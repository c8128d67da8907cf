"""A guidance predictor as a value on a wire and as a safetensors file."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comfy.utils
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from ...core.edge_predictor import EdgePredictor
from ...core.noise import EPS, NoiseLaw
from ..errors import DirectorError
from ..families.checkpoint import family, fingerprint
from ..families.unet_taps import Tap, taps_of
from ..files import ModelFolder, numbered_path, replacing

FORMAT = "guidance predictor 1"
FILES = ModelFolder("guidance_predictors", (".safetensors",), ("demo_edges.safetensors", "demo_depth.safetensors"))
LOADER, SAVER = "AttnDirLoadPredictor", "AttnDirSavePredictor"
MAX_LINE_PX = 64

log = logging.getLogger("attention_director")


@dataclass(frozen=True, eq=False)
class Predictor:
    """What ATTN_DIR_PREDICTOR carries.

    taps: the block outputs it reads, in order. fingerprint, family: of the model it was trained on.
    map_kind: "edges" (lines, drawn line_px wide) or "map" (any picture). weights: of EdgePredictor.
    steps: of training in all.
    """

    taps: tuple[Tap, ...]
    fingerprint: str
    family: str
    map_kind: str
    line_px: int
    weights: dict[str, torch.Tensor]
    steps: int = 0

    @property
    def latent_channels(self) -> int:
        return int(self.weights["last.bias"].shape[0])

    def network(self, device: torch.device | str = "cpu", law: NoiseLaw = EPS) -> EdgePredictor:
        """A new float32 network with the weights, ready to predict; never an inference tensor in it."""
        with torch.inference_mode(False):
            net = EdgePredictor([tap.channels for tap in self.taps], self.latent_channels, law=law)
            net.load_state_dict({k: v.detach().clone().to(torch.float32 if v.is_floating_point() else v.dtype)
                                 for k, v in self.weights.items()})
            return net.to(device).eval().requires_grad_(False)


def require_match(predictor: Predictor, model: Any, node: str) -> None:
    """Raise DirectorError where the predictor cannot read this model; warn where it never saw it."""
    taps = taps_of(model.model.diffusion_model, node)
    if (taps, predictor.family) != (predictor.taps, family(model)):
        raise DirectorError(node, f"the predictor was trained on {predictor.family} ({_widths(predictor.taps)}); this "
                                  f"model is {family(model)} ({_widths(taps)}). Train one for it with "
                                  "AttnDirTrainPredictor.")
    if predictor.latent_channels != model.model.latent_format.latent_channels:
        raise DirectorError(node, f"the predictor's maps have {predictor.latent_channels} channels, this model's "
                                  f"latents {model.model.latent_format.latent_channels}; train one for this model.")
    if predictor.fingerprint != fingerprint(model):
        log.warning("%s: the predictor was trained on another %s checkpoint; it may be less exact here.", node,
                    predictor.family)


def _widths(taps: tuple[Tap, ...]) -> str:
    return "-".join(str(tap.channels) for tap in taps)


def save_predictor(predictor: Predictor, path: Path) -> Path:
    """Write the file beside, then rename. Layers in half precision, the norms' statistics in full."""
    tensors = {name: value.detach().to("cpu", torch.float16 if name.split(".")[0] in ("layers", "last")
                                       else value.dtype).contiguous().clone()
               for name, value in predictor.weights.items()}
    facts = {"taps": [[t.stage, t.block, t.channels] for t in predictor.taps], "fingerprint": predictor.fingerprint,
             "family": predictor.family, "map_kind": predictor.map_kind, "line_px": predictor.line_px,
             "steps": predictor.steps}
    with replacing(path) as beside:
        save_file(tensors, beside, {"format": "pt", "attention_director": FORMAT, "predictor": json.dumps(facts)})
    return path


def read_predictor(path: Path, node: str = LOADER) -> Predictor:
    """Raises DirectorError for a file that is not a predictor."""
    try:
        weights, metadata = comfy.utils.load_torch_file(str(path), safe_load=True, return_metadata=True)
        if metadata is None or metadata.get("attention_director") != FORMAT:
            raise ValueError("it was not saved by AttnDirSavePredictor")
        predictor = _predictor(json.loads(metadata["predictor"]), weights)
        predictor.network()
    except (ValueError, KeyError, TypeError, IndexError, RuntimeError, OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DirectorError(node, f"{path.name} is not a guidance predictor ({reason}); take another file.") from error
    return predictor


def _predictor(facts: dict[str, Any], weights: dict[str, torch.Tensor]) -> Predictor:
    taps = tuple(Tap(str(stage), int(block), int(channels)) for stage, block, channels in facts["taps"])
    width = sum(tap.channels for tap in taps)
    if not 0 < len(taps) <= 64 or weights["layers.0.weight"].shape[1] <= width or facts["map_kind"] not in (
            "edges", "map"):
        raise ValueError("its facts and weights do not agree")
    return Predictor(taps, str(facts["fingerprint"]), str(facts["family"]), str(facts["map_kind"]),
                     min(MAX_LINE_PX, max(1, int(facts["line_px"]))), weights, int(facts.get("steps", 0)))


def load_predictor(name: str, node: str = LOADER) -> Predictor:
    """Load a predictor by its name in the combo. Raises DirectorError when there is no such file."""
    return read_predictor(FILES.path(node, name), node)


def save_numbered(predictor: Predictor, prefix: str, node: str = SAVER) -> Path:
    """Under the output folder, with the host's numbering."""
    return save_predictor(predictor, numbered_path(node, prefix))
