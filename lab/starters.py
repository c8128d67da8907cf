"""Starters for transformers: a method's nodes between the loaders and the sampler of ComfyUI's own template.

Each is derived from the method's example on the demo transformer: its upper row, without what the lower one compares
with. The loaders, files, size, sampler, steps, cfg and shift are those of the template that `template` names
(comfyui-workflow-templates-json 0.1.27); the method's nodes stand where the template has CLIP Text Encode.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from templates import example
from variant_words import CHECKED
from workflow_edit import Workflow, add, connect, field, of_type, remove, remove_onwards, set_widget, socket, targets

# Of each method that has a starter, the example it is made from.
EXAMPLES = {"Region Prompt": "Region Prompt - two boxes",
            "Attention Edit": "Attention Edit - on a transformer",
            "Shared Subject": "Shared Subject - on a transformer",
            "Identity Inject": "Identity Inject - from reference pictures"}
SIDE = 1024  # pixels of each template's picture
WIDTH = 270  # of a node, and the least of a column
Wire = tuple[int, int]  # node, output


@dataclass(frozen=True)
class Starter:
    """A text-to-image template of ComfyUI.

    label: the family, as a person names it. texts: files of the text encoders, of this kind in their loader. shift:
    of the noise levels, None for the model's own. negative: None where the template gives zeros. in_parts: it has the
    sampler, noise, guider and scheduler as nodes of their own. shortest: it pads T5's prompts to no length. hint: a
    sentence for the note. method: of EXAMPLES.
    """

    label: str
    template: str
    model: str
    texts: tuple[str, ...]
    kind: str
    vae: str
    sampler: str
    scheduler: str
    steps: int
    cfg: float
    latent: str = "EmptySD3LatentImage"
    shift: float | None = None
    negative: str | None = None
    in_parts: bool = False
    shortest: bool = False
    hint: str = ""
    method: str = "Region Prompt"

    @property
    def name(self) -> str:
        return f"{self.label} - {self.method}"


FLUX_1 = Starter("Flux.1", "flux_dev_full_text_to_image", "flux1-dev.safetensors",
                 ("clip_l.safetensors", "t5xxl_fp16.safetensors"), "flux", "ae.safetensors", "euler", "simple", 20, 1.0)
FLUX_2_KLEIN = Starter("Flux.2 Klein", "image_flux2_klein_text_to_image", "flux-2-klein-base-4b.safetensors",
                       ("qwen_3_4b.safetensors",), "flux2", "flux2-vae.safetensors", "euler", "flux2", 20, 5.0,
                       latent="EmptyFlux2LatentImage", negative="", in_parts=True,
                       hint="The distilled `flux-2-klein-4b.safetensors` takes 4 steps and cfg 1.")
Z_IMAGE = Starter("Z-Image Turbo", "image_z_image_turbo", "z_image_turbo_bf16.safetensors", ("qwen_3_4b.safetensors",),
                  "lumina2", "ae.safetensors", "res_multistep", "simple", 8, 1.0, shift=3.0)
CHROMA = Starter("Chroma", "image_chroma_text_to_image", "Chroma1-HD-fp8mixed.safetensors",
                 ("t5xxl_fp8_e4m3fn_scaled.safetensors",), "chroma", "ae.safetensors", "euler", "beta", 26, 3.5,
                 shift=1.0, negative="blurry, low quality", in_parts=True, shortest=True)
STARTERS = (
    FLUX_1, FLUX_2_KLEIN, Z_IMAGE, CHROMA,
    replace(FLUX_1, method="Attention Edit",
            hint="If the old shape stays, turn *self_end_percent* down; if too much changes, turn on *mix_words*, "
                 "among the advanced settings."),
    replace(Z_IMAGE, label="Z-Image", method="Shared Subject",
            hint="Four pictures are generated at once; if memory is short, take scenes away."),
    replace(FLUX_2_KLEIN, method="Identity Inject",
            hint=f"{FLUX_2_KLEIN.hint} Exchange the two example pictures for Load Image with yours."),
)


@dataclass(frozen=True)
class Kind:
    """A node of ComfyUI. sockets: (name, type); fields: (name, type) of what is typed on it; outputs: their types."""

    height: int
    sockets: tuple[tuple[str, str], ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    outputs: tuple[str, ...] = ()


# An edit of a photograph, with settings that are published for large models.
EDIT = {"text": "a photo of a red fox in the snow", "blend_words": "fox\nwolf\ncat",
        "targets": "a photo of a grey wolf in the snow\na photo of a red cat in the snow",
        "cross_end_percent": 0.8, "self_end_percent": 0.3, "blend_threshold": 0.3, "blend_start_percent": 0.2,
        "mix_words": False}

# What a starter may have besides the demo's nodes.
KINDS = {
    "UNETLoader": Kind(82, (), (("unet_name", "COMBO"), ("weight_dtype", "COMBO")), ("MODEL",)),
    "ModelSamplingAuraFlow": Kind(58, (("model", "MODEL"),), (("shift", "FLOAT"),), ("MODEL",)),
    "CLIPLoader": Kind(106, (), (("clip_name", "COMBO"), ("type", "COMBO"), ("device", "COMBO")), ("CLIP",)),
    "DualCLIPLoader": Kind(130, (), (("clip_name1", "COMBO"), ("clip_name2", "COMBO"), ("type", "COMBO"),
                                     ("device", "COMBO")), ("CLIP",)),
    "T5TokenizerOptions": Kind(82, (("clip", "CLIP"),), (("min_padding", "INT"), ("min_length", "INT")), ("CLIP",)),
    "VAELoader": Kind(58, (), (("vae_name", "COMBO"),), ("VAE",)),
    "ConditioningZeroOut": Kind(26, (("conditioning", "CONDITIONING"),), (), ("CONDITIONING",)),
    "CFGGuider": Kind(98, (("model", "MODEL"), ("positive", "CONDITIONING"), ("negative", "CONDITIONING")),
                      (("cfg", "FLOAT"),), ("GUIDER",)),
    "RandomNoise": Kind(82, (), (("noise_seed", "INT"),), ("NOISE",)),
    "KSamplerSelect": Kind(58, (), (("sampler_name", "COMBO"),), ("SAMPLER",)),
    "BasicScheduler": Kind(106, (("model", "MODEL"),), (("scheduler", "COMBO"), ("steps", "INT"),
                                                        ("denoise", "FLOAT")), ("SIGMAS",)),
    "Flux2Scheduler": Kind(106, (), (("steps", "INT"), ("width", "INT"), ("height", "INT")), ("SIGMAS",)),
    "SamplerCustomAdvanced": Kind(106, (("noise", "NOISE"), ("guider", "GUIDER"), ("sampler", "SAMPLER"),
                                        ("sigmas", "SIGMAS"), ("latent_image", "LATENT")), (), ("LATENT", "LATENT")),
}
# From left to right, each from top to bottom.
COLUMNS = (("MarkdownNote",),
           ("UNETLoader", "ModelSamplingAuraFlow", "CLIPLoader", "DualCLIPLoader", "T5TokenizerOptions", "VAELoader",
            "EmptySD3LatentImage", "EmptyFlux2LatentImage"),
           ("AttnDirExampleImage", "AttnDirSubject"), ("RegionPrompt",),
           ("AttentionEdit", "SharedSubjectAttention", "IdentityInject"),
           ("CLIPTextEncode", "ConditioningZeroOut", "CFGGuider", "RandomNoise", "KSamplerSelect", "BasicScheduler",
            "Flux2Scheduler"),
           ("KSampler", "SamplerCustomAdvanced"), ("VAEDecode",), ("SaveImage",))


def starters() -> Iterator[tuple[str, Workflow, Path, str]]:
    """(name, workflow, its example's thumbnail, mark on it) of each."""
    for starter in STARTERS:
        path = example(EXAMPLES[starter.method])
        demo = json.loads(path.read_text(encoding="utf-8"))
        yield starter.name, derive(demo, starter), path.with_suffix(".jpg"), starter.label


def derive(demo: Workflow, starter: Starter) -> Workflow:
    """The demo with a family's own loaders and sampler; the demo is not changed."""
    workflow = copy.deepcopy(demo)
    keep_upper_row(workflow)
    load(workflow, starter)
    set_up(workflow, starter)
    if starter.negative is None:
        zero_negative(workflow)
    if starter.in_parts:
        sample_in_parts(workflow, starter)
    lay_out(workflow)
    return workflow


def keep_upper_row(workflow: Workflow) -> None:
    """Take away a lower sampler, what it feeds, and a prompt that it alone read."""
    for lower in sorted(of_type(workflow, "KSampler"), key=lambda node: node["pos"][1])[1:]:
        remove_onwards(workflow, lower["id"])
    for plain in of_type(workflow, "AttnDirEncode"):
        remove(workflow, plain["id"])


def directing(workflow: Workflow) -> int:
    """The node of ours whose model and positive the sampler takes."""
    (sampler,) = of_type(workflow, "KSampler")
    wire = next(given["link"] for given in sampler["inputs"] if given["name"] == "model")
    return next(link[1] for link in workflow["links"] if link[0] == wire)


def put(workflow: Workflow, kind: str, values: Sequence[Any], **wires: Wire) -> int:
    """A new node; its id. wires: by the name of the input."""
    made, number = KINDS[kind], 1 + max(node["id"] for node in workflow["nodes"] if node["type"] != "MarkdownNote")
    add(workflow, number, kind, (0, 0), (WIDTH, made.height),
        [*(socket(*given) for given in made.sockets), *(field(*given) for given in made.fields)],
        [(type_, type_) for type_ in made.outputs], values)
    for name, (source, slot) in wires.items():
        connect(workflow, source, slot, number, name)
    return number


def load(workflow: Workflow, starter: Starter) -> None:
    """The family's three loaders, and what the template has behind them, in place of the demo's one."""
    (loader,) = of_type(workflow, "AttnDirLoadDemoModel")
    model = put(workflow, "UNETLoader", [starter.model, "default"])
    if starter.shift is not None:
        model = put(workflow, "ModelSamplingAuraFlow", [starter.shift], model=(model, 0))
    clip = put(workflow, "DualCLIPLoader" if len(starter.texts) == 2 else "CLIPLoader",
               [*starter.texts, starter.kind, "default"])
    if starter.shortest:
        clip = put(workflow, "T5TokenizerOptions", [0, 0], clip=(clip, 0))
    for slot, source in enumerate((model, clip, put(workflow, "VAELoader", [starter.vae]))):
        for target, name in targets(workflow, loader["id"], slot):
            connect(workflow, source, 0, target, name)
    remove(workflow, loader["id"])


def set_up(workflow: Workflow, starter: Starter) -> None:
    """Sizes, texts and sampling on the demo's own nodes."""
    (latent,), (sampler,), (save,), (note,) = (of_type(workflow, kind) for kind in (
        "EmptyLatentImage", "KSampler", "SaveImage", "MarkdownNote"))
    latent |= {"type": starter.latent, "properties": {"Node name for S&R": starter.latent},
               "widgets_values": [SIDE, SIDE, 1]}
    for region in of_type(workflow, "RegionPrompt"):
        region["widgets_values"][0] = f"a photo of {region['widgets_values'][0]}"
        region["widgets_values"][2:4] = [SIDE, SIDE]
    for story in of_type(workflow, "SharedSubjectAttention"):
        story["widgets_values"][1] = f"a photo of {story['widgets_values'][1]}"  # before every scene
    for edit in of_type(workflow, "AttentionEdit"):
        for name, value in EDIT.items():
            set_widget(edit, name, value)
    for negative in of_type(workflow, "CLIPTextEncode"):
        negative["widgets_values"] = [starter.negative or ""]
    sampler["widgets_values"][2:6] = [starter.steps, starter.cfg, starter.sampler, starter.scheduler]
    name = starter.label if starter.method == "Region Prompt" else starter.name
    save["widgets_values"] = [f"attention_director/{name.lower().replace(' - ', '-').replace(' ', '-')}"]
    note |= {"size": [300, 420], "widgets_values": [note_of(starter)]}


def note_of(starter: Starter) -> str:
    texts = " and ".join(f"`{name}`" for name in starter.texts)
    return (f"For {starter.label}, set up as ComfyUI's own template is. It expects these files in ComfyUI's *models* "
            f"folder; choose yours in the loaders if they have other names.\n\n- *diffusion_models*: "
            f"`{starter.model}`\n- *text_encoders*: {texts}\n- *vae*: `{starter.vae}`\n\n{starter.hint}".rstrip()
            + f"\n\n{CHECKED}")


def zero_negative(workflow: Workflow) -> None:
    """A distilled model runs at cfg 1, where nobody reads the negative; the template gives zeros."""
    for negative in of_type(workflow, "CLIPTextEncode"):
        zeros = put(workflow, "ConditioningZeroOut", [], conditioning=(directing(workflow), 1))
        for target, name in targets(workflow, negative["id"], 0):
            connect(workflow, zeros, 0, target, name)
        remove(workflow, negative["id"])


def sample_in_parts(workflow: Workflow, starter: Starter) -> None:
    """Guider, noise, sampler and scheduler as nodes, in place of KSampler."""
    (negative,), (latent,), (old,) = (of_type(workflow, kind)
                                      for kind in ("CLIPTextEncode", starter.latent, "KSampler"))
    director = directing(workflow)
    model = (director, 0)
    guider = put(workflow, "CFGGuider", [starter.cfg], model=model, positive=(director, 1),
                 negative=(negative["id"], 0))
    noise = put(workflow, "RandomNoise", old["widgets_values"][:2])
    sampler = put(workflow, "KSamplerSelect", [starter.sampler])
    if starter.scheduler == "flux2":  # made for the picture's size
        sigmas = put(workflow, "Flux2Scheduler", [starter.steps, SIDE, SIDE])
    else:
        sigmas = put(workflow, "BasicScheduler", [starter.scheduler, starter.steps, 1.0], model=model)
    new = put(workflow, "SamplerCustomAdvanced", [], noise=(noise, 0), guider=(guider, 0), sampler=(sampler, 0),
              sigmas=(sigmas, 0), latent_image=(latent["id"], 0))
    for target, name in targets(workflow, old["id"], 0):
        connect(workflow, new, 0, target, name)
    remove(workflow, old["id"])


def lay_out(workflow: Workflow) -> None:
    """Columns from left to right, with room for a renderer that draws nodes larger than the file says."""
    x = 60
    for kinds in COLUMNS:
        column = [node for kind in kinds for node in of_type(workflow, kind)]
        y = 90
        for node in column:
            node["pos"] = [x, y]
            y += node["size"][1] + 80
        x += max((max(node["size"][0], WIDTH) + 70 for node in column), default=0)
    workflow["last_node_id"] = max(node["id"] for node in workflow["nodes"])
