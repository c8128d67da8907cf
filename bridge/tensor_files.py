"""Tensors of a file from outside, safetensors or a pickle of weights, in memory of their own.

No file stays mapped. A mapped one that another program shortens ends the whole server with a bus error, and one that
it overwrites changes weights that are in use. So bytes are read, once, and shapes are known before anything is
allocated. The format: https://github.com/huggingface/safetensors (8 bytes of length, a JSON header, the values).
"""

from __future__ import annotations

import json
import math
import os
import pickle
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch

from .untrusted import Unreadable, whole

SAFETENSORS = (".safetensors", ".sft")
MOST_HEADER = 8 * 2**20
MOST_TENSORS = 20_000
MOST_NAME = 256
MOST_AXES = 8
# Tied weights are one storage under two names.
MOST_NAMES_OF_A_STORAGE = 2
_TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
          "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I64": torch.int64, "I32": torch.int32,
          "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool}

Weights = dict[str, torch.Tensor]


class WantsCode(Unreadable):
    """A pickle that holds more than weights."""


class Shaped(Protocol):
    """A tensor, or what a file says of one."""

    @property
    def shape(self) -> torch.Size: ...

    @property
    def dtype(self) -> torch.dtype: ...


class TensorFile(Protocol):
    """An open file. specs: what it says of its tensors, checked against each other and against its size."""

    @property
    def metadata(self) -> Mapping[str, str]: ...

    @property
    def specs(self) -> Mapping[str, Shaped]: ...

    def read(self, names: Iterable[str] | None = None) -> Weights:
        """Those tensors, or all, in memory of their own; never inference tensors. Raises Unreadable."""
        ...


@dataclass(frozen=True)
class Spec:
    """What a tensor's entry says. begin, stop: its bytes in the file."""

    dtype: torch.dtype
    shape: torch.Size
    begin: int
    stop: int


@dataclass(frozen=True)
class _Safetensors:
    stream: BinaryIO
    metadata: Mapping[str, str]
    specs: Mapping[str, Spec]

    def read(self, names: Iterable[str] | None = None) -> Weights:
        with torch.inference_mode(False):
            return {name: _filled(self.stream, self.specs[name]) for name in (self.specs if names is None else names)}


@dataclass(frozen=True)
class _Pickle:
    specs: Weights
    metadata: Mapping[str, str] = field(default_factory=dict)

    def read(self, names: Iterable[str] | None = None) -> Weights:
        return {name: self.specs[name] for name in (self.specs if names is None else names)}


@contextmanager
def opened(path: Path) -> Iterator[TensorFile]:
    """A file of tensors, open as long as the block; a pickle by its ending, and read whole.

    Raises OSError, Unreadable, or what a broken file makes of its reader; see ``untrusted.reading``.
    """
    with open(path, "rb") as stream:
        before = os.fstat(stream.fileno())
        if path.suffix.lower() in SAFETENSORS:
            length = int.from_bytes(stream.read(8), "little")
            if length > min(MOST_HEADER, before.st_size - 8):
                raise Unreadable("it is no safetensors file")
            header = json.loads(stream.read(length))
            metadata = {str(key): str(value) for key, value in header.pop("__metadata__", {}).items()}
            yield _Safetensors(stream, metadata, _specs(header, 8 + length, before.st_size))
        else:
            yield _Pickle(_unpickled(stream, before.st_size))
        after = os.fstat(stream.fileno())
        if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
            raise Unreadable("it was changed while it was read")


def _specs(header: dict[str, Any], start: int, size: int) -> dict[str, Spec]:
    """Entries whose bytes lie in the file, one behind the other: together they claim no more than it holds."""
    _require_names(header)
    specs: dict[str, Spec] = {}
    free = start
    for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"][0]):
        shape = torch.Size([whole(side, 0, 2**40) for side in entry["shape"]])
        dtype = _TYPES.get(entry["dtype"])
        if dtype is None or len(shape) > MOST_AXES:
            raise Unreadable(f'"{name}" is of an unknown kind')
        begin, stop = (start + whole(offset, 0, size) for offset in entry["data_offsets"])
        if not free <= begin <= stop <= size or stop - begin != math.prod(shape) * dtype.itemsize:
            raise Unreadable("it is cut off, or claims more than it holds")
        specs[name], free = Spec(dtype, shape, begin, stop), stop
    return specs


def _filled(stream: BinaryIO, spec: Spec) -> torch.Tensor:
    out = torch.empty(spec.shape, dtype=spec.dtype)
    room = out.flatten().view(torch.uint8).numpy().data
    stream.seek(spec.begin)
    while room:
        count = stream.readinto(room)  # type: ignore[attr-defined]
        if not count:
            raise Unreadable("it was cut off while it was read")
        room = room[count:]
    return out


def _unpickled(stream: BinaryIO, size: int) -> Weights:
    """The named weights of a pickle, of its "state_dict" if it has one; nothing in it is run."""
    _require_stored(stream, size)
    try:
        with torch.inference_mode(False):
            found = torch.load(stream, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, AttributeError, ModuleNotFoundError):
        raise WantsCode("it contains more than weights") from None
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    weights = {k: v for k, v in found.items() if torch.is_tensor(v)} if isinstance(found, Mapping) else {}
    _require_names(weights)
    odd = next((name for name, value in weights.items() if not _is_plain(value)), None)
    if odd is not None:
        raise Unreadable(f'"{odd}" is no plain tensor')
    if sum(value.nbytes for value in weights.values()) > MOST_NAMES_OF_A_STORAGE * size:
        raise Unreadable("it claims more than it holds")
    return weights


def _require_stored(stream: BinaryIO, size: int) -> None:
    """torch.save compresses nothing; what is compressed may unpack to any size."""
    parts = []
    if zipfile.is_zipfile(stream):
        with zipfile.ZipFile(stream) as archive:
            parts = archive.infolist()
    stream.seek(0)
    if any(part.compress_type != zipfile.ZIP_STORED for part in parts) or sum(p.file_size for p in parts) > size:
        raise Unreadable("it is compressed, which weights never are")


def _require_names(named: Mapping[Any, Any]) -> None:
    if len(named) > MOST_TENSORS:
        raise Unreadable(f"it has {len(named)} tensors, {MOST_TENSORS} is the most")
    if not all(isinstance(name, str) and len(name) <= MOST_NAME for name in named):
        raise Unreadable("its tensors have no proper names")


def _is_plain(value: torch.Tensor) -> bool:
    """Values in memory, as many as it claims: not sparse, not quantised, not on "meta", not one value spread out."""
    return (value.layout is torch.strided and value.device.type == "cpu" and not value.is_quantized
            and value.nbytes <= value.untyped_storage().nbytes())


def require_finite(weights: Mapping[str, torch.Tensor]) -> None:
    """Raise Unreadable for a NaN or an infinity among them; one would end as a black picture, without a word."""
    for name, value in weights.items():
        if value.numel() and (value.is_floating_point() or value.is_complex()) and not _all_finite(value):
            raise Unreadable(f'"{name}" has values that are not numbers')


def _all_finite(value: torch.Tensor) -> bool:
    plain = value.float() if value.itemsize == 1 else torch.view_as_real(value) if value.is_complex() else value
    # A NaN is both ends, and no mask is allocated. What a double can say and single precision cannot would be endless.
    return all(bool(end.float().isfinite()) for end in plain.aminmax())
