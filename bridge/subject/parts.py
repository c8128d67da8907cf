"""The parts of a pass, as they stand in the chain."""

from __future__ import annotations

from ...core.method import Method
from .bank_writer import BankWriter
from .key_sharer import KeySharer
from .level_start import LevelStart
from .links import FeatureReader, Injector
from .map_reader import MapReader
from .sampling_pass import ConsiStoryPass


def parts_of(sampling: ConsiStoryPass) -> tuple[Method, ...]:
    """Masks are cut before anyone asks for them, and a bank keeps what injection has made."""
    parts = (LevelStart(sampling), MapReader(sampling), KeySharer(sampling), FeatureReader(sampling),
             Injector(sampling))
    return (*parts, BankWriter(sampling)) if sampling.keeps else parts
