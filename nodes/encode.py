"""Encode Prompt: a prompt that knows its words."""

from __future__ import annotations

from comfy_api.latest import io

from ..bridge.text.prompt import encode, encode_lines, take_prompt
from .schema import CATEGORY, known, schema

NODE = "AttnDirEncode"


class AttnDirEncode(io.ComfyNode):
    """CLIPTextEncode, with the words carried along for the other nodes of this pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Encode Prompt",
            category=CATEGORY,
            description="Encodes a prompt as CLIP Text Encode does and lets the other Attention Director nodes find "
                        "its words.",
            search_aliases=["clip text encode", "prompt words", "attention prompt"],
            inputs=[
                io.Clip.Input("clip", tooltip="The text encoder of your model: CLIP, T5, Qwen, Mistral or Gemma."),
                io.String.Input("text", multiline=True, dynamic_prompts=True,
                                tooltip="The prompt. Weights such as (red hat:1.2) and embedding:name work as in "
                                        "CLIP Text Encode."),
                known(io.Boolean.Input, "one_prompt_per_line", default=False, advanced=True,
                      tooltip="On: each line is the prompt of one image of the batch, in turn. "
                              "Does nothing for a text of one line."),
            ],
            outputs=[io.Conditioning.Output(display_name="positive", tooltip="The encoded prompt with its words.")],
        )

    @classmethod
    def execute(cls, clip, text: str, one_prompt_per_line: bool = False) -> io.NodeOutput:
        lines = [line for line in text.splitlines() if line.strip()] if one_prompt_per_line else []
        conditioning = encode_lines(clip, lines, NODE) if len(lines) > 1 else encode(clip, text, NODE)
        take_prompt(clip, conditioning, NODE)  # names words that the model does not know
        return io.NodeOutput(conditioning)
