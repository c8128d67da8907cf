"""Train an adapter for Identity Inject: `python3 lab/run.py train identity`.

The tiny world's takes about an hour of one CPU core: 2 minutes for the vision tower, 3 for encoding the
pictures, 50 for 4,500 steps. Stop and start it as you like; the encoding alone begins anew.

On many processes: `accelerate launch lab/identity/train.py ...` or `torchrun --nproc-per-node 2
lab/identity/train.py ...`, in an environment where COMFYUI_PATH names the host.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

LAB = Path(__file__).resolve().parent.parent
if str(LAB) not in sys.path:
    sys.path.insert(0, str(LAB))

import engine  # noqa: E402
import host  # noqa: E402

SAVE_EVERY, SHOW_EVERY = 100, 25


def arguments_of(parser: argparse.ArgumentParser, line: list[str] | None) -> argparse.Namespace:
    root = LAB.parent
    parser.add_argument("--base", help="a Stable Diffusion 1.x checkpoint; without it the demo model")
    parser.add_argument("--data", help="a JSONL file of pictures (lab/identity/records.py says how); "
                                       "without it the tiny world's creatures")
    parser.add_argument("--vision", help="a CLIP vision file to begin with; without it the tiny world's tower")
    parser.add_argument("--size", type=int, default=512, help="pixels of your pictures' middle square")
    parser.add_argument("--folder", default=str(host.cache_folder() / "identity"),
                        help="state, log and previews; what is there is gone on with")
    parser.add_argument("--out", default=str(root / "assets" / "demo_identity.safetensors"))
    parser.add_argument("--from", dest="begin", metavar="STATE",
                        help="begin with what another training learnt: its identity-*.pt, of the same sizes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pictures", type=int, default=3000, help="creature pictures to render")
    parser.add_argument("--steps", type=int, default=4500)
    parser.add_argument("--batch", type=int, default=16, help="pictures a step and process")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="its peak; 1e-5 for a whole UNet")
    parser.add_argument("--rank", type=int, default=32, help="of the UNet's low-rank changes; 0 trains the whole UNet")
    parser.add_argument("--convolutions", action=argparse.BooleanOptionalAction, default=True,
                        help="low-rank changes also in the residual blocks, half the rank")
    parser.add_argument("--vision-layers", type=int, default=2, help="last layers of the vision tower to train")
    parser.add_argument("--localisation", type=float, default=1e-3, help="weight of the localisation loss")
    parser.add_argument("--paper-weights", action="store_true",
                        help="all noise levels count alike, as in the paper; the tiny world's own weights otherwise")
    parser.add_argument("--preview-every", type=int, default=300, help="steps between preview pictures; 0 for none")
    return parser.parse_args(line)


def load_base(path: str | None) -> tuple[Any, Any, Any]:
    """MODEL, CLIP, VAE."""
    from attention_director.bridge.demo.model import load_demo_model

    if path is None:
        return load_demo_model()
    import comfy.sd

    model, clip, vae, *_ = comfy.sd.load_checkpoint_guess_config(path, output_vae=True, output_clip=True)
    if model is None or model.model.model_type.name != "EPS":
        raise SystemExit(f"{path} does not predict noise; the recipe is Stable Diffusion 1.x's")
    return model, clip, vae


def cumulative_alphas(model: Any):
    """alpha_bar of the model's own schedule: sigma^2 = (1 - alpha_bar) / alpha_bar. float32 [timesteps]."""
    return 1 / (model.model.model_sampling.sigmas.float().cpu() ** 2 + 1)


def load_tower(path: str | None, folder: Path, seed: int, device: Any):
    """The vision tower to begin with, by the host's names."""
    from identity.tower import TINY, build_tower, naming_tower

    if path is None:
        weights, config = naming_tower(folder, seed, device), TINY
    else:
        import comfy.utils
        from attention_director.bridge.identity.vision import tower_config

        weights = comfy.utils.load_torch_file(path, safe_load=True)
        config = tower_config(weights)
    tower = build_tower(config)
    tower.load_state_dict({k: v.float() for k, v in weights.items() if k in tower.state_dict()})
    return tower, config["image_size"]


def records_of(arguments: argparse.Namespace):
    from identity.records import folder_records, world_records

    if arguments.data is None:
        return world_records(arguments.seed, arguments.pictures), arguments.pictures
    path = Path(arguments.data)
    count = sum(1 for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    return folder_records(path, arguments.size), count


def lesson(arguments: argparse.Namespace) -> str:
    """Names what is taught to whom: a state made for another base model or other pictures is not gone on with."""
    from attention_director.bridge.demo.file import path_of

    base = Path(arguments.base) if arguments.base else path_of("UNet")
    with base.open("rb") as file:
        head = file.read(1 << 22)
    data = Path(arguments.data).read_bytes() if arguments.data else f"{arguments.seed}/{arguments.pictures}".encode()
    parts = [head, str(base.stat().st_size).encode(), data, str((arguments.data and arguments.size, arguments.vision,
             arguments.rank, arguments.convolutions, arguments.vision_layers)).encode()]
    return hashlib.sha256(b"|".join(parts)).hexdigest()[:10]


def prepare(arguments: argparse.Namespace, crew: Any):
    """Everything that stands still: (base, store, student). One process makes the files, all read them."""
    import torch
    from attention_director.core.fuse import FuseModule
    from world.training import Log

    from identity.store import Encoder, load_or_build
    from identity.student import Student, training_unet

    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    base = load_base(arguments.base)
    records, count = records_of(arguments)
    if not crew.first:
        crew.wait()  # until the first has made the files
    tower, side = load_tower(arguments.vision, folder, arguments.seed, crew.device)
    log = Log(folder / "training.log", "pictures", count)
    store = load_or_build(folder / f"pictures-{lesson(arguments)}.pt", records, count, Encoder(*base), side, log)
    if crew.first:
        crew.wait()
    torch.manual_seed(arguments.seed)
    student = Student(training_unet(base[0]), FuseModule(store.context.shape[-1]), tower, arguments.vision_layers,
                      arguments.rank, arguments.convolutions, crew.device)
    return base, store, student


def train(arguments: argparse.Namespace, crew: Any) -> dict[str, Any]:
    """Train, or go on training; returns the averaged weights of what is trained."""
    import torch
    from world.feed import ahead
    from world.training import Log, MovingAverage, autocast, learning_rate, resume, save_training, seed_step

    from identity.steps import Recipe, draw_batch, step_loss

    base, store, student = prepare(arguments, crew)
    steps, state = arguments.steps, Path(arguments.folder) / f"identity-{lesson(arguments)}.pt"
    recipe = Recipe(batch=arguments.batch, localisation=arguments.localisation, balanced=not arguments.paper_weights)
    if arguments.begin and not state.exists():
        student.load_state_dict(torch.load(arguments.begin, weights_only=True, map_location="cpu")["average"])
    parameters = list(student.trained.values())
    optimiser = torch.optim.AdamW(parameters, lr=arguments.learning_rate, weight_decay=0.01, betas=(0.9, 0.99))
    average = MovingAverage(student, 0.995)
    first = resume(state, student, optimiser, average)
    alphas = cumulative_alphas(base[0]).to(crew.device)
    log = Log(state.parent / "training.log", "identity", steps)
    todo = range(first, steps)
    for step, batch in zip(todo, ahead(partial(draw_batch, store, recipe, arguments.seed, crew), todo), strict=True):
        seed_step(arguments.seed, step * crew.size + crew.rank)
        batch = batch.to(crew.device)
        optimiser.param_groups[0]["lr"] = learning_rate(step, steps, arguments.learning_rate, min(100, steps // 4))
        with autocast(crew.device):
            loss, noise, place = step_loss(student, batch, alphas, recipe)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        crew.average_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        average.update(student, step)
        done = step + 1
        if crew.first and done % SHOW_EVERY == 0:
            log.show(done, loss=float(noise.detach()), localisation=float(place.detach()))
        if crew.first and (done % SAVE_EVERY == 0 or done == steps):
            save_training(state, student, optimiser, average, done)
        if crew.first and arguments.preview_every and done % arguments.preview_every == 0:
            preview(arguments, base, student, average.values, done)
    if crew.first:
        print("wrote", write_adapter(Path(arguments.out), base[0], student, average.values, arguments, steps))
    crew.wait()
    return average.values


def write_adapter(path: Path, model: Any, student: Any, values: Any, arguments: argparse.Namespace, step: int) -> Path:
    """Write beside, then rename."""
    import json

    import comfy.utils
    from safetensors.torch import save_file

    from identity.student import adapter_tensors

    names = comfy.utils.unet_to_diffusers(model.model.model_config.unet_config)
    facts = {"seed": arguments.seed, "steps": step, "localisation": arguments.localisation, "rank": arguments.rank,
             "base": Path(arguments.base).name if arguments.base else "tiny world"}
    metadata = {"format": "pt", "attention_director": "identity adapter 1", "training": json.dumps(facts)}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".partial")
    save_file(adapter_tensors(student, values, names), str(beside), metadata)
    os.replace(beside, path)
    return path


def preview(arguments: argparse.Namespace, base: Any, student: Any, values: Any, step: int) -> None:
    """Save the adapter as it is, and pictures drawn with it."""
    path = write_adapter(Path(arguments.folder) / "preview.safetensors", base[0], student, values, arguments, step)
    if arguments.data is None and arguments.base is None:
        from identity.previews import draw_preview

        draw_preview(base, path, Path(arguments.folder) / f"preview-{step}.png")


def main(line: list[str] | None = None) -> dict[str, Any]:
    arguments = arguments_of(argparse.ArgumentParser(prog="python3 lab/run.py train identity", description=__doc__),
                             line)
    engine.enter()
    from pack import load_pack

    load_pack()
    from identity.creatures import join

    crew = join()
    try:
        return train(arguments, crew)
    finally:
        crew.leave()


if __name__ == "__main__":
    main()
