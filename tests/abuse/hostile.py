"""Files that mean harm or are damaged, built by code, and what may become of them."""

from __future__ import annotations

import json
import math
import os
import resource
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from attention_director.bridge.errors import DirectorError

T = TypeVar("T")
OUTCOMES: Counter[bool] = Counter()
MOST_SENTENCE = 330
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "U8": 1, "BOOL": 1, "F4": 1}
TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bool: "BOOL", torch.int64: "I64"}


def said(call: Callable[[], T]) -> T | str:
    """What the call gives, or the sentence in which it refuses. Any other exception passes, and fails a test."""
    try:
        found = call()
        OUTCOMES[True] += 1
        return found
    except DirectorError as error:
        OUTCOMES[False] += 1
        sentence = str(error)
        assert len(sentence) <= MOST_SENTENCE, f"{len(sentence)} characters: {sentence}"
        assert "\n" not in sentence and sentence.encode() and "alloc" not in sentence, sentence
        return sentence


def both_ways(check: Callable[[], None]) -> Callable[[], None]:
    """A property in which ``said`` must meet either outcome; one that reads nothing, or everything, tells little."""
    def run() -> None:
        OUTCOMES.clear()
        check()
        assert min(OUTCOMES[True], OUTCOMES[False]) >= 20, OUTCOMES

    run.__name__, run.__doc__, run.__module__ = check.__name__, check.__doc__, check.__module__
    return run


def refused(call: Callable[[], Any]) -> str:
    found = said(call)
    assert isinstance(found, str), f"accepted: {found!r:.200}"
    return found


@dataclass
class Entry:
    """One tensor of a file. data: bytes, of which a short pattern is repeated to the length that shape asks for."""

    dtype: str
    shape: list[Any]
    data: bytes = b"\0"

    @property
    def length(self) -> int:
        return math.prod(self.shape) * BYTES[self.dtype]

    def filled(self) -> bytes:
        return (self.data * (self.length // max(1, len(self.data)) + 1))[:self.length]


@dataclass
class Container:
    """A safetensors file before it is bytes. header: what is written over the entries' own in the header."""

    entries: dict[str, Entry] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)

    def packed(self) -> bytes:
        header: dict[str, Any] = {"__metadata__": self.metadata}
        data = b""
        for name, entry in self.entries.items():
            header[name] = {"dtype": entry.dtype, "shape": entry.shape,
                            "data_offsets": [len(data), len(data) + entry.length]}
            data += entry.filled()
        return framed(json.dumps({**header, **self.header}).encode(), data)

    def write(self, path: Path) -> Path:
        path.write_bytes(self.packed())
        return path


def framed(header: bytes, data: bytes = b"") -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def contained(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> Container:
    return Container({name: Entry(TYPES[t.dtype], list(t.shape), t.contiguous().numpy().tobytes())
                      for name, t in tensors.items()}, metadata)


@contextmanager
def little_memory(more: int = 2 * 2**30) -> Iterator[None]:
    """Inside, the process may ask for that much more than it has; what wants terabytes fails, and says "alloc"."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if os.path.exists("/proc/self/statm") else 0
    if not pages:
        yield
        return
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class Marker:
    """Pickles to a call that leaves a mark, by one of several ways that unpicklers have known."""

    def __init__(self, way: str, path: Path) -> None:
        self.way, self.path = way, str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        code = f"open({self.path!r}, 'w').close()"
        return {"os": (os.mkdir, (self.path,)), "exec": (exec, (code,)), "eval": (eval, (code,)),
                "open": (open, (self.path, "w"))}[self.way]


WAYS = ("os", "exec", "eval", "open")


def bank_file(anchors: int = 2, levels: int = 2, rows: int = 3, width: int = 4, **facts: Any) -> Container:
    """A whole subject bank of one layer and one subject."""
    say = {"model": "a model", "anchors": anchors, "scenes": ["a"] * anchors, "subjects": ["cat"], "seed": 1,
           "progress": [n / levels for n in range(levels)], "photographs": False} | facts
    entries = {"preview": Entry("F16", [anchors, 3, 8, 8]), "features": Entry("F16", [rows, width], b"\0\x3c"),
               "feature_subjects": Entry("BOOL", [rows, 1], b"\1")}
    for level in range(levels):
        entries |= {f"in.{level}.{kind}.layer": Entry("F16", [rows, width]) for kind in ("cond", "uncond")}
        entries |= {f"subjects.{level}.1": Entry("BOOL", [rows, 1], b"\1"),
                    f"out.{level}.layer": Entry("F16", [rows, width])}
    return Container(entries, {"format": "attention_director.subject_bank", "version": "2", "bank": json.dumps(say)})
