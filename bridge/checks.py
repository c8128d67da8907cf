"""What can only be refused when sampling starts, before the first step."""

from __future__ import annotations

from typing import Any

from ..core.call import RowSpan
from ..core.method import AttentionMethod, Chain, Method
from .errors import DirectorError
from .prompt import TAG_KEY


def check_run(chain: Chain, guider: Any, options: dict[str, Any], images: int) -> None:
    """Refuse before the first step what a node could not know when it ran."""
    positives = [cond for name, entries in guider.conds.items() if "negative" not in name for cond in entries]
    for method in chain.methods:
        ours = [c for c in positives if method.acts_on([RowSpan(0, images, c.get(TAG_KEY))])]
        if not ours:
            continue  # it will not act, so nothing is wrong
        if isinstance(method, AttentionMethod) and any(c.get("area") is not None for c in ours):
            raise DirectorError(method.label, "its positive was limited to an area; the regions already say what goes "
                                              "where, take ConditioningSetArea away.")
        spans = [RowSpan(0, images, c.get(TAG_KEY)) for c in ours]
        try:
            method.check_run(spans, images)
        except ValueError as error:
            raise DirectorError(method.label, f"{str(error).removeprefix(method.label + ': ')}.") from error
        prompts = max((len(span.tag.rows) for span in spans if span.tag), default=1)
        if images % prompts:
            raise DirectorError(method.label, f"{images} latents for {prompts} prompts; use a multiple of {prompts}.")
        window = options.get("context_handler")
        if window is not None and window.dim == 0 and window.context_length < images:
            _check_window(method, spans, prompts, window.context_length)


def _check_window(method: Method, spans: list[RowSpan], prompts: int, length: int) -> None:
    """A window over the batch hides which image is which: refuse what differs from image to image."""
    split = "prompts" if prompts > 1 else ""
    try:
        method.check_run(spans, length)
    except ValueError:
        split = split or "masks"
    if split:
        raise DirectorError(method.label, f"a context window over the batch splits its {split}; take it away.")
