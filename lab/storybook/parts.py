"""Train the storybook world, part by part: ``python3 lab/run.py train world --model unet|transformer``.

Parts come in a fixed order, each takes its share of ``--seconds``, and each leaves a file in ``--folder``: what is
there is not made again, and what was interrupted goes on. The same command runs on a GPU and on a CPU; torch is
enough; ``gate`` generates through the host where there is one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from . import storage
from .course import Budget, Clock, Log, fast_matmuls, save_whole
from .data import Order, chunks, encode, keep, kept
from .judge import make_gate, make_look, make_measure, make_publish
from .scene import Scenes
from .sizes import MODELS, sizes
from .train_models import begin_with, train_model, warm_up
from .train_vae import train_vae
from .workshop import ASKED_FOR, Workshop

SHARES = {"warm": 0.1, "vae": 0.17, "latents": 0.13, "model": 0.68, "file": 0.005, "oracle": 0.3, "measure": 0.05,
          "look": 0.04, "gate": 0.5, "publish": 0.005}
PARTS = tuple(SHARES)
USUAL = ("vae", "latents", "model", "file")
KEPT_AT_MOST = 8 << 30  # bytes of latents worth writing


def make_vae(shop: Workshop, seconds: float) -> None:
    """The VAE of ``--from``; or a trained one, begun with what fits of the other model's where there is one."""
    if shop.begin:
        weights, _ = storage.read_for_training(shop.begin)
        net = shop.sizes.new_vae(shop.model)
        net.load_state_dict(weights)
        save_whole(shop.file("vae"), {key: value.contiguous() for key, value in net.state_dict().items()})
        shop.log.say(f"vae-{shop.model}: taken from {shop.begin.name}")
        return
    own, net, steps = shop.sizes, shop.sizes.new_vae(shop.model), shop.sizes.vae_steps
    for other in shop.known_vaes().values():
        begin_with(net, other.state_dict(), shop.log)
        steps = own.second_vae_steps
    train_vae(shop.folder, f"vae-{shop.model}", net, shop.renderer(), Scenes(shop.atlas, shop.seed, "vae"),
              Budget(steps, seconds, peak=1.2e-3, flat=0.05), shop.log, own.vae_batch, own.pool, own.crop_px)


def make_latents(shop: Workshop, seconds: float, then: list) -> None:
    """The training set, kept in memory for the next part and in a file where that is worth it."""
    own = shop.sizes
    orders = [Order(shop.model, shop.seed, start, min(start + own.chunk, own.scenes), own.captions)
              for start in range(0, own.scenes, own.chunk)]
    with chunks(orders, own.workers) as made:
        data = encode(shop.model, shop.vae(), shop.renderer(), orders, made, shop.clock, seconds, shop.log,
                      views=own.portraits if shop.model == "transformer" else 0)
    then.append(data)
    if data.latents.numel() * 2 < KEPT_AT_MOST:
        keep(shop.file("latents"), data)


def make_model(shop: Workshop, seconds: float, given: list) -> None:
    """The model and its text encoder."""
    if not given:
        if shop.file("latents").exists():
            given.append(kept(shop.file("latents"), shop.device))
        else:
            make_latents(shop, seconds * SHARES["latents"], given)
    own = shop.sizes
    begin = storage.read_for_training(shop.begin)[1] if shop.begin else None
    peak = 8e-4 if shop.model == "transformer" else 6e-4
    budget = Budget(own.steps(shop.model), seconds, peak)
    train_model(shop.folder, shop.model, own.new_pair(shop.model), given[0], budget, shop.log, own.batch(shop.model),
                shop.seed, begin)
    given.clear()


def make_file(shop: Workshop) -> None:
    """The one file that ships."""
    from safetensors.torch import load_file

    facts = {"seed": shop.seed, "scenes": shop.sizes.scenes, "batch": shop.sizes.batch(shop.model),
             "begun_with": shop.begin and shop.begin.name, "device": shop.device.type}
    path = storage.write(shop.file("file"), shop.model, load_file(str(shop.file("vae"))),
                         load_file(str(shop.file("model"))), facts, shop.sizes.text_config(shop.model),
                         shop.sizes.model_config(shop.model))
    shop.log.say(f"wrote {path}, {path.stat().st_size / 1e6:.1f} MB")


def make_oracle(shop: Workshop, seconds: float) -> None:
    """The oracle, on renders and on the round trips of the VAEs that there are."""
    from .detector import Detector
    from .train_oracle import train_oracle

    vaes = shop.known_vaes()
    shop.log.say(f"oracle: on renders and on the round trips of {', '.join(vaes) or 'no VAE'}")
    own = shop.sizes
    train_oracle(shop.folder, "detector", Detector(len(shop.atlas), own.oracle_width), shop.renderer(),
                 Scenes(shop.atlas, shop.seed, "oracle", which="all"), list(vaes.values()),
                 Budget(own.oracle_steps, seconds, peak=1.5e-3, flat=0.2), shop.log, own.oracle_batch, own.pool)


def make_warm(shop: Workshop) -> None:
    """Some steps at full size on nothing: whoever trains next finds kernels compiled, and a profile of a step."""
    profile = warm_up(shop.model, shop.sizes.new_pair(shop.model), shop.sizes.batch(shop.model), shop.device)
    (shop.folder / f"profile-{shop.model}.txt").write_text(profile, encoding="utf-8")


def run(shop: Workshop, wanted: Sequence[str]) -> None:
    """The wanted parts in order, without those that are there, each with its share of the time that is left."""
    todo = [part for part in PARTS if part in wanted and not shop.file(part).exists()]
    if "latents" in todo and shop.file("model").exists():
        todo.remove("latents")
    data: list = []
    for number, part in enumerate(todo):
        seconds = shop.clock.left * SHARES[part] / sum(SHARES[other] for other in todo[number:])
        began = shop.clock.spent
        shop.log.say(f"{part} ({shop.model}, {shop.device.type}), at most {seconds:.0f} s")
        {"warm": lambda _: make_warm(shop), "vae": lambda s: make_vae(shop, s),
         "latents": lambda s: make_latents(shop, s, data), "model": lambda s: make_model(shop, s, data),
         "file": lambda _: make_file(shop), "oracle": lambda s: make_oracle(shop, s),
         "measure": lambda _: make_measure(shop), "look": lambda _: make_look(shop),
         "gate": lambda _: make_gate(shop), "publish": lambda _: make_publish(shop)}[part](seconds)
        shop.log.say(f"{part} took {shop.clock.spent - began:.1f} s")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 lab/run.py train world", description=__doc__)
    parser.add_argument("--model", choices=MODELS, default="transformer")
    parser.add_argument("--part", nargs="+", choices=[*PARTS, "all"], default=USUAL)
    parser.add_argument("--seconds", type=float, help="the time all parts together may take; as long as it takes")
    parser.add_argument("--folder", type=Path,
                        help="where files lie, by default in the cache; what is there is gone on with")
    parser.add_argument("--from", dest="begin", type=Path, metavar="FILE",
                        help="a storybook file: its VAE is kept, and what fits of its model is begun with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tiny", action="store_true", help="try every part at toy size")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="only show what the world looks like")
    parser.add_argument("--from-prototype", type=Path, metavar="FILE",
                        help="only turn the prototype's weights into a storybook file in --folder")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> None:
    """``arguments``: those after ``train world``."""
    import host

    wanted = parse(arguments)
    folder = wanted.folder or host.cache_folder() / ("storybook-tiny" if wanted.tiny else "storybook")
    if wanted.sheet:
        from .sheet import world_sheet

        print("wrote", world_sheet(wanted.sheet))
        return
    if wanted.from_prototype:
        from .prototype import convert

        print("wrote", convert(wanted.from_prototype, folder / "prototype.safetensors"))
        return
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    fast_matmuls(device)
    clock = Clock(wanted.seconds)
    shop = Workshop(folder, wanted.model, device, sizes(device, wanted.tiny), clock,
                    Log(folder / f"training-{wanted.model}.log", clock), wanted.seed, wanted.begin)
    run(shop, [part for part in PARTS if part not in ASKED_FOR] if "all" in wanted.part else wanted.part)


