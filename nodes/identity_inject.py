"""Identity Inject: these people, bound to these words (FastComposer, arXiv 2305.10431, or reference pictures)."""

from __future__ import annotations

from comfy_api.latest import io

from ..bridge.identity.build import IdentityOptions, build
from ..bridge.identity.subject import SubjectList
from .schema import CATEGORY, Adapters, Subjects, known, number, percent, prompt, schema, unique_id

NODE = "IdentityInject"
DEFAULT_LOCALISE = 0.0  # measured: lab/NOTES.md


class IdentityInject(io.ComfyNode):
    """Fuses words of the prompt with pictures of whom they mean."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Identity Inject (FastComposer)",
            category=CATEGORY,
            description="Puts the subjects of your pictures into the prompt, each bound to its own words, with no "
                        "tuning. On Stable Diffusion 1.5 it needs an adapter; Flux.1 Kontext, Flux.2 and Klein read "
                        "the pictures themselves, through their VAE.",
            search_aliases=["FastComposer", "identity", "face reference", "multi subject", "PhotoMaker",
                            "reference latent", "Kontext"],
            hidden=[io.Hidden.unique_id],
            inputs=[
                io.Model.Input("model", tooltip="A model of the adapter's family (the published adapter is for Stable "
                                                "Diffusion 1.5), or one trained with reference pictures: Flux.1 "
                                                "Kontext, Flux.2, Klein."),
                io.Clip.Input("clip", tooltip="The text encoder of the same checkpoint."),
                Adapters.Input("adapter", optional=True,
                               tooltip="From Load Identity Adapter. Needed on Stable Diffusion; does nothing on Flux."),
                prompt("The whole prompt, or the positive of another Attention Director node. Use words such as "
                       "woman, not names."),
                Subjects.Input("subjects", tooltip="From Identity Subject: words of the prompt and their pictures."),
                number("strength", 1.0, 0.0, 2.0, 0.05,
                       "Multiplies each subject's strength: how far its words move towards the pictures; on Flux how "
                       "much of the pictures is read. 0 does nothing at all, the adapter's UNet weights included."),
                percent("start_percent", 0.3,
                        "Text only before this share of the timesteps, then the subjects. Later follows the prompt "
                        "better, earlier gives more likeness (the paper's alpha is 1 minus this). 1 does nothing at "
                        "all."),
                number("strength_model", 1.0, 0.0, 2.0, 0.05,
                       "The adapter's own UNet weights: 1 puts them in place of your checkpoint's, 0 leaves your "
                       "checkpoint alone. A whole SD1.5 UNet takes 1.7 GB more memory in half precision. Does nothing "
                       "for an adapter without UNet weights, and on Flux."),
                number("localise", DEFAULT_LOCALISE, 0.0, 1.0, 0.05,
                       "Confines each subject's words (on Flux its pictures) to where the words get the most attention "
                       "or to its mask. For masks and for two or more subjects; 0 is off. On Flux use 1 for two or "
                       "more. Does nothing for one subject without a mask."),
                known(io.Boolean.Input, "published_step_rule", default=False, advanced=True,
                      tooltip="Count steps as the published code does: the first floor(start x steps) + 1 steps are "
                              "text only, on any schedule. Off: start_percent is a share of the timesteps. Does "
                              "nothing on Flux."),
                known(io.Model.Input, "base_model", optional=True, advanced=True,
                      tooltip="The checkpoint the adapter was trained from. Then only the difference is added to "
                              "model, which keeps a finetune's look; 1.7 GB more memory. Does nothing for an adapter "
                              "with low-rank UNet changes or without UNet weights, and on Flux."),
                io.Vae.Input("vae", optional=True,
                             tooltip="The VAE of the model. Needed on Flux, which reads the pictures as latents; does "
                                     "nothing on Stable Diffusion."),
            ],
            outputs=[
                io.Model.Output(display_name="model", tooltip="Wire to the sampler, together with positive."),
                io.Conditioning.Output(display_name="positive",
                                       tooltip="The prompt, first text only, then with the subjects. Wire to the "
                                               "sampler's positive."),
            ],
        )

    @classmethod
    def execute(cls, model, clip, text, subjects: SubjectList, strength: float, start_percent: float,
                strength_model: float, localise: float, published_step_rule: bool = False, adapter=None,
                base_model=None, vae=None) -> io.NodeOutput:
        options = IdentityOptions(strength, start_percent, strength_model, localise, published_step_rule)
        result = build(NODE, unique_id(cls), model, clip, adapter, text, subjects or (), options, base_model,
                       vae)
        return io.NodeOutput(result.model, result.positive)
