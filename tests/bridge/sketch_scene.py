"""Predictors of random weights, stand-in VAEs and drawings, as short as a test can say them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import tiny
import tiny_joint
import torch
from attention_director.bridge.families import family_of
from attention_director.bridge.families.checkpoint import family, fingerprint
from attention_director.bridge.run.noise_law import noise_law
from attention_director.bridge.sketch.build import SketchOptions, build
from attention_director.bridge.sketch.method import SketchRun
from attention_director.bridge.sketch.predictor import Predictor
from attention_director.core.edge_predictor import EdgePredictor, guidance_predictor
from families import ENTRIES, encode_by_hand


class Vae:
    """Encodes by pooling: linear, deterministic, no model to load. channels: of a latent, after the colours."""

    def __init__(self, channels: int = 4, stride: int = 8) -> None:
        self.encoded, self.channels, self.stride = 0, channels, stride

    def spacial_compression_encode(self) -> int:
        return self.stride

    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        self.encoded += 1
        grey = torch.nn.functional.avg_pool2d(pixels.movedim(-1, 1), self.stride)
        return torch.cat([grey, 1 - grey[:, :1].expand(-1, self.channels - 3, -1, -1)], 1) * 8 - 3

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        pixels = torch.nn.functional.interpolate((latents[:, :3] + 3) / 8, scale_factor=self.stride)
        return pixels.movedim(1, -1).clamp(0, 1)


def vae_of(model: Any) -> Vae:
    """One for the latents of a model."""
    channels = model.model.latent_format.latent_channels
    return Vae(channels, 16 if channels == 128 else 8)


PROMPT = "a red hat and a dog"  # of transformers
MARGIN = 1000.0  # the features of the tiny models move a unit by a hundred or two


def predictor(model: Any, seed: int = 0, **changes: Any) -> Predictor:
    """Random weights whose gradient is a smooth function of the taps, so that rounding stays rounding.

    Where a ReLU sits on its kink, the last bit of a tap decides whether the unit counts, and through the
    unit gradient one such unit moves a picture by a hundredth. Here each unit is clearly on or clearly off:
    its bias is +MARGIN or -MARGIN, and the norm behind it takes the constant away again. It answers too weakly
    ever to reach the drawing, where a gradient of unit length would turn round.
    """
    torch.manual_seed(seed)
    taps = family_of(model, "node", joint=True).taps(model.model.diffusion_model, "node")
    law = noise_law(model.get_model_object("model_sampling"))
    net = guidance_predictor(taps.channels, model.model.latent_format.latent_channels, taps.patch, law)
    pixels = net if isinstance(net, EdgePredictor) else net.read
    for layer, norm in zip(pixels.layers, pixels.norms, strict=True):
        layer.bias.data = MARGIN * torch.where(torch.arange(len(layer.bias)) % 4 == 3, -1.0, 1.0)
        norm.running_mean.copy_(layer.bias.data.relu())
    pixels.last.weight.data *= 0.1
    weights = {k: v.detach().clone() for k, v in net.state_dict().items()}
    facts = dict(taps=taps, fingerprint=fingerprint(model), family=family(model), map_kind="edges", line_px=2, law=law)
    return Predictor(**(facts | changes), weights=weights)


def circle(size: tuple[int, int] = (128, 128), radius: float = 0.3, at: tuple[float, float] = (0.5, 0.5),
           width: float = 3.0) -> torch.Tensor:
    """White circle on black: IMAGE [1, H, W, 3]."""
    y = torch.arange(size[0])[:, None] + 0.5 - at[1] * size[0]
    x = torch.arange(size[1])[None] + 0.5 - at[0] * size[1]
    ring = ((x ** 2 + y ** 2).sqrt() - radius * min(size)).abs() < width / 2
    return ring.float()[None, ..., None].repeat(1, 1, 1, 3)


def sketch(model: Any, image: torch.Tensor | None = None, mask: torch.Tensor | None = None, vae: Any = None,
           pred: Predictor | None = None, **options: Any) -> Any:
    """The node's work, all through the run if not told otherwise."""
    return build("SketchGuidance", "7", model, vae or vae_of(model), pred or predictor(model),
                  circle() if image is None else image, mask, SketchOptions(**({"end": 1.0} | options))).model


def model(name: str = "sd15") -> Any:
    return tiny_joint.model(name) if name in tiny_joint.CONFIGS else tiny.model(name)


def moved_by_rounding(run: Callable[[], torch.Tensor], relative: float = 1e-5) -> float:
    """How far a run's result moves, at most, where its start noise is off by a hundred roundings of float32.

    A processor's own rounding moves it by about a hundredth of this, so a scene is fit for a bound that this
    stays under. A hundred times, because jumps are rare: a rounding once may well miss them all.
    """
    import comfy.sample

    real = comfy.sample.prepare_noise
    generator = torch.Generator().manual_seed(0)

    def off(*args: Any, **kwargs: Any) -> torch.Tensor:
        noise = real(*args, **kwargs)
        return noise * (1 + relative * torch.randn(noise.shape, generator=generator))

    expected = run()
    comfy.sample.prepare_noise = off
    try:
        return float((run() - expected).abs().max())
    finally:
        comfy.sample.prepare_noise = real


def method_of(patched: Any) -> Any:
    """The guidance on a model."""
    from attention_director.bridge.run.run import chain_of

    chain = chain_of(patched.model_options)
    assert chain is not None
    return next(m for m in chain.methods if type(m).__name__ == "SketchGuidanceMethod")


def drawing_of(patched: Any) -> Any:
    return method_of(patched).drawing


def start_noise(patched: Any) -> torch.Tensor:
    """The noise that a run starts from, after our wrapper."""
    from attention_director.bridge.run.wrappers import outer_sample

    class Guider:
        model_options = patched.model_options
        conds: ClassVar[dict[str, list[dict[str, Any]]]] = {"positive": [{}]}

    class Executor:
        class_obj = Guider()

        def __call__(self, noise: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
            return noise

    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(5))
    return outer_sample(Executor(), noise, torch.zeros(1, 4, 16, 16), None, torch.tensor([14.6, 1.0, 0.0]))


def scratch_of_a_run(patched: Any, positive: list, negative: list, **options: Any) -> dict:
    """What a run leaves in its scratch just before it is dropped."""
    from attention_director.bridge.run import wrappers

    kept: list[dict] = []
    real = wrappers.report
    wrappers.report = lambda run: (kept.append(dict(run.scratch.values)), real(run))[1]
    try:
        tiny.sample(patched, positive, negative, **options)
    finally:
        wrappers.report = real
    return kept[0]


def last_loss(patched: Any, positive: list, negative: list) -> float:
    """How far the last guided prediction is from the drawing."""
    found = scratch_of_a_run(patched, positive, negative, steps=6)
    predicted, wanted = found[method_of(patched).key, SketchRun].last
    return float((predicted - wanted.drawn).square().sum())


def gradients_in(patched: Any, positive: list, negative: list, **options: Any) -> int:
    """How many gradients a run takes."""
    from attention_director.bridge.sketch import guided_forward

    taken: list[int] = []
    real = guided_forward.gradient_of
    guided_forward.gradient_of = lambda *a: (taken.append(1), real(*a))[1]
    try:
        tiny.sample(patched, positive, negative, **options)
    finally:
        guided_forward.gradient_of = real
    return len(taken)


def sample_joint(model: Any, name: str, **more: Any) -> torch.Tensor:
    """A short run of a tiny transformer whose prompt's words are known."""
    size, text = more.pop("size", (8, 8)), more.pop("text", PROMPT)
    positive = more.pop("positive", None) or encode_by_hand(text, lines="\n" in text)
    latent = {"samples": torch.zeros(more.pop("batch", 1), model.model.latent_format.latent_channels, *size)}
    return tiny.sample(model, positive, ENTRIES[name].plain(more.pop("negative", "")), latent=latent,
                       **({"steps": 2, "cfg": 3.0, "scheduler": "simple"} | more))
