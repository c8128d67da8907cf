"""Image to Noise: a picture of your own as the start of an edit."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..bridge.inversion.inversion import METHODS
from ..bridge.inversion.invert import SCHEDULERS, InversionSettings, invert
from ..bridge.run.status import send_status
from .schema import CATEGORY, InversionSocket, known, number, prompt, schema, unique_id

NODE = "AttnDirInversion"
LABELS = {"null-text": "null-text (slow)"}
CHOICES = [LABELS.get(method, method) for method in METHODS]


class AttnDirInversion(io.ComfyNode):
    """Finds the noise, and what else a run needs, from which the model draws a given picture."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Image to Noise (inversion)",
            category=CATEGORY,
            description="Turns a picture of your own and its caption into the start of a run, so that Attention Edit "
                        "can change words in it.",
            search_aliases=["inversion", "DDIM inversion", "null-text inversion", "direct inversion", "PnP inversion",
                            "negative-prompt inversion", "edit-friendly DDPM", "FireFlow", "real image editing",
                            "image to noise"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="Stable Diffusion 1.x, 2.x, SDXL, Flux, Chroma, Lumina 2 or Z-Image; "
                                               "the model the edit will use."),
                io.Clip.Input("clip", tooltip="The text encoder of the same model."),
                io.Vae.Input("vae", tooltip="The VAE of the same model."),
                io.Image.Input("image", tooltip="The picture. Of a batch only the first is used; sides are cropped to "
                                                "what the VAE can take, usually a multiple of 8."),
                prompt("What the picture shows, in a sentence like the prompts you write. Takes the text of any "
                       "captioning node, or an encoded prompt."),
                io.Combo.Input("method", options=CHOICES, default="direct",
                               tooltip="direct: exact, with any sampler; choose this one first. negative-prompt: the "
                                       "caption becomes the negative. ddim: the start noise alone. null-text: trains "
                                       "the negative for every step. edit-friendly: keeps the noise of every step. "
                                       "noise: one fixed noise, at once. fireflow: direct along a finer path, for "
                                       "flow models."),
                io.Int.Input("steps", default=30, min=2, max=1000,
                             tooltip="Steps from the picture to the noise. More is closer and slower."),
                io.Combo.Input("scheduler", options=SCHEDULERS, default="normal",
                               tooltip="How the steps are spread. null-text and edit-friendly need the same in the "
                                       "sampler."),
                number("cfg", 7.5, 1.0, 30.0, 0.1,
                       "Guidance of null-text, which needs the same cfg in the sampler, and of edit-friendly. Does "
                       "nothing with the other methods.", advanced=True),
                known(io.Int.Input, "seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, advanced=True,
                      control_after_generate=False,
                      tooltip="The noise of edit-friendly and noise. Does nothing with the other methods."),
            ],
            outputs=[
                InversionSocket.Output(display_name="inversion", tooltip="Wire to Attention Edit."),
                io.Image.Output(display_name="reconstruction", tooltip="What a run from this inversion generates when "
                                                                       "nothing is edited."),
                io.Float.Output(display_name="psnr", tooltip="How near the reconstruction is, in dB, to the picture "
                                                             "after the VAE; 100 is equal. What the VAE itself loses "
                                                             "is not counted."),
                io.Latent.Output(display_name="latent", tooltip="The encoded picture: the size for Attention Edit."),
                io.Int.Output(display_name="steps", tooltip="Wire to the sampler's steps."),
                # The host's samplers declare their list of schedulers the old way, which no combo output fits.
                io.AnyType.Output(display_name="scheduler", tooltip="Wire to the sampler's scheduler."),
            ],
        )

    @classmethod
    def execute(cls, model, clip, vae, image, text, method: str, steps: int, scheduler: str, cfg: float = 7.5,
                seed: int = 0) -> io.NodeOutput:
        chosen: Any = {label: name for name, label in LABELS.items()}.get(method, method)
        settings = InversionSettings(chosen, steps, scheduler, cfg, seed)
        made = invert(NODE, model, clip, vae, image, text, settings)
        send_status(f"{unique_id(cls)}/inversion", NODE, f"{chosen}, {steps} steps; reconstruction {made.psnr:.1f} dB")
        return io.NodeOutput(made.inversion, made.reconstruction, made.psnr, made.samples, steps, scheduler)
