"""Region Prompt: this phrase goes here, that phrase goes there (DenseDiffusion, arXiv 2308.12964)."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..bridge.regions.build import build
from ..bridge.regions.canvas import parse_canvas
from ..bridge.regions.presets import PAPER, STRONG, RegionOptions, Share, custom_options, pasted_options
from ..bridge.regions.region import RegionList
from ..bridge.regions.wired import wired_shapes
from .schema import CATEGORY, Regions, canvas_size, editor, known, number, percent, prompt, schema, unique_id

NODE = "RegionPrompt"
WIRED = "attention_director_wired"  # read by web/region_canvas.js


def custom_inputs(note: str = "") -> list[Any]:
    return [
        number("cross_strength", 1.0, 0.0, 2.0, 0.05,
               "How strongly words stay in their region. 0 does nothing." + note),
        number("self_strength", 0.3, 0.0, 2.0, 0.05,
               "How strongly pixels of a region attend to their own region. 0 does nothing." + note),
        number("size_adaptation", 1.0, 0.0, 1.0, 0.05,
               "1 spares large regions, as the paper does; 0 treats all sizes alike." + note),
        number("decay_power", 5.0, 0.0, 10.0, 0.1,
               "How fast the strength falls over the run; 0 keeps it even." + note),
        percent("start_percent", 0.0, "Where in the run it begins, as a share of the timesteps." + note),
        percent("end_percent", 0.3, "Where in the run it ends. Equal to its start: does nothing." + note),
        io.Boolean.Input("reencode_phrases", default=True,
                         tooltip="Encode each region's words on their own, so that colours stay with their objects. "
                                 "Does nothing on Flux, Chroma, Lumina 2 and Z-Image." + note),
    ]


def pasted_input(note: str = "") -> Any:
    return io.String.Input("settings", default="", multiline=True,
                           tooltip="Text that Self Check printed for your model: one number a line, such as margin: "
                                   "8. All else is as in strong." + note)


def preset_inputs() -> list[Any]:
    tooltip = ("strong: keeps objects in their places; measured best on the demo model. paper: DenseDiffusion as "
               "published, gentler. custom: your own numbers. pasted: what Self Check found best on your model.")
    if hasattr(io, "DynamicCombo"):
        option = io.DynamicCombo.Option
        return [io.DynamicCombo.Input("preset", tooltip=tooltip, options=[
            option("strong", []), option("paper", []), option("custom", custom_inputs()),
            option("pasted", [pasted_input()])])]
    return [io.Combo.Input("preset", options=["strong", "paper", "custom", "pasted"], default="strong",
                           tooltip=tooltip),
            *custom_inputs(" Used only with preset custom."), pasted_input(" Used only with preset pasted.")]


def chosen_options(preset: Any, values: dict[str, Any]) -> RegionOptions:
    """The options of a preset; newer hosts nest the revealed numbers, older ones pass them flat."""
    nested = preset if isinstance(preset, dict) else {"preset": preset, **values}
    name = nested["preset"]
    if name == "pasted":
        return pasted_options(NODE, nested["settings"])
    return {"strong": STRONG, "paper": PAPER}.get(name) or custom_options(NODE, nested)


def typed_text(extra_pnginfo: Any, unique_id: str) -> str:
    """The prompt as it stands in the workflow, where the editor has not yet chosen among {a|b}; "" if unknown."""
    workflow = extra_pnginfo.get("workflow") if isinstance(extra_pnginfo, dict) else None
    nodes = workflow.get("nodes") if isinstance(workflow, dict) else None
    for node in filter(lambda node: isinstance(node, dict), nodes if isinstance(nodes, list) else ()):
        values = node.get("widgets_values")
        if str(node.get("id")) == unique_id and isinstance(values, list) and values and isinstance(values[0], str):
            return values[0]
    return ""


class RegionPrompt(io.ComfyNode):
    """Binds phrases of one prompt to regions of the picture, in one pass."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        inputs = [
            io.Model.Input("model", tooltip="Stable Diffusion 1.x, 2.x, SDXL, Flux, Chroma, Lumina 2 or Z-Image."),
            io.Clip.Input("clip", tooltip="The text encoder of the same checkpoint."),
            prompt("The whole prompt, or the positive of another Attention Director node."),
            editor("canvas", "ATTN_DIR_REGION_CANVAS",
                   "The regions you drew, as JSON saved in the workflow. Empty: only the wired regions count."),
            canvas_size("width", "Width of the picture the regions are drawn for; only its shape matters."),
            canvas_size("height", "Height of the picture the regions are drawn for; only its shape matters."),
            Regions.Input("regions", optional=True,
                          tooltip="Regions from other nodes. They lie behind the ones you drew. The canvas shows them "
                                  "dashed and can copy them, so that you can move them."),
            number("strength", 1.0, 0.0, 2.0, 0.05, "Multiplies each region's own strength. 0 does nothing at all."),
            *preset_inputs(),
            known(io.Combo.Input, "unbound_words", options=["everywhere", "paper"], default="everywhere", advanced=True,
                  tooltip="Words that belong to no region. everywhere: they act on the whole picture. paper: they are "
                          "silenced. Does nothing when every word is bound."),
            known(io.Combo.Input, "uncovered", options=["background", "paper"], default="background", advanced=True,
                  tooltip="Pixels outside all regions. background: they become one region. paper: their attention is "
                          "flattened. Does nothing when every pixel is covered."),
            known(io.Combo.Input, "text_share", options=["keep", "raise", "lower"], default="keep", advanced=True,
                  optional=True,  # prompts that were saved before it was there have none
                  tooltip="How much the picture attends to text on Flux, Chroma, Lumina 2 and Z-Image. keep: as much "
                          "as without regions. raise: more. lower: less. Does nothing on other models."),
        ]
        return schema(
            node_id=NODE,
            display_name="Region Prompt (DenseDiffusion)",
            category=CATEGORY,
            description="Puts phrases of your prompt where you want them, in one pass, with any sampler.",
            search_aliases=["DenseDiffusion", "regional prompt", "regional", "layout", "attention couple", "couple",
                            "regional lora", "area composition", "draw boxes", "draw regions", "mask prompt",
                            "inpaint regions"],
            has_intermediate_output=True,
            hidden=[io.Hidden.unique_id, io.Hidden.extra_pnginfo],
            inputs=inputs,
            outputs=[
                io.Model.Output(display_name="model", tooltip="Wire to the sampler, together with positive."),
                io.Conditioning.Output(display_name="positive", tooltip="The prompt; wire to the sampler's positive."),
                io.Mask.Output(display_name="masks", tooltip="One mask per region, front first."),
                io.Image.Output(display_name="preview", tooltip="The regions with their phrases."),
                io.Conditioning.Output(display_name="plain",
                                       tooltip="The same prompt without regions, to compare: wire it to a second "
                                               "sampler, with the model from before this node."),
            ],
        )

    @classmethod
    def execute(cls, model, clip, text, canvas: str, width: int, height: int, strength: float, preset,
                unbound_words: str = "everywhere", uncovered: str = "background", text_share: Share = "keep",
                regions: RegionList = (), **custom: Any) -> io.NodeOutput:
        drawn = parse_canvas(NODE, canvas, width, height)
        options = chosen_options(preset, custom).with_choices(unbound_words, uncovered, text_share)
        typed = typed_text(getattr(cls.hidden, "extra_pnginfo", None), unique_id(cls))
        result = build(NODE, unique_id(cls), model, clip, text, (*drawn, *(regions or ())), strength, options, width,
                       height, typed)
        shown = ui.PreviewImage(result.preview, cls=cls).as_dict() | {WIRED: [wired_shapes(regions or ())]}
        return io.NodeOutput(result.model, result.positive, result.masks, result.preview, result.plain, ui=shown)
