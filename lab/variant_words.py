"""What the variants of the example workflows say instead of the demo world's words.

The demo model knows coloured shapes and creatures; a checkpoint draws photographs. Keys are the first
two digits of a workflow's name. Replaced are whole strings or parts of them, longest first, in prompts,
phrases, drawn regions and notes alike.
"""

from __future__ import annotations

FOX = {"a red circle and a blue square on a white background":
       "a photo of a red fox beside a blue vase on a wooden table",
       "red circle": "red fox", "blue square": "blue vase"}
SCENES = {"a creature": "a watercolour of a red fox", "creature": "red fox", "on a white background": "on a sofa",
          "on a beige background": "with a red umbrella in the rain",
          "on a grey background": "beside a blue bicycle in a street", "on a black background": "in the snow at night"}
PEOPLE = {"creature#1": "man", "creature#2": "woman"}
LAMP = {"a green square on a grey background": "a photo of a green chair in a living room",
        "a green square and a yellow star on a grey background":
        "a photo of a green chair and a yellow lamp in a living room",
        "green square": "green chair", "yellow star": "yellow lamp"}
SMALL_MODEL = {" *variety* is 0, and sharing and injection begin late here, which suits the small demo model; the "
               "node's own defaults are the paper's.": ""}
WORDS: dict[str, dict[str, str]] = {
    "01": FOX | {"\n\nSwap *Load Demo Model* for *Load Checkpoint* when you know what you want: its outputs stand in "
                 "the same order.": ""},
    "02": {"a yellow star, a green triangle and a purple circle on a black background":
           "a photo of a yellow lemon, a green pear and a purple plum on a black plate",
           "yellow star": "yellow lemon", "green triangle": "green pear", "purple circle": "purple plum"},
    "03": {"a creature and a pink star on a grey background": "a photo of a cat and a pink balloon in a grey room",
           "creature": "cat", "pink star": "pink balloon"},
    "06": {"a red circle on a white background": "a photo of a red fox in the snow",
           "a blue circle on a white background": "a photo of a white fox in the snow",
           "a red star on a white background": "a photo of a red cat in the snow", "circle\nstar": "fox\ncat"},
    "07": LAMP,
    "08": FOX | {"; here the blue square goes": ""},
    "10": FOX | {"background": "wooden table"},
    "11": LAMP,
    "13": SCENES | SMALL_MODEL | {"the creature": "the fox"},
    "14": SCENES | SMALL_MODEL | {"on a beige background": "on a beach", "on a grey background": "in a forest"},
    "15": SMALL_MODEL | {"a creature on a beige background": "a cartoon creature on a beige background",
           "a creature": "a cartoon creature", "on a white background": "in a forest"},
    "16": {"a red circle and a blue square on a white background":
           "a photo of a red ball beside a blue box on a table"},
    "17": {"Goes on training a predictor, here for 20 steps on one picture to show the wiring. For your own model: "
           "take Load Guidance Predictor away, give a few hundred pictures with their texts (the core's dataset "
           "loaders), and 3000 steps.": "A few hundred pictures will do. Interrupting keeps what is trained so far."},
    "18": {"a red circle and a yellow star on a black background":
           "a photo of a red ball beside a brass star on a table",
           " For your own model: Train Guidance Predictor with pictures, and their depth maps in *maps*.": ""},
    "19": SCENES | SMALL_MODEL,
    "20": {"a creature and a green triangle on a black background": "a photo of a woman and a green parrot in a garden",
           "creature": "woman"},
    "21": PEOPLE | {"a creature and a creature on a grey background":
                    "a photo of a man and a woman reading books in a garden"},
    "22": PEOPLE | {"a creature and a creature on a white background":
                    "a photo of a man and a woman in a white room"},
}
PORTRAITS = (" Choose FastComposer's adapter in Load Identity Adapter (its own terms apply), and wire portraits of "
             "people who agreed to it, in your own Load Image, in place of the examples.")
# A sentence that a variant's note adds.
ADVICE = {
    "09": " Put your own Load Image in place of the example, and its caption in place of that text.",
    "13": " Four pictures are generated at once: if memory is short, use workflow 14.",
    "15": " Put your own Load Image in place of the example, and its caption in place of that text.",
    "16": " A predictor belongs to one model: make yours with 17, then choose it in Load Guidance Predictor.",
    "17": " Put pictures and their texts (one .txt beside each) into a folder within ComfyUI's input folder and choose "
          "it. 3000 steps want a GPU.",
    "18": " A predictor belongs to one model and one kind of map: make yours with 17, the pictures' depth maps wired "
          "to *maps*, then choose it in Load Guidance Predictor. Put a depth map of your own in place of the example.",
    **dict.fromkeys(("20", "21", "22"), PORTRAITS),
}
