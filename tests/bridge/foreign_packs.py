"""What other packs put into the host's replacement slots."""

from __future__ import annotations

from typing import Any

import torch

CROSS_SLOTS = [("input", 1), ("input", 4), ("middle", 0), ("output", 5)]


def host_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, options: dict[str, Any]) -> torch.Tensor:
    from comfy.ldm.modules.attention import optimized_attention

    return optimized_attention(q, k, v, options["n_heads"], attn_precision=options.get("attn_precision"))


class ImageAdapter:
    """IPAdapter-shaped: the text's attention plus a gain times attention to its own image tokens."""

    def __init__(self, gain: float = 2.0, seed: int = 5) -> None:
        self.gain, self.seed, self.calls = gain, seed, 0

    def __call__(self, q, k, v, extra_options):
        self.calls += 1
        generator = torch.Generator().manual_seed(self.seed)
        own_k, own_v = torch.randn(2, 4, q.shape[-1], generator=generator).unsqueeze(1).repeat(1, q.shape[0], 1, 1)
        plain = host_attention(q, k, v, extra_options)
        return plain + self.gain * host_attention(q, own_k, own_v, extra_options)


class PassThrough:
    """Does what the host does, in the words of another back end."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, q, k, v, extra_options):
        from comfy.ldm.modules.attention import attention_pytorch

        self.calls += 1
        return attention_pytorch(q, k, v, extra_options["n_heads"])


class TextReplacer:
    """A regional pack's shape: throws the text away and attends to its own."""

    def __call__(self, q, k, v, extra_options):
        return host_attention(q, k.flip(1) * 2, v.roll(1, 1) * 3, extra_options)


def values_only(q, k, v, extra_options, mask=None):
    """Perturbed attention: each pixel attends to itself."""
    return v


def put(model: Any, patch: Any, which: str = "attn2", slots: list = CROSS_SLOTS) -> Any:
    """A clone of the model with the patch in some slots."""
    clone = model.clone()
    for slot in slots:
        clone.set_model_patch_replace(patch, which, *slot)
    return clone


def deep_shrink(model: Any, block: int = 3, until: float = 0.5) -> Any:
    """The host's own Kohya Deep Shrink: from an input block on, half the grid in the first part of the run."""
    from comfy_extras.nodes_model_downscale import PatchModelAddDownscale

    return PatchModelAddDownscale.execute(model, block, 2.0, 0.0, until, True, "bicubic", "bicubic").args[0]


def hooked(conditioning: list, patch: Any, scope: Any, which: str = "attn2") -> list:
    """The patch by a conditioning hook, as the host's hook nodes give it."""
    import comfy.hooks

    group = comfy.hooks.HookGroup()
    group.add(comfy.hooks.TransformerOptionsHook(
        {"patches_replace": {which: {slot: patch for slot in CROSS_SLOTS}}}, hook_scope=scope))
    return comfy.hooks.set_hooks_for_conditioning(conditioning, group)


class Orthogonal:
    """PuLID-shaped: what it adds is made orthogonal to the text's output. begins: the sigma below which it acts."""

    def __init__(self, begins: float = 1e9) -> None:
        self.begins = begins

    def __call__(self, q, k, v, extra_options):
        out = host_attention(q, k, v, extra_options)
        if float(extra_options["sigmas"][0]) > self.begins:
            return out
        drawn = torch.Generator().manual_seed(5)
        own_k, own_v = torch.randn(2, 4, q.shape[-1], generator=drawn).unsqueeze(1).repeat(1, q.shape[0], 1, 1)
        added = host_attention(q, own_k, own_v, extra_options)
        along = (out * added).sum(-2, keepdim=True) / (out * out).sum(-2, keepdim=True)
        return out + 0.8 * (added - along * out)


class LateReplacer(TextReplacer):
    """Leaves the text alone at first, then throws it away."""

    def __call__(self, q, k, v, extra_options):
        late = float(extra_options["sigmas"][0]) < 5.0
        return super().__call__(q, k, v, extra_options) if late else host_attention(q, k, v, extra_options)


class Couple:
    """Attention Couple's shape: a row for each region's own prompt, blended behind the attention."""

    def __init__(self, conds: list[torch.Tensor], shares: list[torch.Tensor]) -> None:
        self.conds, self.shares = conds, shares

    def enter(self, q, k, v, extra_options):
        kinds, parts = extra_options["cond_or_uncond"], len(self.conds)
        own = [(q[i:i + 1], k[i:i + 1]) if kind else (q[i:i + 1].repeat(parts, 1, 1), torch.cat(self.conds))
               for i, kind in enumerate(kinds)]
        queries, keys = (torch.cat(side) for side in zip(*own, strict=True))
        return queries, keys, keys

    def leave(self, out, extra_options):
        height, width = extra_options["activations_shape"][2:]
        shares = [torch.nn.functional.interpolate(m[:, None], size=(height, width)).flatten() for m in self.shares]
        given, rows = iter(out), []
        for kind in extra_options["cond_or_uncond"]:
            rows.append(next(given) if kind else sum(next(given) * share[:, None] for share in shares))
        return torch.stack(rows)

    def on(self, model: Any) -> Any:
        patched = model.clone()
        patched.set_model_attn2_patch(self.enter)
        patched.set_model_attn2_output_patch(self.leave)
        return patched


def keys_and_values(n, context, value, extra_options):
    """NegPip's shape: of a conditioning in which every token is followed by its value, both are taken apart."""
    return n, context[:, 0::2], value[:, 1::2]


def doubled(conditioning: list) -> list:
    """What NegPip's encoder gives: each token twice, the second being its value."""
    return [[cond.repeat_interleave(2, 1), values] for cond, values in conditioning]
