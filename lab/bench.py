"""Measure on the tiny world: `python3 lab/run.py bench [NAME|all|tables] [--limit N]`, the names being BENCHES.

Each measurement also writes docs/measured.md and the README's short table; `tables` does that alone, from lab/results.
"""

from __future__ import annotations

import argparse
import importlib
import os

import engine
from benches import measured
from pack import load_pack

BENCHES = ("world", "layout", "storybook_layout", "storybook_landing", "edit", "storybook_edit", "identity",
           "storybook_identity", "subject", "storybook_subject", "sketch", "storybook_sketch", "cost", "sheets")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 lab/run.py bench", description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=[*BENCHES, "all", "tables"])
    parser.add_argument("--limit", type=int, help="a trial of so many captions, layouts or edits, for runs/trial")
    parser.add_argument("--publish", action="store_true", help="keep a trial's table in results all the same")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="of cost: rows by model, for lab/results/cost-DEVICE")
    parser.add_argument("--size", choices=["full", "toy"], default="full", help="of cost with --device")
    arguments = parser.parse_args()
    if arguments.what == "tables":
        measured.write()
        return
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    engine.enter()
    load_pack()
    from benches.results import RESULTS, TRIAL, publish
    from world.draw import Settings

    print(f"every picture is drawn with {Settings()}", flush=True)
    if arguments.what == "cost" and arguments.device:
        rows = importlib.import_module("benches.cost_device").run(arguments.device, arguments.size == "toy")
        publish(f"cost-{arguments.device}", rows, TRIAL if arguments.size == "toy" else RESULTS)
        return
    for name in BENCHES if arguments.what == "all" else (arguments.what,):
        rows = importlib.import_module(f"benches.{name}").run(arguments.limit)
        if rows:
            publish(name, rows, TRIAL if arguments.limit and not arguments.publish else RESULTS)
    measured.write()


if __name__ == "__main__":
    main()
