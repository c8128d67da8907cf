"""The plain networks of the storybook world against the host's own, on the same random weights."""

from __future__ import annotations

import pytest
import torch
from storybook.nets.clip import Clip
from storybook.nets.flux import Flux, FluxConfig
from storybook.nets.t5 import T5
from storybook.nets.unet import Unet, UnetConfig
from storybook.nets.vae import Vae

SMALL_FLUX = FluxConfig(hidden=128, double=1, single=2, context=32, supervised=(0, 2))
SMALL_UNET = UnetConfig(width=32, blocks=(1, 1, 2), heads=2, context=16)


def scatter(net: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Weights that hide no mistake: nothing is zero, norms differ from one."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data = parameter.data + noise * (0.3 if parameter.ndim < 2 else 0.05)
    return net.eval()


def near(own: torch.Tensor, host: torch.Tensor, bound: float = 2e-5) -> bool:
    return bool((own - host).abs().max() < bound * host.abs().max())


@torch.no_grad()
def test_the_transformer_is_the_hosts_flux() -> None:
    import comfy.ops
    from comfy.ldm.flux.model import Flux as HostFlux

    own = scatter(Flux(SMALL_FLUX))
    host = HostFlux(
        in_channels=16, out_channels=16, vec_in_dim=None, context_in_dim=32, hidden_size=128, mlp_ratio=4.0,
        num_heads=1, depth=1, depth_single_blocks=2, axes_dim=[16, 56, 56], theta=10000, patch_size=2, qkv_bias=True,
        guidance_embed=False, txt_ids_dims=[], dtype=torch.float32, operations=comfy.ops.disable_weight_init)
    host.load_state_dict(own.state_dict())
    x, sigma, context = torch.randn(2, 16, 8, 12), torch.tensor([0.9, 0.2]), torch.randn(2, 7, 32)
    expected = host(x, sigma, context, None)
    velocity, reads = own(x, sigma, context)
    assert near(velocity, expected) and not reads
    tokens = torch.zeros(2, 7, 5)
    tokens[:, 2:4, 1] = 1
    velocity, reads = own(x, sigma, context, tokens)
    assert near(velocity, expected)
    assert [tuple(read.shape) for read in reads] == [(2, 24, 5)] * 2
    assert all(bool((read[..., 1] > 0).all()) and not read[..., 0].any() for read in reads)
    reference = torch.randn(2, 16, 4, 6)
    with_reference, reads = own(x, sigma, context, tokens, reference)
    assert near(with_reference, host(x, sigma, context, None, ref_latents=[reference]))
    assert not near(with_reference, expected, 1e-3) and [tuple(read.shape) for read in reads] == [(2, 24, 5)] * 2
    elsewhere, _ = own(x, sigma, context, reference=reference, corner=(2, 0))
    assert not near(elsewhere, with_reference, 1e-4)


@torch.no_grad()
def test_a_second_reference_stands_where_the_host_puts_it() -> None:
    """Behind a square one, a square one begins below or beside: the corners that training shows."""
    import comfy.ops
    from comfy.ldm.flux.model import Flux as HostFlux
    from storybook.nets.flux import grid_of
    from storybook.train_models import CORNERS

    host = HostFlux(
        in_channels=16, out_channels=16, vec_in_dim=None, context_in_dim=32, hidden_size=128, mlp_ratio=4.0,
        num_heads=1, depth=0, depth_single_blocks=0, axes_dim=[16, 56, 56], theta=10000, patch_size=2, qkv_bias=True,
        guidance_embed=False, txt_ids_dims=[], dtype=torch.float32, operations=comfy.ops.disable_weight_init)
    seen: list[torch.Tensor] = []
    host.forward_orig = lambda img, ids, *_, **__: seen.append(ids) or img[..., :64]
    square = torch.randn(1, 16, 16, 16)
    host(torch.randn(1, 16, 32, 32), torch.ones(1), torch.randn(1, 7, 32), None, ref_latents=[square, square])
    tokens = grid_of(square).height * grid_of(square).width
    second = seen[0][0, -tokens:]
    assert tuple(int(value) for value in second[0, 1:]) in CORNERS[1:] and (second[:, 0] == 1).all()
    assert (seen[0][0, -2 * tokens] == torch.tensor([1.0, 0.0, 0.0])).all()


@torch.no_grad()
def test_the_prototypes_heads_keep_their_pairs() -> None:
    """Two narrow heads in a wide one: each dimension taken once, and what turns visibly turns nearly as fast."""
    from storybook.prototype import PAIRS, places

    config = FluxConfig()
    inside = places(config)
    assert sorted(inside.tolist()) == list(range(128))
    slot = inside.argsort()[::2] // 2  # where each pair of the two heads went
    for head in range(2):
        for axis, name in ((1, "y"), (2, "x")):
            begin = 64 * head // 2 + sum(PAIRS[:axis])
            own = slot[begin:begin + PAIRS[axis]] - sum(config.axes[:axis]) // 2
            assert ((own >= 0) & (own < config.axes[axis] // 2)).all(), name
            speed = 10000.0 ** -(own / (config.axes[axis] / 2))
            wanted = 10000.0 ** -(torch.arange(PAIRS[axis]) / PAIRS[axis])
            assert ((speed / wanted).log().abs() < 0.5)[wanted > 0.03].all(), (head, name)
            assert ((speed - wanted).abs() < 0.02)[wanted <= 0.03].all(), (head, name)


@torch.no_grad()
def test_the_unet_is_the_hosts_unet() -> None:
    import comfy.ops
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    own = scatter(Unet(SMALL_UNET))
    host = UNetModel(**SMALL_UNET.host(), dtype=torch.float32, operations=comfy.ops.disable_weight_init).eval()
    host.load_state_dict(own.state_dict())
    x, step, context = torch.randn(2, 4, 16, 16), torch.tensor([999.0, 3.0]), torch.randn(2, 7, 16)
    expected = host(x, step, context)
    noise, reads = own(x, step, context)
    assert near(noise, expected) and not reads
    noise, reads = own(x, step, context, torch.ones(2, 7, 5))
    assert near(noise, expected)
    assert all(torch.allclose(read, torch.ones_like(read), atol=1e-5) for read in reads)
    assert len(reads) == 4 + 1 + 7


@torch.no_grad()
def test_the_full_unet_is_detected_by_the_host_as_it_is() -> None:
    from comfy.model_detection import detect_unet_config

    with torch.device("meta"):
        weights = Unet().state_dict()
    found = detect_unet_config(weights, "")
    wanted = UnetConfig().host()
    assert {key: found[key] for key in ("model_channels", "channel_mult", "num_res_blocks", "context_dim",
                                        "transformer_depth", "transformer_depth_output")} == {
        key: wanted[key] for key in ("model_channels", "channel_mult", "num_res_blocks", "context_dim",
                                     "transformer_depth", "transformer_depth_output")}


@torch.no_grad()
def test_the_full_transformer_is_detected_by_the_host_as_flux_schnell() -> None:
    from comfy.model_detection import model_config_from_unet

    with torch.device("meta"):
        weights = Flux().state_dict()
    config = model_config_from_unet(weights, "")
    assert type(config).__name__ == "FluxSchnell"
    assert (config.unet_config["num_heads"], config.unet_config["axes_dim"]) == (3, [16, 56, 56])


@torch.no_grad()
def test_the_text_encoder_is_the_hosts_t5() -> None:
    import comfy.ops
    from comfy.text_encoders.t5 import T5 as HostT5

    config = {"d_model": 32, "d_ff": 48, "d_kv": 8, "num_heads": 4, "num_layers": 2}
    own = scatter(T5(20, config))
    host = HostT5(config | {"vocab_size": 20, "dense_act_fn": "gelu_pytorch_tanh", "is_gated_act": True,
                            "model_type": "t5"}, torch.float32, None, comfy.ops.disable_weight_init)
    host.load_state_dict(own.state_dict())
    rows = torch.randint(0, 20, (2, 64))
    assert near(own(rows), host(rows, None)[0])


@torch.no_grad()
def test_the_text_encoder_is_the_hosts_clip() -> None:
    import comfy.ops
    from comfy.clip_model import CLIPTextModel_

    config = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}
    own = scatter(Clip(20, config))
    host = CLIPTextModel_(config | {"hidden_act": "quick_gelu", "max_position_embeddings": 77, "eos_token_id": 19},
                          torch.float32, None, comfy.ops.disable_weight_init)
    host.embeddings.token_embedding = torch.nn.Embedding(20, 32)
    weights = own.state_dict()
    host.embeddings.token_embedding.load_state_dict(
        {"weight": weights.pop("embeddings.token_embedding.weight")})
    host.load_state_dict(weights, strict=False)
    rows = torch.randint(0, 20, (2, 77))
    embeds = host.embeddings.token_embedding(rows)
    assert near(own(rows), host(embeds=embeds, num_tokens=[77, 77])[0])


@pytest.mark.parametrize("channels", [4, 16])
@torch.no_grad()
def test_the_vae_is_the_hosts_taesd(channels: int) -> None:
    from comfy.taesd.taesd import TAESD

    own = scatter(Vae(channels))
    own.taesd_decoder[-1].bias.data.fill_(0.5)  # grey, so that nothing hides behind the ends of 0..1
    host = TAESD(latent_channels=channels)
    missing, unexpected = host.load_state_dict(own.state_dict(), strict=False)
    assert set(missing) == {"vae_scale", "vae_shift"} and set(unexpected) == {"mean", "std"}
    pictures = torch.rand(1, 3, 32, 48)
    latents = own.latents(pictures)
    assert near(latents, host.encode(pictures * 2 - 1))
    assert near(own.pictures(latents), host.decode(latents).mul(0.5).add(0.5).clamp(0, 1))
