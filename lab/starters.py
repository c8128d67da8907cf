"""Starters for transformers: a node of ours between the loaders and the sampler of ComfyUI's own template.

Each is derived from the demo of two boxes or of a story and keeps its boxes or scenes. The loaders, files, size,
sampler, steps, cfg and shift are those of the template that `template` names (comfyui-workflow-templates-json 0.1.27);
the node stands where the template has CLIP Text Encode.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from variant_words import CHECKED
from workflow_edit import Node, Workflow, add, connect, field, of_type, remove, remove_onwards, socket, targets

METHOD, SUBJECT_METHOD = "Region Prompt", "Shared Subject"
DIRECTORS = ("RegionPrompt", "SharedSubjectAttention")  # the nodes of these
PLAIN = 4  # the output of Region Prompt for comparing
SIDE = 1024  # pixels of each template's picture
WIDTH = 270  # of a node, and the least of a column
Wire = tuple[int, int]  # node, output


@dataclass(frozen=True)
class Starter:
    """A text-to-image template of ComfyUI.

    label: the family, as a person names it. texts: files of the text encoders, of this kind in their loader. shift:
    of the noise levels, None for the model's own. negative: None where the template gives zeros. in_parts: it has the
    sampler, noise, guider and scheduler as nodes of their own. shortest: it pads T5's prompts to no length. hint: a
    sentence for the note.
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


STARTERS = (
    Starter("Flux.1", "flux_dev_full_text_to_image", "flux1-dev.safetensors",
            ("clip_l.safetensors", "t5xxl_fp16.safetensors"), "flux", "ae.safetensors", "euler", "simple", 20, 1.0),
    Starter("Flux.2 Klein", "image_flux2_klein_text_to_image", "flux-2-klein-base-4b.safetensors",
            ("qwen_3_4b.safetensors",), "flux2", "flux2-vae.safetensors", "euler", "flux2", 20, 5.0,
            latent="EmptyFlux2LatentImage", negative="", in_parts=True,
            hint="The distilled `flux-2-klein-4b.safetensors` takes 4 steps and cfg 1."),
    Starter("Z-Image Turbo", "image_z_image_turbo", "z_image_turbo_bf16.safetensors", ("qwen_3_4b.safetensors",),
            "lumina2", "ae.safetensors", "res_multistep", "simple", 8, 1.0, shift=3.0),
    Starter("Chroma", "image_chroma_text_to_image", "Chroma1-HD-fp8mixed.safetensors",
            ("t5xxl_fp8_e4m3fn_scaled.safetensors",), "chroma", "ae.safetensors", "euler", "beta", 26, 3.5, shift=1.0,
            negative="blurry, low quality", in_parts=True, shortest=True),
)
SUBJECT_STARTERS = (
    Starter("Z-Image", "image_z_image_turbo", "z_image_turbo_bf16.safetensors", ("qwen_3_4b.safetensors",),
            "lumina2", "ae.safetensors", "res_multistep", "simple", 8, 1.0, shift=3.0,
            hint="Four pictures are generated at once; if memory is short, take scenes away."),
)


@dataclass(frozen=True)
class Kind:
    """A node of ComfyUI. sockets: (name, type); fields: (name, type) of what is typed on it; outputs: their types."""

    height: int
    sockets: tuple[tuple[str, str], ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    outputs: tuple[str, ...] = ()


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
           DIRECTORS,
           ("CLIPTextEncode", "ConditioningZeroOut", "CFGGuider", "RandomNoise", "KSamplerSelect", "BasicScheduler",
            "Flux2Scheduler"),
           ("KSampler", "SamplerCustomAdvanced"), ("VAEDecode",), ("SaveImage",))


def starters(demo: Workflow, method: str = METHOD) -> Iterator[tuple[str, Workflow, str]]:
    """(name, workflow, mark on its thumbnail) of each, from the demo of a method."""
    for starter in STARTERS if method == METHOD else SUBJECT_STARTERS:
        yield f"{starter.label} - {method}", derive(demo, starter), starter.label


def derive(demo: Workflow, starter: Starter) -> Workflow:
    """The demo with a family's own loaders and sampler; the demo is not changed."""
    workflow = copy.deepcopy(demo)
    for plain in of_type(workflow, "AttnDirEncode"):
        remove_onwards(workflow, plain["id"])
    for region in of_type(workflow, "RegionPrompt"):
        for plain, _ in targets(workflow, region["id"], PLAIN):
            remove_onwards(workflow, plain)
    load(workflow, starter)
    set_up(workflow, starter)
    if starter.negative is None:
        zero_negative(workflow)
    if starter.in_parts:
        sample_in_parts(workflow, starter)
    lay_out(workflow)
    return workflow


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


def director_of(workflow: Workflow) -> Node:
    """The node of ours."""
    (found,) = (node for kind in DIRECTORS for node in of_type(workflow, kind))
    return found


def reword(director: Node) -> None:
    """Its text for a model that draws photographs, and its size where it has one."""
    values = director["widgets_values"]
    if director["type"] == "RegionPrompt":
        values[0], values[2:4] = f"a photo of {values[0]}", [SIDE, SIDE]
    else:
        values[1] = f"a photo of {values[1]}"  # before every scene


def set_up(workflow: Workflow, starter: Starter) -> None:
    """Sizes, texts and sampling on the demo's own nodes."""
    (latent,), (negative,), (sampler,), (save,), (note,) = (of_type(workflow, kind) for kind in (
        "EmptyLatentImage", "CLIPTextEncode", "KSampler", "SaveImage", "MarkdownNote"))
    latent |= {"type": starter.latent, "properties": {"Node name for S&R": starter.latent},
               "widgets_values": [SIDE, SIDE, 1]}
    reword(director_of(workflow))
    negative["widgets_values"] = [starter.negative or ""]
    sampler["widgets_values"][2:6] = [starter.steps, starter.cfg, starter.sampler, starter.scheduler]
    save["widgets_values"] = [f"attention_director/{starter.label.lower().replace(' ', '-')}"]
    note |= {"size": [300, 420], "widgets_values": [note_of(starter)]}


def note_of(starter: Starter) -> str:
    texts = " and ".join(f"`{name}`" for name in starter.texts)
    return (f"For {starter.label}, set up as ComfyUI's own template is. It expects these files in ComfyUI's *models* "
            f"folder; choose yours in the loaders if they have other names.\n\n- *diffusion_models*: "
            f"`{starter.model}`\n- *text_encoders*: {texts}\n- *vae*: `{starter.vae}`\n\n{starter.hint}".rstrip()
            + f"\n\n{CHECKED}")


def zero_negative(workflow: Workflow) -> None:
    """A distilled model runs at cfg 1, where nobody reads the negative; the template gives zeros."""
    (negative,), director = of_type(workflow, "CLIPTextEncode"), director_of(workflow)
    zeros = put(workflow, "ConditioningZeroOut", [], conditioning=(director["id"], 1))
    for target, name in targets(workflow, negative["id"], 0):
        connect(workflow, zeros, 0, target, name)
    remove(workflow, negative["id"])


def sample_in_parts(workflow: Workflow, starter: Starter) -> None:
    """Guider, noise, sampler and scheduler as nodes, in place of KSampler."""
    (negative,), (latent,), (old,) = (of_type(workflow, kind) for kind in (
        "CLIPTextEncode", starter.latent, "KSampler"))
    director = director_of(workflow)["id"]
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
