"""Make the real host importable in this process: `engine.enter()` before any `import comfy`.

A CPU build of torch has no matching torchvision operators and no torchaudio. Where the real ones
import, nothing is touched; where they do not, the operators the host merely mentions are declared.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import types


def _declare_torchvision_operators() -> None:
    import torch

    if importlib.util.find_spec("torchvision") is None:
        return
    try:
        torch.ops.torchvision.nms  # noqa: B018  (raises where the operator is not registered)
        return
    except (AttributeError, RuntimeError):
        pass
    try:
        import torchvision  # noqa: F401
        return
    except RuntimeError:
        for name in [m for m in sys.modules if m.split(".")[0] == "torchvision"]:
            del sys.modules[name]
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _KEEP.append(library)


_KEEP: list[object] = []


def _missing(name: str):
    def raise_on_use(attribute: str):
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise RuntimeError(f"{name}.{attribute}: torchaudio is not installed here")

    return raise_on_use


def _stand_in_for_torchaudio() -> None:
    if importlib.util.find_spec("torchaudio") is not None:
        return
    for name in ("torchaudio", "torchaudio.functional", "torchaudio.transforms"):
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)  # find_spec raises on a module without one
        module.__getattr__ = _missing(name)  # type: ignore[method-assign]
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)


def cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def prepare() -> None:
    """Only the missing operators and modules; for the server, which parses its own arguments."""
    _declare_torchvision_operators()
    _stand_in_for_torchaudio()


def enter(attention: str = "sdpa") -> None:
    """Put the host (COMFYUI_PATH) on the path and choose device and attention back end.

    attention: "sdpa" or "sub_quad", as --use-pytorch-cross-attention and the --cpu default do.
    """
    import torch

    prepare()
    host = os.environ.get("COMFYUI_PATH")
    if not host or not os.path.isfile(os.path.join(host, "comfy", "sd.py")):
        raise SystemExit("COMFYUI_PATH does not name a ComfyUI folder; start this with python3 lab/run.py")
    if host not in sys.path:
        sys.path.insert(0, host)
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    args.use_pytorch_cross_attention = attention == "sdpa"
    args.use_quad_cross_attention = attention == "sub_quad"
