"""A guidance predictor as a value on a wire and as a safetensors file."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from ...core.edge_predictor import GuidancePredictor, guidance_predictor
from ...core.noise import EPS, FLOW, NoiseLaw
from ..errors import DirectorError
from ..families import family_of
from ..families.checkpoint import family, fingerprint
from ..families.taps import Tap, Taps
from ..files import ModelFolder, save_at
from ..files import save_numbered as save_numbered_file
from ..run.noise_law import noise_law
from ..tensor_files import Shaped, opened, require_finite
from ..untrusted import Unreadable, parse_json, reading, whole

FORMAT = "guidance predictor 1"
FILES = ModelFolder("guidance_predictors", (".safetensors",),
                    ("demo_edges.safetensors", "demo_depth.safetensors", "storybook_edges.safetensors"))
LOADER, SAVER = "AttnDirLoadPredictor", "AttnDirSavePredictor"
MAX_LINE_PX = 64
MOST_FACTS = 100_000  # characters
MOST_TAPS, MOST_BLOCKS, MOST_CHANNELS, MOST_PATCH = 64, 1000, 65_536, 16
LAWS = {law.name: law for law in (EPS, FLOW)}

_LAYERS = {"layers", "last", "project"}

log = logging.getLogger("attention_director")


@dataclass(frozen=True, eq=False)
class Predictor:
    """What ATTN_DIR_PREDICTOR carries.

    taps: the block outputs it reads. fingerprint, family: of the model it was trained on. map_kind: "edges" (lines,
    drawn line_px wide) or "map" (any picture). weights: of its network. steps: of training in all. law: of the noise
    whose levels it knows.
    """

    taps: Taps
    fingerprint: str
    family: str
    map_kind: str
    line_px: int
    weights: dict[str, torch.Tensor]
    steps: int = 0
    law: NoiseLaw = EPS

    @property
    def bias(self) -> torch.Tensor:
        """Of the network's last layer: a value for each channel of its answer."""
        return _last_bias(self.weights)

    @property
    def latent_channels(self) -> int:
        return int(self.bias.shape[0]) // (self.taps.patch or 1) ** 2

    def network(self, device: torch.device | str = "cpu") -> GuidancePredictor:
        """A new float32 network with the weights, ready to predict; never an inference tensor in it."""
        with torch.inference_mode(False):
            net = guidance_predictor(self.taps.channels, self.latent_channels, self.taps.patch, self.law)
            net.load_state_dict({k: v.detach().clone().to(torch.float32 if v.is_floating_point() else v.dtype)
                                 for k, v in self.weights.items()})
            return net.to(device).eval().requires_grad_(False)


def require_match(predictor: Predictor, model: Any, node: str) -> None:
    """Raise DirectorError where the predictor cannot read this model; warn where it never saw it."""
    network = model.model.diffusion_model
    taps = family_of(model, node, joint=True).taps(network, node)
    if (taps, predictor.family) != (predictor.taps, family(model)):
        raise DirectorError(node, f"the predictor was trained on {predictor.family} ({predictor.taps}); this model is "
                                  f"{family(model)} ({taps}). Train one for it with AttnDirTrainPredictor.")
    law = noise_law(model.get_model_object("model_sampling"))
    if law is not predictor.law:
        raise DirectorError(node, f"this model is {'' if law is FLOW else 'not '}sampled as a flow, unlike the one the "
                                  "predictor was trained on; take the sampling node before it away.")
    if predictor.latent_channels != model.model.latent_format.latent_channels:
        raise DirectorError(node, f"the predictor's maps have {predictor.latent_channels} channels, this model's "
                                  f"latents {model.model.latent_format.latent_channels}; train one for this model.")
    if predictor.fingerprint != fingerprint(model):
        log.warning("%s: the predictor was trained on another %s checkpoint; it may be less exact here.", node,
                    predictor.family)


def _last_bias(named: Mapping[str, Any]) -> Any:
    """Of a network for guidance, whichever it is: one number for each channel of its answer."""
    return named["read.last.bias"] if "read.last.bias" in named else named["last.bias"]


def save_predictor(predictor: Predictor, path: Path) -> Path:
    """Write a predictor at a path of one's own. Raises DirectorError where it cannot be written."""
    return save_at(SAVER, path, lambda beside: _write(predictor, beside))


def _write(predictor: Predictor, path: Path) -> None:
    """Layers in half precision, statistics in full."""
    tensors = {name: value.detach().to("cpu", torch.float16 if _LAYERS & set(name.split(".")) else value.dtype)
               .contiguous().clone() for name, value in predictor.weights.items()}
    facts = {"taps": [[t.stage, t.block, t.channels] for t in predictor.taps.blocks], "patch": predictor.taps.patch,
             "law": predictor.law.name, "fingerprint": predictor.fingerprint, "family": predictor.family,
             "map_kind": predictor.map_kind, "line_px": predictor.line_px, "steps": predictor.steps}
    save_file(tensors, path, {"format": "pt", "attention_director": FORMAT, "predictor": json.dumps(facts)})


def read_predictor(path: Path, node: str = LOADER) -> Predictor:
    """Read a predictor; its facts and shapes are compared before a value is read. Raises DirectorError."""
    with reading(node, f"{path.name} is not a guidance predictor", "take another file."), opened(path) as file:
        if file.metadata.get("attention_director") != FORMAT:
            raise Unreadable(f"it was not saved by {SAVER}")
        predictor = _predictor_of(parse_json(file.metadata["predictor"], MOST_FACTS))
        _require_shapes(predictor, file.specs)
        weights = file.read()
        require_finite(weights)
        return replace(predictor, weights=weights)


def _predictor_of(facts: dict[str, Any]) -> Predictor:
    """A file's facts as a predictor without weights yet. Raises Unreadable, KeyError, TypeError or ValueError."""
    blocks = tuple(Tap(str(stage), whole(block, 0, MOST_BLOCKS), whole(channels, 1, MOST_CHANNELS))
                   for stage, block, channels in facts["taps"])
    patch, law = facts.get("patch"), facts.get("law", EPS.name)
    if not 0 < len(blocks) <= MOST_TAPS or facts["map_kind"] not in ("edges", "map") or law not in LAWS:
        raise Unreadable("its facts are none of a predictor")
    taps = Taps(blocks, None if patch is None else whole(patch, 1, MOST_PATCH))
    return Predictor(taps, str(facts["fingerprint"]), str(facts["family"]), str(facts["map_kind"]),
                     whole(facts["line_px"], 1, MAX_LINE_PX), {}, whole(facts.get("steps", 0), 0, 2**62), LAWS[law])


def _require_shapes(predictor: Predictor, specs: Mapping[str, Shaped]) -> None:
    """Compare a file's tensors with those of a network for these taps; nothing is allocated for it."""
    last, pixels = _last_bias(specs).shape, (predictor.taps.patch or 1) ** 2
    if len(last) != 1 or not 0 < last[0] <= MOST_CHANNELS or last[0] % pixels:
        raise Unreadable("last.bias is no list of channels")
    with torch.device("meta"):
        wanted = guidance_predictor(predictor.taps.channels, last[0] // pixels, predictor.taps.patch).state_dict()
    wrong = sorted(name for name in wanted.keys() | specs.keys()
                   if name not in specs or name not in wanted or specs[name].shape != wanted[name].shape
                   or specs[name].dtype.is_floating_point != wanted[name].dtype.is_floating_point)
    if wrong:
        raise Unreadable(f"its facts and weights do not agree in {wrong[0]}")


def load_predictor(name: str, node: str = LOADER) -> Predictor:
    """Load a predictor by its name in the combo. Raises DirectorError when there is no such file."""
    return read_predictor(FILES.path(node, name), node)


def save_numbered(predictor: Predictor, prefix: str, node: str = SAVER) -> Path:
    """Under the output folder, with the host's numbering. Raises DirectorError."""
    return save_numbered_file(node, prefix, lambda path: _write(predictor, path))
