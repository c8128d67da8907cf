"""Does it work on your own weights? python3 lab/run.py check --checkpoint FILE [--clip FILE --vae FILE] [--quick]

Leaves a page (HTML, pictures inside) and a small JSON that can be shared: it holds no paths, no prompts and no names
of yours. --compare A.json B.json shows two side by side. Two minutes with --quick, ten without.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import engine
from pack import load_pack

OUT = Path(__file__).resolve().parent / "runs" / "check"
QUICK, WHOLE, TRAINING = 2.0, 10.0, 5.0  # minutes


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 lab/run.py check", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint, or a diffusion model with --clip and --vae")
    parser.add_argument("--clip", type=Path, action="append", default=[], help="a text encoder; may come twice")
    parser.add_argument("--vae", type=Path)
    parser.add_argument("--clip-type", default="", help="as in Load CLIP; without it, as the diffusion model says")
    parser.add_argument("--demo", choices=["UNet", "transformer"], help="check a model that ships with the pack")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK:g} minutes in place of {WHOLE:g}")
    parser.add_argument("--minutes", type=float, default=0.0, help="another length")
    parser.add_argument("--train", action="store_true", help=f"train a predictor for Sketch Guidance, {TRAINING:g} "
                                                             "minutes more")
    parser.add_argument("--sweep", choices=["regions"], help="look for the settings that land best, as long again")
    for name, kind in (("size", int), ("steps", int), ("cfg", float), ("sampler", str), ("scheduler", str)):
        parser.add_argument(f"--{name}", type=kind, default=kind(), help="other than the model's template has")
    parser.add_argument("--attention", choices=["sdpa", "sub_quad"], default="sdpa")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the page and the JSON")
    parser.add_argument("--compare", type=Path, nargs=2, metavar=("A.json", "B.json"))
    return parser.parse_args(given)


def models(own: argparse.Namespace) -> tuple[Any, Any, Any]:
    """MODEL, CLIP, VAE by the host's own loaders."""
    from attention_director.bridge.check.loading import load
    from attention_director.bridge.demo.model import load_demo_model

    if own.demo:
        return load_demo_model(own.demo)
    if own.checkpoint is None:
        raise SystemExit("name a model with --checkpoint, or one that ships with the pack with --demo UNet")
    missing = [path for path in (own.checkpoint, *own.clip, own.vae) if path is not None and not path.is_file()]
    if missing:
        raise SystemExit(f"there is no file {missing[0]}")
    return load(own.checkpoint, own.clip, own.vae, own.clip_type)


def tell(row: Any) -> None:
    print(f"{row.check}, {row.case or 'all in all'}: {row.verdict}; {row.says}", flush=True)


def check(own: argparse.Namespace) -> int:
    """Run, print a line a row, leave the files; whatever was done is left after Ctrl+C too."""
    import torch
    from attention_director.bridge.check.files import write
    from attention_director.bridge.check.report import Report
    from attention_director.bridge.check.run import Request, run
    from attention_director.bridge.check.sampling import sampling_of
    from attention_director.bridge.check.studio import NODE

    with torch.inference_mode():
        model, clip, vae = models(own)
        sampling = sampling_of(model, clip).changed(NODE, side=own.size, steps=own.steps, cfg=own.cfg,
                                                    sampler=own.sampler, scheduler=own.scheduler)
        minutes = own.minutes or (QUICK if own.quick else WHOLE)
        request = Request(model, clip, vae, minutes, sampling, train_minutes=TRAINING if own.train else 0.0,
                          sweep_minutes=minutes if own.sweep else 0.0)
        print(f"{minutes:g} minutes at {sampling}", flush=True)
        report = Report({}, ())
        try:
            for so_far in run(request):
                report = so_far
                tell(report.rows[-1])
        except KeyboardInterrupt:
            report = replace(report, interrupted=True)
    print(f"\n{report.as_text()}\n")
    for path in write(report, own.out):
        print(path)
    return 130 if report.interrupted else 0


def main(given: Sequence[str] | None = None) -> int:
    own = arguments(given)
    engine.enter(own.attention)
    load_pack()
    from attention_director.bridge.check.compare import compare, read
    from attention_director.bridge.errors import DirectorError

    try:
        if own.compare:
            print(compare(*map(read, own.compare)))
            return 0
        return check(own)
    except DirectorError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
