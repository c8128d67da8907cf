"""The Stable Diffusion UNet's dialect: layer addresses, and its calls as AttentionCall."""

from __future__ import annotations

from typing import Any

import torch
from comfy.ldm.modules.attention import SpatialTransformer, get_attention_function, optimized_attention
from comfy.ldm.modules.diffusionmodules.openaimodel import Downsample, UNetModel, Upsample

from ...core.call import AttentionCall
from ...core.network import LayerAddress
from ..errors import DirectorError

# (slot of the host's patches_replace, key in it)
HookAddress = tuple[str, tuple[str, int, int]]

_EIGHT_BIT_BACKENDS = ("attention_sage", "attention3_sage")


def require_unet(model: Any, node: str) -> None:
    """Raise DirectorError unless the loaded model is a UNet whose attention we know."""
    network = getattr(model.model, "diffusion_model", None)
    if not isinstance(network, UNetModel) or not hook_addresses(network):
        family = type(getattr(model.model, "model_config", model.model)).__name__
        raise DirectorError(node, f"this model is {family}; the node works with Stable Diffusion 1.x, 2.x and SDXL.")


def hook_addresses(network: UNetModel) -> dict[HookAddress, LayerAddress]:
    """Every attention layer of a loaded UNet, by walking its blocks."""
    stages = {"input": network.input_blocks, "middle": [network.middle_block], "output": network.output_blocks}
    found: dict[HookAddress, LayerAddress] = {}
    for stage, blocks in stages.items():
        for number, block in enumerate(blocks):
            for transformer in (m for m in block.modules() if isinstance(m, SpatialTransformer)):
                for depth, _ in enumerate(transformer.transformer_blocks):
                    found["attn1", (stage, number, depth)] = LayerAddress(stage, number, depth, "self")
                    found["attn2", (stage, number, depth)] = LayerAddress(stage, number, depth, "cross")
    return found


def grid_divisors(network: UNetModel) -> dict[LayerAddress, int]:
    """Latent pixels, a side, that one pixel of each attention layer covers: 1, 2, 4 ..."""
    halvings = {("input", number): sum(_holds(block, Downsample) for block in network.input_blocks[:number + 1])
                for number in range(len(network.input_blocks))}
    deepest = max(halvings.values())
    halvings["middle", 0] = deepest
    halvings |= {("output", number): deepest - sum(_holds(block, Upsample) for block in network.output_blocks[:number])
                 for number in range(len(network.output_blocks))}
    return {layer: 2 ** halvings[layer.stage, layer.block] for layer in hook_addresses(network).values()}


def _holds(block: torch.nn.Module, kind: type) -> bool:
    return any(isinstance(module, kind) for module in block.modules())


def grid_of(options: dict[str, Any], queries: int) -> tuple[int, int] | None:
    """(h, w) of the layer's pixels, or None when another pack has regrouped them."""
    shape = options.get("activations_shape")
    if shape is None or shape[2] * shape[3] != queries:
        return None
    return int(shape[2]), int(shape[3])


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """[B, N, H*D] to [B, H, N, D]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join_heads(x: torch.Tensor) -> torch.Tensor:
    """[B, H, N, D] to [B, N, H*D]."""
    return x.transpose(1, 2).flatten(2)


def host_kernel(options: dict[str, Any], biased: bool):
    """The host's attention on [B, H, N, D]. Back ends of eight bits and less would round a bias away."""
    backend = optimized_attention
    if biased and getattr(backend, "__name__", "") in _EIGHT_BIT_BACKENDS:
        backend = get_attention_function("pytorch", optimized_attention) or optimized_attention

    def kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        heads = q.shape[1]
        out = backend(join_heads(q), join_heads(k), join_heads(v), heads,
                      attn_precision=options.get("attn_precision"), transformer_options=options)
        return split_heads(out, heads)

    return kernel


def to_call(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: dict[str, Any], layer: LayerAddress,
            grid: tuple[int, int], model_call: Any) -> AttentionCall:
    """One of the host's calls, heads packed, as an AttentionCall."""
    heads = options["n_heads"]
    latent = options["original_shape"]
    return AttentionCall(
        split_heads(q, heads), split_heads(k, heads), split_heads(v, heads), layer, grid,
        (int(latent[2]), int(latent[3])), model_call.rows, model_call.step, model_call.scratch)
