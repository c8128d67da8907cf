"""The parts that look at what was trained: the oracle's errors, sheets, the gate, and what is published."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import torch

from . import storage
from .course import load
from .gate import SETTINGS, Generator, Job, host_generator, jobs, measure_gate, report
from .sample import generate
from .sizes import MODELS
from .workshop import Workshop, replace_model

BY_EYE = 100  # generated pictures on which the oracle is checked by a person
ROOT = Path(__file__).resolve().parents[2]
ASSETS, RESULTS = ROOT / "assets", ROOT / "lab" / "results" / "storybook.json"


def make_measure(shop: Workshop) -> None:
    """How far the oracle can be trusted."""
    from .measure import measure_oracle
    from .oracle import Oracle

    oracle = Oracle.read(shop.file("oracle"), shop.device)
    rows = measure_oracle(oracle, shop.renderer(), shop.atlas, shop.known_vaes(), shop.sizes.measured,
                          shop.sizes.views, shop.sizes.looks_every)
    for name, row in rows.items():
        shop.log.say(name, **row)
    shop.file("measure").write_text(json.dumps(rows, indent=1), encoding="utf-8")


def make_look(shop: Workshop) -> None:
    """A sheet of 48 generated pictures in plain torch, and the gate's numbers on them where there is an oracle."""
    from .detector import Detector
    from .oracle import Oracle
    from .sheet import sheet

    net = load(shop.file("model"), shop.sizes.new_pair(shop.model)).to(shop.device)
    some = jobs(shop.atlas, min(48, shop.sizes.gate))
    vae, steps = shop.vae(), shop.sizes.gate_steps

    def own(part: Sequence) -> torch.Tensor:
        return generate(shop.model, net, vae, [job.caption for job in part], part[0].seed, steps)

    path = shop.file("oracle")
    oracle = Oracle.read(path, shop.device) if path.exists() else Oracle(Detector(len(shop.atlas), 16))
    gated = measure_gate(own, oracle, some)
    sheet(gated.pictures, [job.caption.text for job in some], 8).save(shop.file("look"))
    shop.log.say(f"look: {shop.file('look')}")
    for line in report(gated.row) if path.exists() else ():
        shop.log.say(f"look: {line}")


def gate_generator(shop: Workshop) -> tuple[str, Generator, int]:
    """Whose sampler, how it generates, and so many pictures at once: the host's where it is, else the plain one."""
    import host

    steps = shop.sizes.gate_steps
    if host.named_folder():
        import engine

        engine.enter()
        settings = replace(SETTINGS[shop.model], steps=steps)
        return "host", host_generator(shop.file("file"), settings), 16
    weights = storage.read_for_training(shop.file("file"))[1]  # as they ship
    net = shop.sizes.new_pair(shop.model)
    net.load_state_dict(weights)
    net, vae = net.to(shop.device).eval(), shop.vae()

    def generate_plainly(part: Sequence[Job]) -> torch.Tensor:
        return generate(shop.model, net, vae, [job.caption for job in part], part[0].seed, steps)

    return "plain", generate_plainly, 250


def make_gate(shop: Workshop) -> None:
    """The gate's numbers; and a sheet on which the oracle is checked by eye."""
    from .oracle import Oracle
    from .sheet import seen_sheet

    oracle = Oracle.read(shop.file("oracle"), shop.device)
    some = jobs(shop.atlas, shop.sizes.gate)
    sampler, own, batch = gate_generator(shop)
    gated = measure_gate(own, oracle, some, batch)
    for line in report(gated.row):
        shop.log.say(f"gate: {line}")
    first = slice(0, BY_EYE)
    seen_sheet(gated.pictures[first], [job.caption.text for job in some[first]], gated.seen[first], 10).save(
        shop.file("gate").with_suffix(".jpg"), quality=88)
    row = {"model": shop.model, "sampler": sampler} | gated.row
    shop.file("gate").write_text(json.dumps(row, indent=1), encoding="utf-8")


def make_publish(shop: Workshop) -> None:
    """What is final: the model into assets/, the oracle beside this file, the numbers into lab/results."""
    from .oracle import SHIPPED

    copyfile(shop.file("file"), ASSETS / shop.file("file").name)
    copyfile(shop.file("oracle"), SHIPPED)
    rows: list[dict[str, object]] = [{"variant": name} | row for name, row in
                                     json.loads(shop.file("measure").read_text(encoding="utf-8")).items()]
    for model in MODELS:
        gate = replace_model(shop, model).file("gate")
        if gate.exists():
            rows.append({"variant": "unpatched"} | json.loads(gate.read_text(encoding="utf-8")))
    RESULTS.write_text(json.dumps({"bench": "storybook", "rows": rows}, indent=1) + "\n", encoding="utf-8")
    shop.log.say(f"published {shop.file('file').name}, the oracle and {RESULTS.name}")
