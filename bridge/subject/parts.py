"""The parts of a pass, as they stand in the chain."""

from __future__ import annotations

from ...core.method import Method
from .bank_writer import BankWriter
from .key_sharer import KeySharer
from .level_start import LevelStart
from .links import FeatureReader, Injector
from .map_reader import MapReader
from .output_links import OutputLinks
from .sampling_pass import ConsiStoryPass
from .token_writer import TokenWriter


def parts_of(sampling: ConsiStoryPass) -> tuple[Method, ...]:
    """Masks are cut before anyone asks for them, and a bank keeps what injection has made.

    Where features are read and mixed in at places of their own, and where both happen around a joint attention.
    """
    shared = (LevelStart(sampling), MapReader(sampling), KeySharer(sampling))
    if sampling.layers.joint:
        around = (OutputLinks(sampling), *shared)
        return (TokenWriter(sampling), *around) if sampling.keeps else around
    parts = (*shared, FeatureReader(sampling), Injector(sampling))
    return (*parts, BankWriter(sampling)) if sampling.keeps else parts
