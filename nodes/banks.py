"""Three nodes of subject banks: save a run's anchors, load them for new scenes, or make them from photographs."""

from __future__ import annotations

from comfy_api.latest import io, ui

from ..bridge.subject.bank_files import DTYPES, FILES, read_bank, write_bank
from ..bridge.subject.bank_fill import bank_of_samples
from ..bridge.subject.bank_from_photos import bank_from_images
from .schema import CATEGORY, Bank, prompt, schema

SAVE, LOAD, PHOTOS = "AttnDirSaveBank", "AttnDirLoadBank", "AttnDirBankFromImages"


class AttnDirSaveBank(io.ComfyNode):
    """The anchors of a finished run, as a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=SAVE,
            display_name="Save Subject Bank",
            category=CATEGORY,
            description="Saves the anchors of a run whose Shared Subject had keep_bank on, so that new scenes can "
                        "show the same character later. The file holds prompts, seed and features of the pictures.",
            search_aliases=["ConsiStory anchors", "save character", "subject cache"],
            is_output_node=True,
            inputs=[
                io.Model.Input("model", tooltip="The model the scenes were generated with."),
                io.Latent.Input("samples", optional=True, tooltip="The sampler's result. It decides which run's "
                                                                  "anchors are saved. Does nothing when a bank is "
                                                                  "connected."),
                io.String.Input("filename_prefix", default="subject_banks/hero",
                                tooltip="Name in the output folder. Load Subject Bank lists the files in its folder "
                                        "subject_banks."),
                io.Combo.Input("dtype", options=list(DTYPES), default="fp16",
                               tooltip="fp16: as recorded. fp32: twice the size, for other programs; makes no "
                                       "difference to the picture."),
                Bank.Input("bank", optional=True, tooltip="A bank made from images, to save that one instead."),
            ],
            outputs=[Bank.Output(display_name="bank", tooltip="The anchors; wire to Shared Subject.")],
        )

    @classmethod
    def execute(cls, model, filename_prefix: str, dtype: str, samples=None, bank=None) -> io.NodeOutput:
        bank = bank or bank_of_samples(SAVE, model, samples)
        path = write_bank(SAVE, bank, filename_prefix, dtype)
        return io.NodeOutput(bank, ui={"text": [f"{path.name}, {bank.megabytes:.1f} MB"]})


class AttnDirLoadBank(io.ComfyNode):
    """Anchors from a file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=LOAD,
            display_name="Load Subject Bank",
            category=CATEGORY,
            description="Loads anchors that Save Subject Bank saved. They work with the model they were generated "
                        "with.",
            search_aliases=["ConsiStory anchors", "load character", "subject cache"],
            inputs=[io.Combo.Input("bank_name", options=FILES.names(),
                                   tooltip="A file in models/subject_banks or output/subject_banks.")],
            outputs=[
                Bank.Output(display_name="bank", tooltip="The anchors; wire to Shared Subject."),
                io.Image.Output(display_name="preview", tooltip="Rough pictures of the anchors."),
            ],
        )

    @classmethod
    def execute(cls, bank_name: str) -> io.NodeOutput:
        bank = read_bank(LOAD, bank_name)
        preview = bank.preview()
        return io.NodeOutput(bank, preview, ui=ui.PreviewImage(preview, cls=cls))

    @classmethod
    def fingerprint_inputs(cls, bank_name: str) -> str:
        return FILES.stamp(LOAD, bank_name)


class AttnDirBankFromImages(io.ComfyNode):
    """Anchors from one or two photographs."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=PHOTOS,
            display_name="Subject Bank from Images",
            category=CATEGORY,
            description="Makes anchors from one or two pictures of your own by edit-friendly inversion, for simple "
                        "subjects. Slow: two forward passes per step.",
            search_aliases=["ConsiStory personalisation", "photo to character", "edit friendly inversion"],
            inputs=[
                io.Model.Input("model", tooltip="Stable Diffusion 1.x, 2.x, SDXL, Flux, Chroma, Lumina 2 or Z-Image."),
                io.Clip.Input("clip", tooltip="The text encoder of the same checkpoint."),
                io.Vae.Input("vae", tooltip="The VAE of the same checkpoint."),
                io.Image.Input("images", tooltip="One or two pictures of the same subject."),
                prompt("What the pictures show: one line for both, or one line per picture."),
                io.String.Input("subjects", default="", multiline=True,
                                tooltip="The words that stand for the subject, one subject per line; the text must "
                                        "contain them."),
                io.Int.Input("steps", default=100, min=2, max=1000,
                             tooltip="Noise levels to keep. Fewer are faster and fit fewer schedules."),
            ],
            outputs=[
                Bank.Output(display_name="bank", tooltip="The anchors; wire to Shared Subject, or to Save Subject "
                                                         "Bank."),
                io.Float.Output(display_name="psnr", tooltip="How well the model gives the pictures back, in dB, "
                                                             "against the VAE's own round trip."),
            ],
        )

    @classmethod
    def execute(cls, model, clip, vae, images, text, subjects: str, steps: int) -> io.NodeOutput:
        return io.NodeOutput(*bank_from_images(PHOTOS, model, clip, vae, images, text, subjects, steps))
