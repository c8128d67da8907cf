"""Identity Subject: words of the prompt, and pictures of whom they mean."""

from __future__ import annotations

from comfy_api.latest import io

from ..bridge.identity.subject import SubjectList, make_subject
from .schema import CATEGORY, Subjects, number, schema

NODE = "AttnDirSubject"


class AttnDirSubject(io.ComfyNode):
    """Adds one subject to a list."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            node_id=NODE,
            display_name="Identity Subject",
            category=CATEGORY,
            description="Binds words of the prompt to pictures of one subject. Chain several, then wire them into "
                        "Identity Inject.",
            search_aliases=["FastComposer subject", "reference face", "reference image"],
            inputs=[
                io.String.Input("phrase", default="",
                                tooltip="Words of the prompt, such as: woman. Not a name. cat#2 is the second cat."),
                io.Image.Input("images", tooltip="Pictures of the subject, cropped close, best on a plain background. "
                                                 "A batch is averaged into one subject; Flux reads each by "
                                                 "itself."),
                number("strength", 1.0, 0.0, 2.0, 0.05,
                       "Multiplies the strength of Identity Inject for this subject. 0 leaves its words alone."),
                io.Mask.Input("mask", optional=True,
                              tooltip="Where in the new picture the subject goes. Does nothing while localise of "
                                      "Identity Inject is 0."),
                Subjects.Input("subjects", optional=True, tooltip="Subjects made before."),
            ],
            outputs=[Subjects.Output(display_name="subjects", tooltip="The list with this subject at its end.")],
        )

    @classmethod
    def execute(cls, phrase: str, images, strength: float, mask=None, subjects: SubjectList = ()) -> io.NodeOutput:
        return io.NodeOutput((*(subjects or ()), make_subject(NODE, phrase, images, strength, mask)))
