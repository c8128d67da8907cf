"""What can only be refused when sampling starts, before the first step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...core.call import RowSpan
from ...core.hooks import ChecksRun, NeedsEveryStep, RefusesArea, needs_places
from ...core.method import Chain, Method
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
        if ours:  # else it will not act, so nothing is wrong
            _check_area(method, ours)
            _check_tokens(method, ours)
            _check_steps(method, options)
            _check_images(method, [RowSpan(0, images, c.get(TAG_KEY)) for c in ours], options, images)


def require_one_gpu(label: str, why: str, options: dict[str, Any], way_out: str = "") -> None:
    """Raise DirectorError where the host spreads the run over several GPUs.

    why: what the method does that needs one, as "it records attention". way_out: what else helps, as "empty
    blend_words"; "" for nothing.
    """
    if options.get("multigpu_clones"):
        raise DirectorError(label, f"{why}, which works on one GPU only; bypass the multi-GPU node{_or(way_out)}.")


def require_every_step(label: str, why: str, options: dict[str, Any], way_out: str = "") -> None:
    """Raise DirectorError where a cache skips steps. why: as "it collects maps in every step"."""
    if skips_steps(options):
        raise DirectorError(label, f"{why}, and EasyCache or LazyCache skips steps; bypass the cache{_or(way_out)}.")


def skips_steps(options: dict[str, Any]) -> bool:
    """True where EasyCache or LazyCache is on the model. options: of the model."""
    return bool(options.get("transformer_options", {}).get("easycache"))


def _or(way_out: str) -> str:
    return f" or {way_out}" if way_out else ""


def _check_area(method: Method, ours: Sequence[Any]) -> None:
    """An area is a part of the picture that the host evaluates as if it were the whole.

    A method that follows whatever prompts there are still acts on those of the whole picture.
    """
    limited = [cond.get("area") is not None for cond in ours]
    any_prompt = method.acts_on([RowSpan(0, 1, None)])
    if not (all(limited) if any_prompt else any(limited)):
        return
    why = method.why_no_area if isinstance(method, RefusesArea) else "this node cannot follow it there"
    if isinstance(method, RefusesArea) or needs_places(method):
        raise DirectorError(method.label, f"its positive is limited to an area; {why}; remove ConditioningSetArea.")


def _check_tokens(method: Method, ours: Sequence[Any]) -> None:
    """More tokens than the prompt's were appended; fewer cannot be placed."""
    for cond in ours:
        tag, text = cond.get(TAG_KEY), cond.get("cross_attn")
        if tag is not None and text is not None and text.shape[1] < tag.width:
            raise DirectorError(method.label, f"its positive has {text.shape[1]} tokens and was encoded with "
                                              f"{tag.width}; bypass the node between that shortens it.")
        if tag is not None and tag.padded and text is not None and text.shape[1] > tag.width:
            raise DirectorError(method.label, "its positive holds prompts of unequal length, and another node put "
                                              f"{text.shape[1] - tag.width} tokens behind them; bypass that node, or "
                                              "encode one prompt at a time.")


def _check_steps(method: Method, options: dict[str, Any]) -> None:
    """Refuse what skips steps, or deals them out to devices, for a method that gathers over them."""
    if isinstance(method, NeedsEveryStep) and method.why_every_step:
        require_one_gpu(method.label, method.why_every_step, options, method.way_out)
        require_every_step(method.label, method.why_every_step, options, method.way_out)
    if isinstance(method, AsksForRecords) and method.recording:
        require_one_gpu(method.label, "it records attention", options, "this one")


def _check_images(method: Method, spans: list[RowSpan], options: dict[str, Any], images: int) -> None:
    """The batch must be one that the method and its prompts divide, also where windows split it."""
    try:
        if isinstance(method, ChecksRun):
            method.check_run(spans, images)
    except ValueError as error:
        raise DirectorError(method.label, f"{str(error).removeprefix(method.label + ': ')}.") from error
    prompts = max((len(span.tag.rows) for span in spans if span.tag), default=1)
    if images % prompts:
        raise DirectorError(method.label, f"{images} latents for {prompts} prompts; use a multiple of {prompts}.")
    window = options.get("context_handler")
    if window is not None and window.dim == 0 and window.context_length < images:
        records = isinstance(method, AsksForRecords) and method.recording
        _check_window(method, spans, prompts, window.context_length, "maps" if records else "")


def _check_window(method: Method, spans: list[RowSpan], prompts: int, length: int, split: str) -> None:
    """A window over the batch hides which image is which: refuse what differs from image to image."""
    split = split or ("prompts" if prompts > 1 else "")
    try:
        if isinstance(method, ChecksRun):
            method.check_run(spans, length)
    except ValueError:
        split = split or "masks"
    if split:
        raise DirectorError(method.label, f"a context window over the batch splits its {split}; bypass it.")
