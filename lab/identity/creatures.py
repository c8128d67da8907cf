"""One training process or many: what `accelerate launch` and `torchrun` start, and a plain python."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Crew:
    """rank 0 writes; all average their gradients."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def average_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace every gradient by its mean over the processes, in one exchange."""
        if self.size == 1:
            return
        ours = [p for p in parameters if p.requires_grad]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in ours])
        dist.all_reduce(flat)
        flat /= self.size
        start = 0
        for p in ours:
            p.grad = flat[start:start + p.numel()].view_as(p).clone()
            start += p.numel()

    def wait(self) -> None:
        if self.size > 1:
            dist.barrier()

    def leave(self) -> None:
        if self.size > 1:
            dist.destroy_process_group()


def join() -> Crew:
    """The processes' own environment (RANK, WORLD_SIZE, LOCAL_RANK) says how many there are."""
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    gpu = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if size > 1:
        dist.init_process_group("nccl" if gpu else "gloo", rank=rank, world_size=size)
    return Crew(rank, size, device)
