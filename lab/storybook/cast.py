"""Who plays in the storybook world: the words captions use, and which sprites show them. Standard library only."""

from __future__ import annotations

# Word to code point of its sprite.
PLAIN = {
    "cat": "1f431", "dog": "1f436", "fox": "1f98a", "panda": "1f43c", "pig": "1f437", "frog": "1f438",
    "lion": "1f981", "tiger": "1f42f", "rabbit": "1f430", "bear": "1f43b", "penguin": "1f427", "owl": "1f989",
    "apple": "1f34e", "banana": "1f34c", "strawberry": "1f353", "watermelon": "1f349", "carrot": "1f955",
    "tree": "1f332", "cactus": "1f335", "sunflower": "1f33b", "mushroom": "1f344", "bicycle": "1f6b2",
    "sailboat": "26f5", "rocket": "1f680", "house": "1f3e0", "castle": "1f3f0", "donut": "1f369",
    "burger": "1f354", "pizza": "1f355", "cake": "1f382", "guitar": "1f3b8", "key": "1f511", "robot": "1f916",
    "alien": "1f47d", "ghost": "1f47b", "pumpkin": "1f383",
}
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
COLOURED = {"car": "1f697", "balloon": "1f388", "book": "1f4d5", "heart": "2764-fe0f", "star": "2b50", "tent": "26fa",
            "fish": "1f41f", "bird": "1f426"}
TURNED = {"dinosaur": "1f995", "monster": "1f47e"}  # their hue is a look that no caption names
HUES = 12
PEOPLE = {"man": ("1f468", "2642", ("1f471", "1f9d4")), "woman": ("1f469", "2640", ("1f471",))}
SKINS = ("", "-1f3fb", "-1f3fc", "-1f3fd", "-1f3fe", "-1f3ff")
HAIRS = ("", "-200d-1f9b0", "-200d-1f9b1", "-200d-1f9b2", "-200d-1f9b3")  # as it is, red, curly, bald, white

PLACES = {"beach": "on a beach", "meadow": "in a meadow", "snow": "in the snow", "night": "at night",
          "desert": "in a desert", "white": "on a white background"}

WITH_LOOKS = (*PEOPLE, *TURNED)  # words whose sprites differ in ways no caption names
CLASSES = (*PLAIN, *COLOURED, *WITH_LOOKS)
PHRASES = (*PLAIN, *(f"{colour} {thing}" for thing in COLOURED for colour in COLOURS), *WITH_LOOKS)
HELD_OUT_EVERY = 7  # one look of a person in so many is never trained on


def look_of(phrase: str) -> tuple[str, str]:
    """(class, colour or "") of a phrase such as "red car"."""
    colour, _, thing = phrase.rpartition(" ")
    return thing, colour


def people_codes(word: str) -> list[str]:
    """Code points of every look of "man" or "woman", skin by skin."""
    whole, sex, heads = PEOPLE[word]
    return [code for skin in SKINS
            for code in (*(f"{whole}{skin}{hair}" for hair in HAIRS),
                         *(f"{head}{skin}-200d-{sex}-fe0f" for head in heads))]
