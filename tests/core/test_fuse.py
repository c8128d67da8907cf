"""The fuse module against a naive reference written from the paper, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from attention_director.core.fuse import FuseModule, fused_rows


def norm(x: list[float], gain: list[float], offset: list[float]) -> list[float]:
    mean = sum(x) / len(x)
    spread = math.sqrt(sum((v - mean) ** 2 for v in x) / len(x) + 1e-5)
    return [(v - mean) / spread * g + o for v, g, o in zip(x, gain, offset, strict=True)]


def dense(weight: list[list[float]], bias: list[float], x: list[float]) -> list[float]:
    return [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def gelu(x: list[float]) -> list[float]:
    return [0.5 * v * (1 + math.erf(v / math.sqrt(2))) for v in x]


def naive(parts: dict[str, list], u: list[float], v: list[float]) -> list[float]:
    def mlp(name: str, x: list[float]) -> list[float]:
        x = norm(x, parts[f"{name}.layernorm.weight"], parts[f"{name}.layernorm.bias"])
        x = gelu(dense(parts[f"{name}.fc1.weight"], parts[f"{name}.fc1.bias"], x))
        return dense(parts[f"{name}.fc2.weight"], parts[f"{name}.fc2.bias"], x)

    y = [a + b for a, b in zip(mlp("mlp1", [*u, *v]), u, strict=True)]
    z = [a + b for a, b in zip(mlp("mlp2", y), y, strict=True)]
    return norm(z, parts["layer_norm.weight"], parts["layer_norm.bias"])


def random_module(width: int) -> FuseModule:
    torch.manual_seed(0)
    module = FuseModule(width).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def test_the_module_is_the_papers_formula() -> None:
    module = random_module(6)
    u, v = torch.randn(3, 6, dtype=torch.float64), torch.randn(3, 6, dtype=torch.float64)
    parts = {name: value.tolist() for name, value in module.state_dict().items()}
    wanted = torch.tensor([naive(parts, a, b) for a, b in zip(u.tolist(), v.tolist(), strict=True)],
                          dtype=torch.float64)
    torch.testing.assert_close(module(u, v), wanted, rtol=0, atol=1e-10)


def test_the_published_module_has_its_names_and_parameters() -> None:
    module = FuseModule(768)
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    assert sum(p.numel() for p in module.parameters()) == 2_958_336
    assert shapes == {
        "mlp1.layernorm.weight": (1536,), "mlp1.layernorm.bias": (1536,), "mlp1.fc1.weight": (768, 1536),
        "mlp1.fc1.bias": (768,), "mlp1.fc2.weight": (768, 768), "mlp1.fc2.bias": (768,),
        "mlp2.layernorm.weight": (768,), "mlp2.layernorm.bias": (768,), "mlp2.fc1.weight": (768, 768),
        "mlp2.fc1.bias": (768,), "mlp2.fc2.weight": (768, 768), "mlp2.fc2.bias": (768,),
        "layer_norm.weight": (768,), "layer_norm.bias": (768,)}


@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0, 1.7])
def test_strength_moves_marked_rows_only(strength: float) -> None:
    context = torch.randn(9, 4, dtype=torch.float64)
    before, fused = context.clone(), torch.randn(2, 4, dtype=torch.float64)
    out = fused_rows(context, [2, 7], list(fused), [strength, 1.0])
    kept = [0, 1, 3, 4, 5, 6, 8]
    assert torch.equal(context, before) and torch.equal(out[kept], context[kept])
    torch.testing.assert_close(out[2], context[2] + strength * (fused[0] - context[2]), rtol=0, atol=1e-12)
    assert torch.equal(out[7], fused[1])
    if strength == 0.0:
        assert torch.equal(out[2], context[2])
