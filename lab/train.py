"""Train what ships in assets/: `python3 lab/run.py train world`, then `train predictor`, `train identity`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import engine
import host
from world.scene import CREATURES

ASSETS = Path(__file__).resolve().parent.parent / "assets"
FACTS = ("seed", "scenes", "creatures", "vae_batch", "vae_steps", "batch", "unet_steps", "learning_rate")


def train_world(arguments: argparse.Namespace) -> None:
    """VAE, then latents, then UNet and text encoder, then one file in assets/."""
    import torch
    from world.checkpoint import read_checkpoint, write_checkpoint
    from world.train_unet import Scenes, encode_scenes, train_unet
    from world.train_vae import train_vae

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    folder = Path(arguments.folder)
    folder.mkdir(parents=True, exist_ok=True)
    print(f"training the tiny world in {folder} on {device}; stop and start it as you like", flush=True)
    begin = None
    if arguments.begin:
        vae, begin = read_checkpoint(Path(arguments.begin))
    else:
        vae = train_vae(folder, arguments.seed, device, arguments.vae_steps, arguments.vae_batch)
    scenes = Scenes(arguments.seed, arguments.creatures)
    pictures = encode_scenes(folder, vae, arguments.scenes, scenes, device)
    weights = train_unet(folder, pictures, arguments.unet_steps, scenes, device,
                         arguments.learning_rate, begin, arguments.batch)
    facts = {name: getattr(arguments, name) for name in FACTS}
    facts |= {"begun_with": arguments.begin and Path(arguments.begin).name, "device": str(device)}
    print("wrote", write_checkpoint(Path(arguments.out), vae, weights, facts))


def train_predictor(arguments: argparse.Namespace) -> None:
    """A guidance predictor for a demo model, on pictures that its world renders; the transformer's reads edges."""
    from storybook.train_predictor import train_predictor as train_of_tokens
    from world.train_predictor import train_predictor as train

    own = arguments.predictor_out and Path(arguments.predictor_out)
    if arguments.model == "transformer":
        path = train_of_tokens(own or ASSETS / "storybook_edges.safetensors", arguments.predictor_scenes or 48,
                               arguments.predictor_steps or 45, arguments.seed)
    else:
        path = train(own or ASSETS / f"demo_{arguments.predictor_maps}.safetensors", arguments.predictor_maps,
                     arguments.predictor_scenes or 800, arguments.predictor_steps or 1000, arguments.seed)
    print("wrote", path)


def main() -> None:
    if sys.argv[1:2] == ["identity"]:
        from identity.train import main as train_identity

        train_identity(sys.argv[2:])
        return
    if sys.argv[1:2] == ["storybook"] or (sys.argv[1:2] == ["world"] and "--model" in sys.argv):
        from storybook.parts import main as train_storybook

        train_storybook(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(prog="python3 lab/run.py train", description=__doc__)
    parser.add_argument("what", choices=["world", "predictor", "identity", "storybook"],
                        help="identity and storybook have options of their own: train identity --help; "
                             "world --model unet|transformer is storybook's too")
    parser.add_argument("--folder", default=str(host.cache_folder() / "world"),
                        help="state and log; what is there is gone on with")
    parser.add_argument("--out", default=str(ASSETS / "tiny_world.safetensors"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=28000, help="pictures to train the UNet on")
    parser.add_argument("--creatures", type=float, default=CREATURES, help="share of the pictures that show creatures")
    parser.add_argument("--batch", type=int, default=16, help="pictures a step of the UNet; a GPU is filled by 256")
    parser.add_argument("--vae-batch", type=int, default=16, help="crops a step of the VAE")
    parser.add_argument("--vae-steps", type=int, default=5400)
    parser.add_argument("--unet-steps", type=int, nargs="+", default=[12000],
                        help="steps of each round of the learning rate; a round more goes on from what is there")
    parser.add_argument("--learning-rate", type=float, default=6e-4, help="its peak")
    parser.add_argument("--from", dest="begin", metavar="FILE",
                        help="begin with the weights of a finished checkpoint and keep its VAE")
    parser.add_argument("--predictor-maps", choices=["edges", "depth"], default="edges", help="what it is to read")
    parser.add_argument("--model", choices=["unet", "transformer"], default="unet",
                        help="the demo model that the predictor is for")
    parser.add_argument("--predictor-out", help="by default the file of those maps in assets/")
    parser.add_argument("--predictor-scenes", type=int, help="pictures to train the predictor on")
    parser.add_argument("--predictor-steps", type=int)
    arguments = parser.parse_args()
    engine.enter()
    {"world": train_world, "predictor": train_predictor}[arguments.what](arguments)


if __name__ == "__main__":
    main()
