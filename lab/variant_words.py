"""What starters say instead of the demo world's words.

The demo models know few things; a checkpoint draws photographs. Keys are the starters' names.
Replaced are whole strings or parts of them, longest first, in prompts, phrases, drawn regions and notes alike.
"""

from __future__ import annotations

CHECKED = "Wiring checked on tiny random models; not yet verified on real weights."
SCENES = {"a creature": "a watercolour of a red fox", "creature": "red fox", "on a white background": "on a sofa",
          "on a beige background": "with a red umbrella in the rain",
          "on a grey background": "beside a blue bicycle in a street", "on a black background": "in the snow at night"}
SMALL_MODEL = {" *variety* is 0, and sharing and injection begin late here, which suits the small demo model; the "
               "node's own defaults are the paper's.": ""}
WORDS: dict[str, dict[str, str]] = {
    "Region Prompt": {
        "a fox and a red balloon on a beach": "a photo of a fox and a red balloon on a beach",
        "\n\nThe demo model is a small transformer, built as Flux is. For a model of yours, open the workflow that "
        "begins with its name: the same node, the same boxes.": ""},
    "Attention Edit": {
        "a red circle on a white background": "a photo of a red fox in the snow",
        "a blue circle on a white background": "a photo of a white fox in the snow",
        "a red star on a white background": "a photo of a red cat in the snow", "circle\nstar": "fox\ncat"},
    "Attention Readout": {
        "a cat and a red car on a beach": "a photo of a cat and a red car on a beach",
        " On a transformer, the maps come from the layers where text and picture are one sequence.": ""},
    "Shared Subject": SCENES | SMALL_MODEL | {"the creature": "the fox"},
    "Shared Subject in a new scene": SCENES | SMALL_MODEL | {
        "on a beige background": "on a beach", "on a grey background": "in a forest"},
    "Shared Subject with a control net": SCENES | SMALL_MODEL,
    "Sketch Guidance": {
        "a red circle and a blue square on a white background": "a photo of a red ball beside a blue box on a table"},
    "Train Guidance Predictor": {
        "Goes on training a predictor, here for 20 steps on one picture to show the wiring. For your own model: take "
        "Load Guidance Predictor away, give a few hundred pictures with their texts (the core's dataset loaders), and "
        "3000 steps.": "A few hundred pictures will do. Interrupting keeps what is trained so far."},
    "Identity Inject": {
        "a creature and a green triangle on a black background": "a photo of a woman and a green parrot in a garden",
        "creature": "woman"},
}
# A sentence that a starter's note adds.
ADVICE = {
    "Attention Edit of a real picture":
        " Put your own Load Image in place of the example, and its caption in place of that text.",
    "Shared Subject":
        " Four pictures are generated at once: if memory is short, use *{family} - Shared Subject in a new scene*.",
    "Sketch Guidance":
        " A predictor belongs to one model: make yours with *{family} - Train Guidance Predictor*, then choose it in "
        "Load Guidance Predictor.",
    "Train Guidance Predictor":
        " Put pictures and their texts (one .txt beside each) into a folder within ComfyUI's input folder and choose "
        "it. 3000 steps want a GPU.",
    "Identity Inject":
        " Choose FastComposer's adapter in Load Identity Adapter (its own terms apply), and wire portraits of people "
        "who agreed to it, in your own Load Image, in place of the examples.",
}
