"""Method: ConsiStory (arXiv 2402.03286), keys of photographs. Written from the paper; no code copied."""

from __future__ import annotations

import torch


def match_statistics(keys: torch.Tensor, own: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Keys of photographs with the mean and spread of the generated subject's own keys, channel by channel (AdaIN).

    keys: [B, H, K, D]; own: [B, H, N, D]; inside: bool [B, N], where the generated subject is. The paper's
    appendix matches keys of inverted pictures so; a subject of no pixel leaves them as they are.
    """
    wide = torch.promote_types(keys.dtype, torch.float32)
    share = inside[:, None, :, None].to(wide)
    count = share.sum(2, keepdim=True)
    mean = (own.to(wide) * share).sum(2, keepdim=True) / count.clamp(min=1)
    spread = (((own.to(wide) - mean).square() * share).sum(2, keepdim=True) / count.clamp(min=1)).sqrt()
    theirs = keys.to(wide)
    middle = theirs.mean(2, keepdim=True)
    deviation = (theirs - middle).square().mean(2, keepdim=True).sqrt().clamp(min=1e-6)
    return torch.where(count > 0, (theirs - middle) / deviation * spread + mean, theirs).to(keys.dtype)
