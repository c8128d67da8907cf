"""What can only be refused when sampling starts, before the first step."""

from __future__ import annotations

from typing import Any

from ...core.call import RowSpan
from ...core.hooks import ChecksRun, NeedsEveryStep
from ...core.method import AttentionMethod, Chain, Method, ObservesAttention
from ...core.regions import RegionAttention
from ..errors import DirectorError
from ..text.prompt import TAG_KEY
from .hooks import AsksForRecords


def conds_of(method: Method, guider: Any, images: int) -> list[Any]:
    """The conditionings of a guider that a method will act on; with none of them it does nothing in the run."""
    positives = [cond for name, entries in guider.conds.items() if "negative" not in name for cond in entries]
    return [c for c in positives if method.acts_on([RowSpan(0, images, c.get(TAG_KEY))])]


def check_run(chain: Chain, guider: Any, options: dict[str, Any], images: int) -> None:
    """Refuse before the first step what a node could not know when it ran."""
    for method in chain.methods:
        ours = conds_of(method, guider, images)
        if not ours:
            continue  # it will not act, so nothing is wrong
        if isinstance(method, (AttentionMethod, ObservesAttention)) and any(c.get("area") is not None for c in ours):
            why = ("the regions already say what goes where" if isinstance(method, RegionAttention) else
                   "this node cannot follow it there")
            raise DirectorError(method.label, f"its positive was limited to an area; {why}, take ConditioningSetArea "
                                              "away.")
        if isinstance(method, NeedsEveryStep) and method.why_every_step:
            _check_every_step(method, options)
        spans = [RowSpan(0, images, c.get(TAG_KEY)) for c in ours]
        try:
            if isinstance(method, ChecksRun):
                method.check_run(spans, images)
        except ValueError as error:
            raise DirectorError(method.label, f"{str(error).removeprefix(method.label + ': ')}.") from error
        records = isinstance(method, AsksForRecords) and method.recording
        if records and options.get("multigpu_clones"):
            raise DirectorError(method.label, "the run is spread over several devices, where attention cannot be "
                                              "recorded; take the multi-GPU node away or bypass this one.")
        prompts = max((len(span.tag.rows) for span in spans if span.tag), default=1)
        if images % prompts:
            raise DirectorError(method.label, f"{images} latents for {prompts} prompts; use a multiple of {prompts}.")
        window = options.get("context_handler")
        if window is not None and window.dim == 0 and window.context_length < images:
            _check_window(method, spans, prompts, window.context_length, "maps" if records else "")


def _check_every_step(method: Any, options: dict[str, Any]) -> None:
    """Refuse what skips steps, or deals them out to devices, for a method that gathers over them."""
    way_out = f" or {method.way_out}" if method.way_out else ""
    if options.get("multigpu_clones"):
        raise DirectorError(method.label, f"{method.why_every_step}, which works on one GPU only; take the multi-GPU "
                                          f"node away{way_out}.")
    if "easycache" in options.get("transformer_options", {}):
        raise DirectorError(method.label, f"{method.why_every_step}, and EasyCache or LazyCache skips steps; bypass "
                                          f"the cache{way_out}.")


def _check_window(method: Method, spans: list[RowSpan], prompts: int, length: int, split: str) -> None:
    """A window over the batch hides which image is which: refuse what differs from image to image."""
    split = split or ("prompts" if prompts > 1 else "")
    try:
        if isinstance(method, ChecksRun):
            method.check_run(spans, length)
    except ValueError:
        split = split or "masks"
    if split:
        raise DirectorError(method.label, f"a context window over the batch splits its {split}; take it away.")
