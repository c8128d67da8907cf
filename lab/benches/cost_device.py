"""What a step costs where the device is fast: `bench cost --device cuda`, or on a CPU at a toy's size to try it all.

Ratios of one run: of a step by the clock, of the time the device computes, of the operations launched, of the memory at
its worst; each method against the plain model with as many pictures, one after the other, medians. On a CPU the clock
is the processor's, and its profiler counts the launches as a GPU with the kernel would have them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple

import torch

from . import cost
from .cost_models import KINDS, TOY_SIDE, random_model
from .cost_ways import identity, idle, joint_prompt, joint_regions, shared
from .launches import as_on_a_gpu, busy, launches
from .memory import peak_bytes
from .results import Row

STEPS, ROUNDS = {"cuda": 8, "cpu": 2}, {"cuda": 5, "cpu": 2}
Make = Callable[[Any, Any], tuple[Any, Any]]


class Case(NamedTuple):
    """One way at one model. images: of the batch. cfg: 1 for models without a negative."""

    make: Make
    images: int = 1
    cfg: float = 5.0


def cases(name: str, side: int) -> dict[str, Case]:
    if name == "flux":
        return {"region-strong": Case(joint_regions, cfg=1.0), "idle-nowhere": Case(joint_idle, cfg=1.0)}
    found = {way: Case(made.make, made.images) for way, made in cost.WAYS.items() if made.steps == 0}
    return found | {
        "idle-nowhere": Case(idle(lambda layer: False)),
        "idle-one-layer": Case(idle(lambda layer: layer.fraction == 0.0)),
        "idle-everywhere": Case(idle(lambda layer: True)),
        "identity": Case(identity(False)), "identity-localise": Case(identity(True)),
        "shared-subject-one-pass": Case(shared(False, side), 4), "shared-subject-two-pass": Case(shared(True, side), 4)}


def joint_idle(model: Any, clip: Any) -> tuple[Any, Any]:
    from attention_director.bridge.run.install import install

    from .cost_ways import Idle

    return install(model, Idle(lambda layer: False)), joint_prompt(model.model.diffusion_model)


class Runner(NamedTuple):
    """A run of the host's sampler, over and over."""

    model: Any
    positive: Any
    negative: Any
    case: Case
    side: int
    steps: int

    def __call__(self) -> None:
        import comfy.sample

        channels = self.model.model.latent_format.latent_channels
        noise = torch.randn(self.case.images, channels, self.side, self.side,
                            generator=torch.Generator().manual_seed(0))
        comfy.sample.sample(self.model, noise, self.steps, self.case.cfg, "euler", "simple", self.positive,
                            self.negative, torch.zeros_like(noise), disable_pbar=True, seed=0)


@torch.inference_mode()
def run(device: str, toy: bool) -> list[Row]:
    """Rows of every model; a method that fails leaves a row that says so, and the others go on."""
    if device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("there is no GPU here; --device cpu --size toy tries it all on the processor")
    return [row for name in KINDS for row in model_rows(name, device, toy)]


def model_rows(name: str, device: str, toy: bool) -> Iterator[Row]:
    from attention_director.bridge.text.prompt import encode

    model, clip = random_model(name, toy)
    side = TOY_SIDE if toy else KINDS[name].side
    network = model.model.diffusion_model
    positive = encode(clip, cost.PROMPT, cost.NODE) if clip else joint_prompt(network)
    negative = encode(clip, "", cost.NODE) if clip else positive
    for way, case in cases(name, side).items():
        row: Row = {"variant": way, "model": name, "device": device}
        try:
            made = case.make(model, clip)
            works = [Runner(*both, negative, case, side, STEPS[device]) for both in ((model, positive), made)]
            row |= ratios(works[0], works[1], device)
        except Exception as error:  # a bench of many rows
            row["failed"] = f"{type(error).__name__}: {error}"[:200]
        said = (f"{key} {value:.3f}" if isinstance(value, float) else str(value) for key, value in row.items())
        print("cost:", ", ".join(said), flush=True)
        yield row


def ratios(plain: Runner, ours: Runner, device: str) -> Row:
    """The numbers of one row; each run is made once before it counts."""
    for work in (plain, ours):
        work()
    times = [(seconds(plain, device), seconds(ours, device)) for _ in range(ROUNDS[device])]
    found: Row = {"time_ratio": median(b / a for a, b in times),
                  "step_ms": median(b for _, b in times) / ours.steps * 1e3}
    if device == "cuda":
        (a, launched), (b, more) = busy(plain), busy(ours)
        found |= {"gpu_ratio": b / a, "gpu_ms": b / ours.steps * 1e3}
    else:
        with as_on_a_gpu():
            (launched, _), (more, reads) = more_of(plain), more_of(ours)
        found["reads"] = reads / ours.steps
    memory = peak_bytes(ours) / max(1, peak_bytes(plain))
    return found | {"launch_ratio": more / launched, "launches": more / ours.steps, "memory_ratio": memory}


def more_of(work: Runner) -> tuple[int, int]:
    """Launches and reads of a run beyond those of one that takes half the steps: what is made once is not in it."""
    longer, once = launches(work._replace(steps=2 * work.steps)), launches(work)
    return longer[0] - once[0], longer[1] - once[1]


def seconds(work: Runner, device: str) -> float:
    """By the clock on a GPU, which is asked to finish; on a CPU what the processor did for us."""
    if device == "cpu":
        started = process_time()
        work()
        return process_time() - started
    torch.cuda.synchronize()
    started = perf_counter()
    work()
    torch.cuda.synchronize()
    return perf_counter() - started
